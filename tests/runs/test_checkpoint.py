from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch

from grail_framework.config import CheckpointCfg
from grail_framework.errors import CheckpointError, EnvContractError
from grail_framework.runs.checkpoint import CheckpointWriter, RunIdentity, check_model, layout_differences
from grail_framework.runs.directory import RunDirectory, list_checkpoints
from grail_framework.runs.formats import read_checkpoint, serialize

IDENTITY = RunIdentity(
    plugins=[{"name": "hoi", "version": "0.1.0", "target": "grail_hoi.plugin"}],
    config_digest="abc",
    observation_layout={"policy": {"joint_pos": 43, "force": 24}},
)


def make_writer(path: Path, *, save_frequency: int = 100) -> CheckpointWriter:
    return CheckpointWriter(RunDirectory(path), CheckpointCfg(last_frequency=50, save_frequency=save_frequency), IDENTITY)


def state(iteration: int) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "model": {"weight": torch.full((3,), float(iteration))},
        "rng": [{"python": (3, (1, 2**40, None), None), "nan": float("inf")}],
    }


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_round_trip_keeps_tensors_and_plain_values(tmp_path: Path):
    path = make_writer(tmp_path).save(state(50))
    assert path == tmp_path / "model_step_000050.pt"
    loaded = read_checkpoint(tmp_path / "last.pt")
    assert loaded["iteration"] == 50
    assert loaded["model"]["weight"].tolist() == [50.0] * 3
    assert loaded["rng"] == state(50)["rng"]
    assert loaded["plugins"] == IDENTITY.plugins
    assert loaded["observation_layout"] == IDENTITY.observation_layout
    assert torch.load(path, weights_only=True)["format_version"] == 1


def test_last_is_a_relative_link_so_that_a_run_can_be_moved(tmp_path: Path):
    (tmp_path / "run").mkdir()
    make_writer(tmp_path / "run").save(state(0))
    assert os.readlink(tmp_path / "run" / "last.pt") == "model_step_000000.pt"
    (tmp_path / "run").rename(tmp_path / "moved")
    assert read_checkpoint(tmp_path / "moved" / "last.pt")["iteration"] == 0


def test_steps_off_the_save_frequency_go_once_a_newer_one_is_whole(tmp_path: Path):
    writer = make_writer(tmp_path)
    for iteration in (0, 50, 100, 150):
        writer.save(state(iteration))
    assert [step for step, _ in list_checkpoints(tmp_path)] == [0, 100, 150]
    writer.save(state(200))
    assert [step for step, _ in list_checkpoints(tmp_path)] == [0, 100, 200]


def test_foreign_files_and_newer_steps_are_not_pruned(tmp_path: Path):
    (tmp_path / "model_step_best.pt").touch()
    (tmp_path / "model_step_000350.pt").touch()
    writer = make_writer(tmp_path)
    writer.save(state(50))
    writer.save(state(100))
    assert names(tmp_path) == ["last.pt", "model_step_000100.pt", "model_step_000350.pt", "model_step_best.pt"]


@pytest.mark.parametrize("step", ["fsync", "replace", "symlink"])
def test_a_full_disk_is_a_loud_error_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str
):
    writer = make_writer(tmp_path)
    writer.save(state(50))

    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context, caplog.at_level(logging.ERROR):
        context.setattr(os, step, full)
        assert writer.save(state(100)) is None
    assert "CHECKPOINT NOT WRITTEN: iteration 100" in caplog.text
    assert "No space left" in caplog.text
    assert "model_step_000050.pt is still whole" in caplog.text
    assert read_checkpoint(tmp_path / "last.pt")["iteration"] == 50
    assert writer.save(state(150)) is not None
    assert read_checkpoint(tmp_path / "last.pt")["iteration"] == 150


def test_a_real_full_disk(tmp_path: Path, files_up_to: Any):
    writer = make_writer(tmp_path)
    writer.save(state(50))
    with files_up_to(4096):
        assert writer.save(state(100) | {"model": {"weight": torch.zeros(100_000)}}) is None
    assert names(tmp_path) == ["last.pt", "model_step_000050.pt"]
    assert read_checkpoint(tmp_path / "last.pt")["iteration"] == 50


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (np.zeros(2), r"state\.env\[0\]\.engine\.qpos is a numpy\.ndarray"),
        (np.float64(1.0), r"qpos is a numpy\.float64"),
        (Path("x"), r"qpos is a pathlib"),
    ],
)
def test_what_is_not_plain_is_named_with_its_place(value: Any, place: str):
    with pytest.raises(EnvContractError, match=place):
        serialize({"env": [{"engine": {"qpos": value}}]})


def test_truncated_file(tmp_path: Path):
    path = make_writer(tmp_path).save(state(50))
    assert path is not None
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="no zip directory: truncated"):
        read_checkpoint(path)


@pytest.mark.parametrize("part", ["pickle", "tensor"])
def test_a_flipped_bit_is_found(tmp_path: Path, part: str):
    path = make_writer(tmp_path).save(state(50))
    assert path is not None
    content = bytearray(path.read_bytes())
    mark = b"grail_framework_checkpoint" if part == "pickle" else torch.full((3,), 50.0).numpy().tobytes()
    content[content.index(mark) + 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="is damaged"):
        read_checkpoint(path)


def test_missing_file_names_what_is_there(tmp_path: Path):
    make_writer(tmp_path).save(state(50))
    with pytest.raises(CheckpointError, match=r"has last\.pt, model_step_000050\.pt"):
        read_checkpoint(tmp_path / "model_step_000100.pt")
    with pytest.raises(CheckpointError, match="does not exist"):
        read_checkpoint(tmp_path / "nowhere" / "last.pt")
    (tmp_path / "model_step_000050.pt").unlink()
    with pytest.raises(CheckpointError, match=r"points to model_step_000050\.pt, which is not there"):
        read_checkpoint(tmp_path / "last.pt")


def test_newer_version_is_refused(tmp_path: Path):
    torch.save({"format": "grail_framework_checkpoint", "format_version": 2, "model": {}}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="has checkpoint format 2, this framework reads 1"):
        read_checkpoint(tmp_path / "x.pt")


class Evil:
    """Creates a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path: Path):
    torch.save({"format": "grail_framework_checkpoint", "format_version": 1, "x": Evil(tmp_path / "ran")}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(tmp_path / "x.pt")
    assert not (tmp_path / "ran").exists()


class ForeignFormat:
    """Another trainer's layout, as a plugin would read it."""

    name = "foreign"

    def detect(self, path: Path) -> bool:
        return path.suffix == ".foreign"

    def read(self, path: Path) -> dict[str, Any]:
        return {"model": {"weight": torch.zeros(int(path.read_text()))}}


def test_formats_of_plugins_are_tried_after_our_own(tmp_path: Path):
    (tmp_path / "x.foreign").write_text("4")
    assert read_checkpoint(tmp_path / "x.foreign", [ForeignFormat()])["model"]["weight"].shape == (4,)
    with pytest.raises(CheckpointError, match="tried: grail_framework"):
        read_checkpoint(tmp_path / "x.foreign")


LINKS = {
    4: ["palm", "thumb_2", "index_1", "middle_1"],
    8: ["palm", "thumb_0", "thumb_1", "thumb_2", "index_0", "index_1", "middle_0", "middle_1"],
}


def identity(links: int, **more: int) -> RunIdentity:
    return RunIdentity(
        observation_layout={"policy": {"joint_pos": 43, "force": 3 * links, **more}},
        contact_links={"policy": {"force": LINKS[links]}},
    )


def test_shape_differences_name_both_widths_the_terms_and_their_links():
    saved = {"actor.0.weight": torch.zeros(8, 67), "actor.0.bias": torch.zeros(8), "gone": torch.zeros(1)}
    own = {"actor.0.weight": torch.zeros(8, 56), "actor.0.bias": torch.zeros(8), "new": torch.zeros(1)}
    with pytest.raises(CheckpointError) as raised:
        check_model(
            saved,
            own,
            where="last.pt",
            saved_identity={"iteration": 3, **attrs.asdict(identity(8))},
            own_identity=identity(4, height=1),
        )
    message = str(raised.value)
    assert "actor.0.weight: (8, 67) in the checkpoint, (8, 56) in this run" in message
    assert "not in the checkpoint: new" in message
    assert "not in this run's network: gone" in message
    assert (
        f"observation policy.force: 24 wide (8 links: {', '.join(LINKS[8])}) in the checkpoint, 12 wide (4 links: "
        f"{', '.join(LINKS[4])}) in this run"
    ) in message
    assert "observation policy.height: absent in the checkpoint, 1 wide in this run" in message
    assert "joint_pos" not in message
    assert "would fit" not in message


@pytest.mark.parametrize(("theirs", "ours"), [(8, 4), (4, 8)])
def test_a_release_checkpoint_of_other_links_is_seen_by_its_widths(theirs: int, ours: int):
    saved, own = ({"actor.0.weight": torch.zeros(8, 43 + 3 * links)} for links in (theirs, ours))
    with pytest.raises(CheckpointError) as raised:
        check_model(saved, own, where="last.pt", saved_identity={"model": saved}, own_identity=identity(ours))
    message = str(raised.value)
    assert (
        f"would fit if observation policy.force were of {theirs} links: it is {3 * ours} wide ({ours} links: palm, " in message
    )
    assert (
        "pnp_table feels the object with 8 links of the right hand (24 numbers), its other tasks with 4 (12 numbers)" in message
    )


def test_widths_that_no_number_of_links_explains_are_left_alone():
    for width in (54, 43):  # a number too few, and no links at all
        saved = {"actor.0.weight": torch.zeros(8, width)}
        with pytest.raises(CheckpointError) as raised:
            check_model(saved, {"actor.0.weight": torch.zeros(8, 55)}, where="last.pt", own_identity=identity(4))
        assert "would fit" not in str(raised.value)


def test_a_network_that_fits_passes():
    check_model({"w": torch.zeros(2)}, {"w": torch.ones(2)}, where="last.pt")


def test_unknown_layouts_differ_in_nothing():
    assert layout_differences({}, RunIdentity(observation_layout={"policy": {"x": 1}})) == []
