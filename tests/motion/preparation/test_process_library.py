"""Whole libraries made ready for training: what is written where, what is refused, what is reported."""

import os

import joblib
import numpy as np
import pytest

from grail_framework.config.scene import MotionCfg
from grail_framework.errors import DataError
from grail_framework.motion.loading import load_library
from grail_framework.motion.preparation.folders import check_stems
from grail_framework.motion.preparation.process import ProcessOptions
from grail_framework.motion.preparation.process_library import process_library
from grail_framework.motion.readers.grail import GrailReader

READERS = (GrailReader(),)


def lifted(library, **changes):
    """Entry of an object that is lifted at once."""
    return library.object_entry(object_name="cube", scale=1.0, **changes)


def still(library):
    return library.object_entry(root_pos=np.tile(np.array([[[0.5, 0.0, 0.3]]], np.float32), (40, 1, 1)))


def snapshot(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def raw(library):
    """A raw library of two motions, one of which never lifts its object; the folder is called cubes."""
    library.add(
        "cube_0__000",
        obj=lifted(library),
        meta={
            "object_name": "cube",
            "table_pos": [1.5, 0, 0.3],
            "table_quat": [1, 0, 0, 0],
            "table_size": [2, 2, 2],
            "scene_scale": 1.2,
            "smpl_height": 1.66,
        },
    )
    library.add("cube_0__001", obj=still(library))
    return library.root.rename(library.root.with_name("cubes"))


def test_a_library_is_processed_and_loads(raw, g1):
    before = snapshot(raw)
    out = raw.with_name("cubes_ha")
    seen = []
    report = process_library(raw, out, g1, readers=READERS, progress=lambda *args: seen.append(args))
    assert report.written == ("cube_0__000",)
    assert [(item.key, item.asked) for item in report.skipped] == [("cube_0__001", True)]
    assert "never rises by 0.02 m" in report.skipped[0].reason
    assert report.ok
    assert seen == [(1, 2, "cube_0__000"), (2, 2, "cube_0__001")]
    assert snapshot(raw) == before
    assert os.readlink(out / "object_usd") == os.path.join("..", "cubes", "object_usd")
    assert sorted(path.name for path in out.iterdir()) == ["meta", "object_usd", "objects", "robot"]
    motions = load_library(MotionCfg(data=str(out)), g1, device="cpu", need_object=True, need_table=True, readers=READERS)
    assert motions.keys == ("cube_0__000",)
    assert motions.has_bps.all()  # found in the sibling without _ha
    assert motions.has_contact_labels.all()
    assert motions.has_hand_action.all()


def test_files_have_the_releases_keys_and_are_not_compressed(raw, g1):
    out = raw.with_name("cubes_ha")
    process_library(raw, out, g1, readers=READERS)
    robot, obj, meta = (out / part / "cube_0__000.pkl" for part in ("robot", "objects", "meta"))
    assert all(path.read_bytes()[:2] == b"\x80\x04" for path in (robot, obj, meta))  # a bare pickle, protocol 4
    entry = joblib.load(robot)["cube_0__000"]
    assert sorted(entry) == sorted(
        ["root_trans_offset", "pose_aa", "dof", "root_rot", "smpl_joints", "fps", "hand_action_left", "hand_action_right"]
    )
    np.testing.assert_allclose(entry["pose_aa"][0, 16:23].sum(-1), [0, 0.2, -0.2, 1.57, 0, 0, 0], atol=1e-6)
    # The object rises by 0.1 / 30 m a frame: above 2 cm from frame 7 on, so the hand closes at the start.
    assert (entry["hand_action_right"] == 1.0).all()
    assert sorted(joblib.load(obj)["cube_0__000"]) == [
        "contact_points_left_hand",
        "contact_points_right_hand",
        "fps",
        "root_pos",
        "root_quat",
    ]
    assert joblib.load(meta) == {
        "object_name": "cube",
        "table_pos": [1.5, 0.0, pytest.approx(0.3)],
        "table_quat": [1.0, 0.0, 0.0, 0.0],
        "table_size": pytest.approx([1.5, 0.7, 0.04]),
    }


def test_three_files_for_all_motions(raw, g1):
    out = raw.with_name("cubes_ha")
    report = process_library(raw, out, g1, readers=READERS, per_object=False)
    assert report.ok
    names = ["processed_meta_motions.pkl", "processed_object_motions.pkl", "processed_robot_motions.pkl"]
    assert sorted(path.name for path in out.glob("*.pkl")) == names
    assert all(list(joblib.load(out / name)) == ["cube_0__000"] for name in names)


def test_bps_come_along_when_they_would_not_be_found(raw, g1):
    process_library(raw, raw.with_name("elsewhere"), g1, readers=READERS)
    assert [path.name for path in (raw.with_name("elsewhere") / "bps").iterdir()] == ["cube_0__000.npy"]


def test_a_bad_motion_stops_or_is_reported(raw, g1):
    (raw / "objects" / "cube_0__000.pkl").unlink()
    with pytest.raises(DataError, match=r"no object motion.*\n.*--on-bad-clip skip"):
        process_library(raw, raw.with_name("a_ha"), g1, readers=READERS)
    with pytest.raises(DataError, match="no motion was written"):
        process_library(raw, raw.with_name("b_ha"), g1, readers=READERS, on_bad_clip="skip")
    report = process_library(
        raw,
        raw.with_name("c_ha"),
        g1,
        readers=READERS,
        on_bad_clip="skip",
        options=ProcessOptions(lift_threshold=0.0, grasp_from_lift=False, include_contact_points=False),
    )
    assert report.written == ("cube_0__001",)
    assert not report.ok


def test_a_motion_that_is_not_lifted_may_be_a_bad_one(raw, g1):
    with pytest.raises(DataError, match="--skip-no-lift"):
        process_library(raw, raw.with_name("cubes_ha"), g1, readers=READERS, skip_no_lift=False)


def test_folders_are_refused(raw, g1, tmp_path):
    def attempt(out, **options):
        process_library(raw, out, g1, readers=READERS, **options)

    (tmp_path / "alias").symlink_to(raw)
    for out, message in (
        (raw, "same folder"),
        (tmp_path / "alias", "same folder"),
        (raw / "ha", "inside the source"),
        (raw.parent, "around the source"),
    ):
        with pytest.raises(DataError, match=message):
            attempt(out, overwrite=True)
    out = tmp_path / "used"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"not empty.*--overwrite"):
        attempt(out)
    attempt(out, overwrite=True)
    attempt(out, overwrite=True)  # the link is replaced
    assert (out / "notes.txt").read_text() == "mine"
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "robot").symlink_to(raw / "robot")
    before = snapshot(raw)
    with pytest.raises(DataError, match="symbolic link"):
        attempt(trap, overwrite=True)
    assert snapshot(raw) == before
    (tmp_path / "taken" / "object_usd").mkdir(parents=True)
    with pytest.raises(DataError, match="is a folder, where a link"):
        attempt(tmp_path / "taken", overwrite=True)


def test_motions_of_other_runs_are_mentioned(raw, g1):
    out = raw.with_name("cubes_ha")
    process_library(raw, out, g1, readers=READERS)
    (out / "robot" / "old.pkl").write_bytes((out / "robot" / "cube_0__000.pkl").read_bytes())
    report = process_library(raw, out, g1, readers=READERS, overwrite=True)
    assert any("1 motions" in line and "old" in line for line in report.remarks)
    assert report.problems == ("objects: missing (1): old", "meta: missing (1): old")
    assert not report.ok


def test_stems_are_compared_with_the_first_five_of_each_list(tmp_path):
    for part, suffix, stems in (
        ("robot", ".pkl", "abcdefgh"),
        ("objects", ".pkl", "abz"),
        ("meta", ".pkl", "abcdefgh"),
        ("object_usd", ".usd", "a"),
        ("bps", ".npy", ["a", "q", "_basis"]),
    ):
        (tmp_path / part).mkdir()
        for stem in stems:
            (tmp_path / part / f"{stem}{suffix}").touch()
    assert check_stems(tmp_path) == (
        "objects: missing (6): c, d, e, f, g, and 1 more",
        "objects: extra, without a file in robot/ (1): z",
        "object_usd: missing (2): b, z",
        "bps: extra, without a file in object_usd/ (1): q",
    )


def test_the_real_box_keeps_its_lift_and_contacts(real_data, g1, tmp_path):
    source = real_data / "grail" / "largebox_ha"
    report = process_library(source, tmp_path / "box", g1, readers=READERS, options=ProcessOptions(treat_hands_equally=True))
    assert report.ok
    for key in report.written:
        ours = joblib.load(tmp_path / "box" / "robot" / f"{key}.pkl")[key]
        given = joblib.load(source / "robot" / f"{key}.pkl")[key]
        for name, value in given.items():
            # It stands on the ground and has no table, so that nothing moves; lift, commands and contacts were made independently.
            np.testing.assert_allclose(ours[name], value, atol=1e-5, err_msg=name)
        contact = [
            joblib.load(base / "objects" / f"{key}.pkl")[key]["contact_points_right_hand"]
            for base in (tmp_path / "box", source)
        ]
        assert sorted(contact[0]) == sorted(contact[1])
