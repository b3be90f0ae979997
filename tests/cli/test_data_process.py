"""`grail data process` on the command line."""

import json
import os

import joblib
import numpy as np
import pytest
from click.testing import CliRunner

from grail_framework.assets.usd_writer import write_box_usd
from grail_framework.cli.main import build_cli


def invoke(*args):
    return CliRunner().invoke(build_cli(), ["data", "process", *map(str, args)], prog_name="grail")


def pose(frames):
    return np.zeros((frames, 30, 3), np.float32), np.tile(np.array([0, 0, 0.79], np.float32), (frames, 1))


def add(raw, key, *, lift=True, **changes):
    """Write the files of a motion whose object rises, or does not."""
    frames = 30
    pose_aa, root = pose(frames)
    up = 0.01 * np.maximum(np.arange(frames) - 12, 0) * lift
    entries = {
        "robot": {key: {"root_trans_offset": root, "pose_aa": pose_aa, "fps": 30.0}},
        "objects": {
            key: {
                "root_pos": np.stack([0.4 + 0 * up, 0 * up, 0.8 + up], axis=-1)[:, None].astype(np.float32),
                "root_quat": np.tile(np.array([1, 0, 0, 0], np.float32), (frames, 1, 1)),
                "fps": 30.0,
                "contact_points_left_hand": {},
                "contact_points_right_hand": {k: np.ones((1, 3), np.float32) for k in range(8, frames)},
            }
        },
        "meta": {"object_name": "cube"},
    }
    entries["objects"][key] |= changes
    entries["objects"][key] = {name: value for name, value in entries["objects"][key].items() if value is not None}
    for part, content in entries.items():
        (raw / part).mkdir(parents=True, exist_ok=True)
        joblib.dump(content, raw / part / f"{key}.pkl", compress=True)
    write_box_usd(raw / "object_usd" / f"{key}.usd", (0.1, 0.1, 0.1))


@pytest.fixture
def raw(tmp_path):
    add(tmp_path / "cubes", "cube_0__000")
    return tmp_path / "cubes"


def test_a_library_is_processed_and_listed(raw, tmp_path):
    add(raw, "cube_0__001", lift=False)
    result = invoke(raw, tmp_path / "cubes_ha")
    assert result.exit_code == 0, result.output
    assert "processed 2/2" in result.stderr
    assert f"written: 1 to {tmp_path / 'cubes_ha'}" in result.stdout
    assert "SKIP cube_0__001: the object never rises by 0.02 m" in result.stdout
    assert f"object_usd is a link to {os.path.join('..', 'cubes', 'object_usd')}" in result.stdout
    assert "no basis point sets" in result.stdout
    entry = joblib.load(tmp_path / "cubes_ha" / "robot" / "cube_0__000.pkl")["cube_0__000"]
    assert np.flatnonzero(entry["hand_action_right"] > 0)[0] == 15 - 10


def test_the_releases_own_line_works(raw, tmp_path):
    result = invoke(
        "--input", raw, "--output", tmp_path / "cubes_ha", "--meta_pkl", "g1_skeleton_meta.pkl", "--include_contact_points",
        "--grasp_from_lift", "--lift_threshold", "0.02", "--grasp_anticipation_frames", "4", "--skip_no_lift", "--per_object",
        "--treat_hands_equally", "--right_hand_closed_until_frame", "10", "--zero_out_wrist",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "--meta-pkl g1_skeleton_meta.pkl is not read" in result.stderr
    action = joblib.load(tmp_path / "cubes_ha" / "robot" / "cube_0__000.pkl")["cube_0__000"]["hand_action_right"]
    assert action.tolist() == [1.0] * 6 + [-1.0] * 5 + [1.0] * 19  # 0.2 s at 30 fps; the lift is at 15


def test_json_is_one_document(raw, tmp_path):
    result = invoke(raw, tmp_path / "out", "--json")
    document = json.loads(result.stdout)
    assert result.stderr == ""
    assert document["ok"] is True
    assert document["written"] == ["cube_0__000"]
    assert {"key": "cube_0__000", "note": "lift at frame 15"} in document["notes"]


def test_a_motion_left_out_unasked_fails_the_command(raw, tmp_path):
    add(raw, "cube_0__002", contact_points_left_hand=None, contact_points_right_hand=None)
    stopped = invoke(raw, tmp_path / "a_ha")
    assert stopped.exit_code == 2
    assert "contact_points_left_hand" in stopped.stderr
    assert "--on-bad-clip skip" in stopped.stderr
    skipped = invoke(raw, tmp_path / "b_ha", "--on-bad-clip", "skip")
    assert skipped.exit_code == 1
    assert "SKIP cube_0__002" in skipped.stdout
    assert invoke(raw, tmp_path / "c_ha", "--no-include-contact-points").exit_code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "two folders are needed"),
        (("RAW", "RAW"), "same folder"),
        (("RAW", "OUT", "--lift-threshold", "-1"), "lift-threshold"),
        (("RAW", "OUT", "--right-hand-closed-until-frame", "1", "--right-hand-closed-until-seconds", "1"), "say the same"),
        (("nowhere", "OUT"), "nowhere does not exist"),
        (("RAW", "OUT", "--robot", "g1_43dofs"), "g1_43dof"),
    ],
)
def test_mistakes_are_usage_errors(args, message, raw, tmp_path):
    names = {"RAW": str(raw), "OUT": str(tmp_path / "out")}
    result = invoke(*(names.get(arg, arg) for arg in args))
    assert result.exit_code == 2
    assert message in result.stderr


def test_help_gives_units_and_defaults():
    text = " ".join(invoke("--help").output.split())
    assert "in metres. [default: 0.02; x>=0.0]" in text
    assert "Frames of the source by which a hand closes before the grasp. [default: 10; x>=0]" in text
    assert "--zero-out-wrist" in text
