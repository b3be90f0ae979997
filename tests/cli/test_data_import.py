"""`grail data import` on the command line."""

import json

import joblib
import numpy as np
import pytest
import trimesh
from click.testing import CliRunner

from grail_framework.cli.main import build_cli


def invoke(*args):
    return CliRunner().invoke(build_cli(), ["data", "import", *map(str, args)], prog_name="grail")


@pytest.fixture
def clip(tmp_path):
    """An npz clip of a robot beside whose right hand a box rises."""
    from grail_framework.motion.readers.grail_entries import JOINT_NAMES

    frames = 20
    state = np.zeros((frames, 36))
    state[:, 2], state[:, 3] = 0.79, 1.0
    up = 0.01 * np.maximum(np.arange(frames) - 8, 0)
    np.savez(
        tmp_path / "lift.npz",
        fps=np.array([50]),
        joint_pos=state,
        joint_names=np.array(JOINT_NAMES),
        object_pos_w=np.stack([0.3 + 0 * up, -0.15 + 0 * up, 0.8 + up], axis=-1),
        object_quat_w=np.tile([1.0, 0, 0, 0], (frames, 1)),
    )
    return tmp_path / "lift.npz"


@pytest.fixture
def box(tmp_path):
    trimesh.creation.box(extents=(10.0, 10.0, 10.0)).export(tmp_path / "box.stl")
    return tmp_path / "box.stl"


def test_a_clip_with_its_object_becomes_a_library(clip, box, tmp_path):
    out = tmp_path / "library"
    result = invoke(
        clip, out, "--name", "box__000", "--object-mesh", box, "--object-scale", "0.01", "--object-mass", "0.5",
        "--contact-distance", "0.5", "--table-size", "1", "0.6", "0.04", "--table-pos", "0.5", "0", "0.7",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "box__000: right hand: contact in 9 frames, 11 to 19, closes at 1" in result.stdout
    assert f"written: 1 to {out}" in result.stdout
    parts = ["bps", "meta", "object_usd", "objects", "robot"]
    assert sorted(path.name for path in out.iterdir()) == parts
    assert joblib.load(out / "meta" / "box__000.pkl")["object_name"] == "box"
    again = invoke(clip, out)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_a_table_of_joints_gets_its_frame_rate_and_order(tmp_path):
    rows = np.zeros((10, 36))
    rows[:, 2], rows[:, 6] = 0.79, 1.0  # xyzw
    np.savetxt(tmp_path / "walk.csv", rows, delimiter=",")
    result = invoke(tmp_path / "walk.csv", tmp_path / "out", "--fps", "120", "--quat-order", "xyzw", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["written"] == ["walk"]
    entry = joblib.load(tmp_path / "out" / "robot" / "walk.pkl")["walk"]
    assert entry["fps"] == 120.0
    np.testing.assert_allclose(entry["root_rot"], np.tile([1.0, 0, 0, 0], (10, 1)))


def test_terrain_stands_still(clip, box, tmp_path):
    result = invoke(clip, tmp_path / "out", "--terrain", box, "--terrain-scale", "0.01")
    assert result.exit_code == 0, result.output
    entry = joblib.load(tmp_path / "out" / "objects" / "lift.pkl")["lift"]
    assert (entry["root_pos"] == 0.0).all()
    assert sorted(entry) == ["fps", "root_pos", "root_quat"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("CLIP", "OUT", "--object-mesh", "none.obj"), "none.obj: no such file"),
        (("CLIP", "OUT", "--object-mesh", "BOX", "--terrain", "BOX"), "exclude each other"),
        (("CLIP", "OUT", "--table-size", "1", "1", "1"), "both --table-size and --table-pos"),
        (("CLIP", "OUT", "--object-mesh", "BOX", "--object-scale", "1e6"), "give the metres per unit"),
        (("CLIP", "OUT", "--quat-order", "zyxw"), "wxyz"),
        (("nowhere.npz", "OUT"), "does not exist"),
    ],
)
def test_mistakes_are_usage_errors(args, message, clip, box, tmp_path):
    names = {"CLIP": str(clip), "BOX": str(box), "OUT": str(tmp_path / "out")}
    result = invoke(*(names.get(arg, arg) for arg in args))
    assert result.exit_code == 2
    assert message in result.stderr


def test_help_gives_units_and_defaults():
    text = " ".join(invoke("--help").output.split())
    assert "Between the palm's centre and the object's surface, in metres. [default: 0.12; x>0.0]" in text
    assert "in 1/s. [default: 30]" in text
