from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from grail_framework.config.scene import MotionCfg
from grail_framework.motion.faults import BadClipError
from grail_framework.motion.readers.csv import CsvReader
from grail_framework.motion.readers.joints import ISAAC_JOINT_NAMES, JOINT_NAMES
from grail_framework.motion.readers.orientation import shown_order
from grail_framework.motion.validate import Needs, check_clip

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.robots.spec import RobotSpec

T = 20


def table(order: str = "wxyz", yaw: tuple[float, float] = (1.0, 2.0)) -> np.ndarray:
    t = np.linspace(0.0, 1.0, T)
    pos = np.stack([t, 0.0 * t, 0.78 + 0.0 * t], axis=-1)
    quat = Rotation.from_euler("z", np.linspace(*yaw, T)[:, None]).as_quat(scalar_first=order == "wxyz")
    joints = np.linspace(0.0, 0.4, T)[:, None] * np.linspace(0.1, 1.0, 29)[None, :]
    return np.concatenate([pos, quat, joints], axis=-1)


def read(folder: Path, rows: np.ndarray, header: str = "", **cfg: Any) -> tuple[Any, list[str]]:
    np.savetxt(folder / "walk.csv", rows, delimiter=",", header=header, comments="")
    clip, notes = CsvReader().open(MotionCfg(data=str(folder), **cfg)).read("walk")
    return clip, [note.reason for note in notes]


@pytest.mark.parametrize("order", ["wxyz", "xyzw"])
def test_the_order_of_the_quaternion_is_detected_and_reported(tmp_path: Path, order: str) -> None:
    clip, notes = read(tmp_path, table(order))
    np.testing.assert_allclose(clip.root_quat, table()[:, 3:7], atol=1e-6)
    np.testing.assert_allclose(clip.root_pos, table()[:, :3], atol=1e-6)
    np.testing.assert_allclose(clip.joint_pos, table()[:, 7:], atol=1e-6)
    assert clip.joint_names == JOINT_NAMES
    assert any(f"read as {order}" in note for note in notes)


def test_the_order_may_be_given(tmp_path: Path) -> None:
    clip, notes = read(tmp_path, table("xyzw"), quat_order="xyzw", source_fps=60.0)
    np.testing.assert_allclose(clip.root_quat, table()[:, 3:7], atol=1e-6)
    assert (clip.fps, notes) == (60.0, [])


def test_an_order_that_does_not_show_is_refused(tmp_path: Path) -> None:
    still = table("xyzw", yaw=(0.0, 0.0))  # (0, 0, 0, 1): ahead in xyzw, back in wxyz
    with pytest.raises(BadClipError, match=r"write motion\.quat_order=wxyz or xyzw"):
        read(tmp_path, still)
    clip, _ = read(tmp_path, still, quat_order="xyzw")
    assert clip.root_quat[0].tolist() == [1, 0, 0, 0]


def test_the_order_is_never_told_wrong_for_a_robot_that_walks_and_bends() -> None:
    generator = np.random.default_rng(0)
    undecided = 0
    for _ in range(200):
        walk = np.cumsum(generator.normal(0.0, 0.02, (300, 3)), axis=0)
        angles = [generator.uniform(-np.pi, np.pi), generator.normal(0.2, 0.2), 0.0] + walk * [1.0, 0.2, 0.1]
        quat = Rotation.from_euler("ZYX", angles).as_quat(scalar_first=True)
        for order, given in (("wxyz", quat), ("xyzw", np.roll(quat, -1, axis=-1))):
            found = shown_order(given)
            assert found in (order, None)
            undecided += found is None
    assert undecided < 20


def test_thirty_frames_a_second_are_assumed_and_reported(tmp_path: Path) -> None:
    clip, notes = read(tmp_path, table())
    assert clip.fps == 30.0
    assert any("30 is assumed" in note for note in notes)


HEADERS = {
    "plain": ["x", "y", "z", "qw", "qx", "qy", "qz"],
    "long": [*(f"root_pos_{a}" for a in "xyz"), *(f"root_quat_{a}" for a in "wxyz")],
    "rot": [*(f"root_{a}" for a in "xyz"), *(f"root_rot_{a}" for a in "wxyz")],
}


@pytest.mark.parametrize("name", HEADERS)
def test_columns_are_found_by_name_in_any_order(tmp_path: Path, name: str) -> None:
    columns = np.array([*HEADERS[name], *(joint.removesuffix("_joint") for joint in JOINT_NAMES)])
    shuffle = np.random.default_rng(0).permutation(36)
    rows = np.concatenate([np.arange(T)[:, None], table()[:, shuffle]], axis=-1)
    clip, notes = read(tmp_path, rows, header=",".join(["frame", *columns[shuffle]]))
    np.testing.assert_allclose(clip.root_quat, table()[:, 3:7], atol=1e-6)
    np.testing.assert_allclose(clip.root_pos, table()[:, :3], atol=1e-6)
    by_name = [clip.joint_names.index(joint) for joint in JOINT_NAMES]
    np.testing.assert_allclose(clip.joint_pos[:, by_name], table()[:, 7:], atol=1e-6)
    assert not any("read as" in note for note in notes)  # the header says the order


@pytest.mark.parametrize("separator", [";", "\t", " "])
def test_other_separators_are_read(tmp_path: Path, separator: str) -> None:
    np.savetxt(tmp_path / "walk.csv", table(), delimiter=separator)
    clip, _ = CsvReader().open(MotionCfg(data=str(tmp_path))).read("walk")
    np.testing.assert_allclose(clip.joint_pos, table()[:, 7:], atol=1e-6)


def test_motions_of_the_smaller_g1_are_refused_or_mapped_by_name(tmp_path: Path) -> None:
    names = [name for name in ISAAC_JOINT_NAMES if "wrist" not in name]
    kept = [JOINT_NAMES.index(name) for name in names]
    rows = np.concatenate([table()[:, :7], table()[:, 7:][:, kept]], axis=-1)
    header = ",".join([*HEADERS["plain"], *names])
    with pytest.raises(BadClipError, match=r"23 joints .* motion\.map_23dof=true"):
        read(tmp_path, rows, header)
    clip, notes = read(tmp_path, rows, header, map_23dof=True)
    expected = table()[:, 7:]
    expected[:, ["wrist" in name for name in JOINT_NAMES]] = 0.0
    np.testing.assert_allclose(clip.joint_pos, expected, atol=1e-6)
    assert any("stand at 0" in note for note in notes)


def lines(*changed: tuple[int, str]) -> str:
    rows = [",".join(map(str, row)) for row in table()]
    for number, text in changed:
        rows[number] = text
    return "\n".join(rows)


HEADER = ",".join([*HEADERS["plain"], *JOINT_NAMES]) + "\n"
BAD = {
    "empty": ("", "is empty", None),
    "blank lines": ("\n\n", "is empty", None),
    "header only": (HEADER, "a header and no rows", None),
    "a word": (lines((5, ",".join(["oops"] * 36))), "holds 'oops'", 5),
    "a short row": (lines((T - 1, "1,2,3")), "3 columns in this row and 36 in the first; is the file truncated", T - 1),
    "NaN": (lines((4, ",".join(["nan"] * 36))), "NaN or infinity", 4),
    "other width": ("1,2,3,4\n1,2,3,4", "4 columns and no header, allowed: 36", None),
    "no quaternion": (HEADER.replace("qw", "extra") + lines(), "no whole root quaternion", None),
    "a column twice": (HEADER.replace("qw", "x", 1) + lines(), "'x' and 'x' are the same", None),
    "binary": ("\x00\x01", "a header and no rows", None),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_table_names_file_frame_and_reason(tmp_path: Path, name: str) -> None:
    content, reason, frame = BAD[name]
    (tmp_path / "walk.csv").write_text(content, encoding="utf-8")
    with pytest.raises(BadClipError, match=reason) as error:
        CsvReader().open(MotionCfg(data=str(tmp_path))).read("walk")
    (fault,) = error.value.faults
    assert (fault.path, fault.key, fault.frame) == (tmp_path / "walk.csv", "walk", frame)


def test_text_that_is_none_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "walk.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadClipError, match="no readable text"):
        CsvReader().open(MotionCfg(data=str(tmp_path))).read("walk")


def test_detect_leaves_pickles_and_archives_to_their_readers(tmp_path: Path) -> None:
    cfg = MotionCfg(data=str(tmp_path))
    assert not CsvReader().detect(cfg)
    (tmp_path / "a.csv").write_text("", encoding="utf-8")
    assert CsvReader().detect(cfg)
    assert CsvReader().detect(MotionCfg(data=str(tmp_path / "a.csv")))
    (tmp_path / "a.npz").write_bytes(b"")
    assert not CsvReader().detect(cfg)


def test_published_tables_equal_the_library_made_of_them(real_data: Path, g1: RobotSpec) -> None:
    from grail_framework.motion.readers.grail import GrailReader

    source = CsvReader().open(MotionCfg(data=str(real_data / "raw" / "protomotions_g1")))
    made = GrailReader().open(MotionCfg(data=str(real_data / "grail" / "flat")))
    for key in source.keys:
        clip, notes = source.read(key)
        assert any("read as wxyz" in note.reason for note in notes)
        twin, _ = made.read(key.removeprefix("output_"))
        np.testing.assert_allclose(clip.joint_pos, twin.joint_pos, atol=1e-4)
        np.testing.assert_allclose(clip.root_pos, twin.root_pos, atol=1e-4)
        assert np.abs((clip.root_quat * twin.root_quat).sum(-1)).min() > 1 - 1e-5
        assert check_clip(clip, g1, Needs()) == []
