from __future__ import annotations

import logging
import os
import shutil
from typing import TYPE_CHECKING, Any

import attrs
import joblib
import numpy as np
import pytest
import torch

from grail_framework.config.scene import MotionCfg
from grail_framework.errors import ConfigError, DataError
from grail_framework.motion import loading
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.store import STORE_FOLDER, StoreError, open_store
from grail_framework.motion.store.building import pack_library

from .stores import from_store, load, pack

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.motion.clip import ContactLabels, MotionClip
    from grail_framework.motion.library import MotionLibrary
    from grail_framework.robots.spec import RobotSpec


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    """A user's cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    caplog.set_level(logging.INFO)
    return tmp_path / "cache" / "grail_framework" / "packed"


@pytest.fixture
def five(library: Any) -> Path:
    """Five motions of two kinds of object at three rates; one has no contact keys, one a table."""
    library.add("cup_0_000")
    plain = library.object_entry(30, 50.0, contact_points_left_hand=None, contact_points_right_hand=None)
    library.add("cup_0_001", robot=library.robot_entry(30, 50.0), obj=plain)
    table = {"object_name": "cup", "table_pos": [0.5, 0.4, 0.0], "table_quat": [1.0, 0.0, 0.0, 0.0], "table_size": [2, 1, 0.1]}
    library.add("cup_0_002", robot=library.robot_entry(50, 25.0), obj=library.object_entry(50, 25.0), meta=table)
    library.add("jar_0_000", robot=library.robot_entry(hand_action_left=None, hand_action_right=None))
    still = library.object_entry(root_pos=np.ones((40, 1, 3)), root_quat=np.tile([1.0, 0, 0, 0], (40, 1, 1)))
    library.add("jar_0_001", obj=still)
    return library.root


def assert_equal(a: MotionLibrary, b: MotionLibrary) -> None:
    """Every number of every frame, and all that is known of the motions."""
    assert (a.keys, a.object_names, a.object_usd) == (b.keys, b.object_names, b.object_usd)
    per_motion = ("num_frames", "starts", "first_contact", "bps", "table_pos", "table_quat", "table_size")
    flags = ("has_object", "has_contact_labels", "has_hand_action", "has_bps", "has_table", "has_table_size")
    for name in (*per_motion, *flags):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    motion = torch.repeat_interleave(torch.arange(a.num_motions), a.num_frames)
    at = torch.arange(a.total_frames) - a.starts[motion]
    frames = a.frame(motion, at), b.frame(motion, at)
    for field in attrs.fields(type(frames[0])):
        assert torch.equal(getattr(frames[0], field.name), getattr(frames[1], field.name)), field.name


def test_a_store_gives_what_the_files_give(five: Path, g1: RobotSpec, caplog: pytest.LogCaptureFixture) -> None:
    files = load(five, g1)
    assert not from_store(caplog)
    pack(five, g1)
    assert_equal(load(five, g1), files)
    assert from_store(caplog)
    load(five, g1, cfg={"use_packed": False})
    assert not from_store(caplog)


def test_a_store_has_no_pickle_and_takes_what_it_must(five: Path, g1: RobotSpec) -> None:
    store = pack(five, g1)
    names = sorted(path.name for path in store.iterdir())
    assert names == ["contacts.npy", "hands.npy", "index.json", "motions.npy", "objects.npy", "robot.npy", "store.json"]
    arrays = {name: np.load(store / name, allow_pickle=False) for name in names if name.endswith(".npy")}
    frames = 65 + 30 + 98 + 65 + 65
    assert arrays["robot.npy"].shape == (frames, 36)
    assert arrays["robot.npy"].dtype == np.float32
    assert len(arrays["objects.npy"]) == frames - 64, "the object that never moves has one row"
    assert len(arrays["hands.npy"]) == 9, "two runs of each motion whose hand closes, one where there is no hand action"


@pytest.mark.parametrize(
    "selection",
    [
        {"filter_motion_keys": ("jar_0_001", "cup_0_000")},
        {"filter_motion_keys": ("cup.*", "jar_0_000")},
        {"remove_motion_keys": ("cup_0_00",)},
        {"max_unique_motions": 3},
        {"max_unique_motions": 3, "interleave_by_object": True},
        {"shard_by_rank": True, "rank": 1, "world_size": 3},
        {"shard_rank": 0, "shard_world_size": 2, "remove_motion_keys": ("cup_0_000",)},
        {"filter_motion_keys": ("jar.*",), "shard_by_rank": True, "rank": 1, "world_size": 2, "max_unique_motions": 1},
    ],
)
def test_selection_is_the_same(five: Path, g1: RobotSpec, selection: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    cfg = dict(selection)
    place = {name: cfg.pop(name) for name in ("rank", "world_size") if name in cfg}
    files = load(five, g1, cfg=cfg, **place)
    pack(five, g1)
    assert_equal(load(five, g1, cfg=cfg, **place), files)
    assert from_store(caplog)


def test_the_order_of_the_steps_of_selection(five: Path, g1: RobotSpec) -> None:
    pack(five, g1)
    assert load(five, g1, cfg={"filter_motion_keys": ("jar_0_001", "cup_0_000")}).keys == ("jar_0_001", "cup_0_000")
    shard = {"remove_motion_keys": ("cup_0_001",), "shard_by_rank": True, "max_unique_motions": 1}
    assert load(five, g1, cfg=shard, rank=1, world_size=2).keys == ("jar_0_000",)
    mixed = {"max_unique_motions": 3, "interleave_by_object": True}
    assert load(five, g1, cfg=mixed).keys == ("cup_0_000", "jar_0_000", "cup_0_001")
    with pytest.raises(ConfigError, match="matches no motion"):
        load(five, g1, cfg={"filter_motion_keys": ("zzz",)})


def changed(entry: dict[str, Any]) -> dict[str, Any]:
    return {"x": entry | {"root_trans_offset": entry["root_trans_offset"] + np.float32([0.1, 0.0, 0.0])}}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda root, make: joblib.dump(changed(make.robot_entry()), root / "robot" / "cup_0_000.pkl"), "robot/cup_0_000.pkl has changed"),
        (lambda root, make: (root / "meta" / "cup_0_002.pkl").unlink(), "meta/cup_0_002.pkl is gone"),
        (lambda root, make: make.add("new_0_000"), "bps/new_0_000.npy is new"),
        (lambda root, make: (root / "object_usd" / "jar_0_000.usd").unlink(), "object_usd/jar_0_000.usd is gone"),
        (lambda root, make: np.save(root / "bps" / "jar_0_000.npy", np.zeros(10, np.float32)), "bps/jar_0_000.npy has changed"),
    ],
)  # fmt: skip
def test_a_changed_file_is_named_and_the_files_are_read(
    five: Path, g1: RobotSpec, library: Any, edit: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    pack(five, g1)
    edit(five, library)
    now = load(five, g1)
    assert f"is stale: {said}" in caplog.text
    assert not from_store(caplog)
    assert_equal(now, load(five, g1, cfg={"use_packed": False}))


def test_a_touched_file_with_its_old_content_is_no_change(five: Path, g1: RobotSpec, caplog: pytest.LogCaptureFixture) -> None:
    pack(five, g1)
    os.utime(five / "robot" / "cup_0_000.pkl")
    load(five, g1)
    assert from_store(caplog)


def test_a_library_moves_with_its_store(five: Path, g1: RobotSpec, caplog: pytest.LogCaptureFixture) -> None:
    pack(five, g1)
    moved = five.with_name("elsewhere_ha")
    five.rename(moved)
    assert load(moved, g1).object_usd[0] == moved / "object_usd" / "cup_0_000.usd"
    assert from_store(caplog)


@pytest.mark.parametrize("cfg", [{"target_fps": 30.0}, {"bps_dir": "other"}])
def test_a_store_of_another_rate_or_other_folders_is_not_used(
    five: Path, g1: RobotSpec, cfg: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(five / "bps", five / "other")
    if "bps_dir" in cfg:
        cfg = {"bps_dir": str(five / "other")}
    pack(five, g1)
    load(five, g1, cfg=cfg)
    assert "not used" in caplog.text
    assert not from_store(caplog)


def test_a_robot_with_other_joints_gets_no_store(five: Path, g1: RobotSpec, caplog: pytest.LogCaptureFixture) -> None:
    pack(five, g1)
    names = list(g1.joint_names)
    names[0], names[1] = names[1], names[0]
    load(five, attrs.evolve(g1, joint_names=tuple(names)))
    assert "differs in the robot's joints" in caplog.text
    assert not from_store(caplog)


def test_faults_found_while_packing_are_reported_by_every_load(
    five: Path, g1: RobotSpec, caplog: pytest.LogCaptureFixture
) -> None:
    (five / "robot" / "cup_0_001.pkl").write_bytes(b"no pickle")
    (five / "object_usd" / "jar_0_000.usd").unlink()
    asked: list[dict[str, Any]] = [{}, {"need_object": True}, {"need_table": True}, {"need_object": True, "need_table": True}]

    def outcomes() -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for needs in asked:
            caplog.clear()
            keys = load(five, g1, cfg={"on_bad_clip": "skip"}, **needs).keys
            notes = [record.message for record in caplog.records if record.levelno == logging.WARNING]
            with pytest.raises(DataError) as stopped:
                load(five, g1, **needs)
            found.append((keys, notes, str(stopped.value)))
        return found

    files = outcomes()
    pack(five, g1)
    for one, other in zip(outcomes(), files, strict=True):
        assert one[1] == other[1], "\n".join(["", *one[1], "---", *other[1]])
        assert one == other
    assert [keys for keys, *_ in files][:2] == [
        ("cup_0_000", "cup_0_002", "jar_0_000", "jar_0_001"),
        ("cup_0_000", "cup_0_002", "jar_0_001"),
    ]
    load(five, g1, cfg={"on_bad_clip": "skip"})
    assert from_store(caplog)


def test_bad_motions_count_in_the_shards(five: Path, g1: RobotSpec) -> None:
    (five / "robot" / "cup_0_000.pkl").write_bytes(b"no pickle")
    cfg = {"on_bad_clip": "skip", "shard_by_rank": True}
    files = [load(five, g1, cfg=cfg, rank=rank, world_size=2).keys for rank in range(2)]
    pack(five, g1)
    assert [load(five, g1, cfg=cfg, rank=rank, world_size=2).keys for rank in range(2)] == files


def test_a_labeler_makes_the_files_be_read(five: Path, g1: RobotSpec, caplog: pytest.LogCaptureFixture) -> None:
    store = pack(five, g1)
    seen: list[float] = []

    def labeler(clip: MotionClip, num_frames: int, fps: float) -> ContactLabels | None:
        seen.append(clip.fps)

    load(five, g1, labeler=labeler)
    assert seen == [30.0, 50.0, 25.0, 30.0, 30.0], "clips as they are in the files"
    assert not from_store(caplog)
    with pytest.raises(DataError, match="labels contacts from the motion files"):
        load(store, g1, labeler=labeler)


def test_a_store_can_be_given_as_the_library(
    five: Path, g1: RobotSpec, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = load(five, g1)
    store = pack(five, g1, tmp_path / "stores" / "cubes")
    assert_equal(load(store, g1), files)
    assert from_store(caplog)
    with pytest.raises(StoreError, match="differs in target_fps"):
        load(store, g1, cfg={"target_fps": 25.0})
    (five / "robot" / "cup_0_000.pkl").unlink()
    with pytest.raises(StoreError, match=r"stale: robot/cup_0_000\.pkl is gone"):
        load(store, g1)
    shutil.rmtree(five)
    assert load(store, g1).num_motions == 5
    assert "not compared" in caplog.text


def test_slowly_read_motions_are_kept_in_the_cache(
    five: Path, g1: RobotSpec, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = load(five, g1)
    assert not cache.exists(), "read within two seconds"
    monkeypatch.setattr(loading, "_WORTH_CACHING", -1.0)
    load(five, g1, cfg={"max_unique_motions": 2})
    load(five, g1, rank=0, world_size=2)
    load(five, g1, cfg={"use_packed": False})
    assert not cache.exists(), "only a process that has read everything keeps it"
    load(five, g1)
    assert "are kept packed in" in caplog.text
    assert not from_store(caplog)
    assert len(list(cache.iterdir())) == 1
    assert_equal(load(five, g1), files)
    assert from_store(caplog)
    assert load(five, g1, cfg={"max_unique_motions": 2}).num_motions == 2
    assert from_store(caplog)
    os.utime(five / "robot" / "cup_0_000.pkl")
    (five / "meta" / "cup_0_000.pkl").unlink()
    load(five, g1)
    assert not from_store(caplog)
    load(five, g1)
    assert from_store(caplog), "the stale one was replaced"
    assert len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_a_warning(
    five: Path, g1: RobotSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loading, "_WORTH_CACHING", -1.0)
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert load(five, g1).num_motions == 5
    assert "could not be kept packed" in caplog.text


def test_a_store_appears_whole_or_not_at_all(five: Path, g1: RobotSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    store = pack(five, g1)
    before = {path.name: path.read_bytes() for path in store.iterdir()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("grail_framework.motion.store.writing._write", full)
    with pytest.raises(OSError, match="No space"):
        pack(five, g1)
    assert {path.name: path.read_bytes() for path in store.iterdir()} == before
    assert not [path for path in five.iterdir() if path.name.startswith(".packing")]


def test_packing_again_replaces_a_store_and_nothing_else(five: Path, g1: RobotSpec, tmp_path: Path) -> None:
    store = pack(five, g1)
    (five / "robot" / "cup_0_000.pkl").unlink()
    pack(five, g1)
    assert open_store(store).keys == ("cup_0_001", "cup_0_002", "jar_0_000", "jar_0_001")
    other = tmp_path / "notes"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="is no packed store; name another place"):
        pack(five, g1, other)
    assert (other / "thesis.tex").exists()


def test_a_library_that_changes_while_it_is_packed_is_refused(five: Path, g1: RobotSpec) -> None:
    class Meddling(GrailReader):
        def open(self, cfg: MotionCfg) -> Any:
            source = super().open(cfg)
            joblib.dump({"object_name": "other"}, five / "meta" / "cup_0_000.pkl")
            return source

    with pytest.raises(DataError, match=r"changed while it was read: meta/cup_0_000\.pkl has changed"):
        pack_library(MotionCfg(data=str(five)), g1, Meddling(), five / STORE_FOLDER)
    assert not (five / STORE_FOLDER).exists()


def test_a_library_without_a_usable_motion_is_not_packed(library: Any, g1: RobotSpec) -> None:
    library.add("a")
    (library.root / "robot" / "a.pkl").write_bytes(b"no pickle")
    with pytest.raises(DataError, match="can be packed"):
        pack(library.root, g1)


def test_real_libraries_survive_packing(real_data: Path, g1: RobotSpec, tmp_path: Path) -> None:
    for name in ("largebox_ha", "stairs", "flat"):
        files = load(real_data / "grail" / name, g1)
        assert_equal(load(pack(real_data / "grail" / name, g1, tmp_path / name), g1), files)
