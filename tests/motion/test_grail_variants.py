"""What the GRAIL layout is like in the wild: compressions, links, single files, other joint counts, orders that are not stated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest

from grail_framework.config.scene import MotionCfg
from grail_framework.motion.faults import BadClipError
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.readers.joints import JOINT_AXES, JOINT_NAMES
from grail_framework.motion.safe_pickle import load_safe
from grail_framework.motion.validate import Needs, check_clip

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.robots.spec import RobotSpec


def read(library: Any, key: str = "a", **cfg: Any) -> tuple[Any, list[str]]:
    clip, notes = GrailReader().open(MotionCfg(data=str(library.root), **cfg)).read(key)
    assert not any(note.fatal for note in notes)
    return clip, [str(note) for note in notes]


@pytest.mark.parametrize("compress", [0, True, ("zlib", 9), ("gzip", 3), ("bz2", 3), ("lzma", 1), ("xz", 1)], ids=str)
def test_every_compression_of_joblib_is_read(library: Any, compress: Any) -> None:
    library.add("a")
    for part, content in (
        ("robot", {"a": library.robot_entry()}),
        ("objects", {"a": library.object_entry()}),
        ("meta", {"n": 1}),
    ):
        joblib.dump(content, library.root / part / "a.pkl", compress=compress)
    clip, notes = read(library)
    assert notes == []
    np.testing.assert_allclose(clip.joint_pos, library.robot_entry()["dof"], atol=1e-7)
    assert sorted(clip.object.contact_points["right"]) == list(range(20, 40))


def test_the_training_twin_links_to_its_assets_and_leaves_its_basis_points_with_the_other(library: Any) -> None:
    library.add("a")
    plain = library.root.with_name("cubes")
    plain.mkdir()
    for part in ("object_usd", "bps"):
        (library.root / part).rename(plain / part)
    (library.root / "object_usd").symlink_to("../cubes/object_usd")
    clip, notes = read(library)
    assert notes == []
    assert clip.object_usd == library.root / "object_usd" / "a.usd"
    assert clip.bps is not None


def test_a_single_file_finds_the_parts_of_its_library_by_stem(library: Any) -> None:
    library.add("a")
    library.add("b")
    both = {key: library.robot_entry() for key in ("b", "a")}
    joblib.dump(both, library.root / "robot" / "all.pkl", compress=3)
    for key in both:
        (library.root / "robot" / f"{key}.pkl").unlink()
    source = GrailReader().open(MotionCfg(data=str(library.root / "robot" / "all.pkl")))
    assert source.keys == ("a", "b")
    clip, notes = source.read("b")
    assert notes == []
    assert clip.object_usd == library.root / "object_usd" / "b.usd"
    assert clip.object is not None


def test_one_bad_motion_of_a_single_file_is_a_fault_of_that_motion(library: Any, tmp_path: Path) -> None:
    joblib.dump({"x": library.robot_entry(), "w": 3, "v": {}}, tmp_path / "all.pkl")
    source = GrailReader().open(MotionCfg(data=str(tmp_path / "all.pkl")))
    assert source.keys == ("v", "w", "x")
    source.read("x")
    for key, kind in (("w", "int"), ("v", "dict")):
        with pytest.raises(BadClipError, match=f"motion '{key}'.*holds a {kind}"):
            source.read(key)


def test_a_meta_file_may_carry_its_stem(library: Any) -> None:
    library.add("a", meta={"a": {"object_name": "cup", "table_pos": [0, 0, 0.4], "table_quat": [1, 0, 0, 0]}})
    clip, _ = read(library)
    assert (clip.object_name, clip.meta) == ("cup", library.root / "meta" / "a.pkl")
    assert clip.table_pos.tolist() == pytest.approx([0, 0, 0.4])


def test_a_missing_meta_file_is_said_where_others_are(library: Any) -> None:
    library.add("a")
    library.add("b")
    (library.root / "meta" / "a.pkl").unlink()
    assert "no meta file for this motion" in read(library)[1][0]


def test_a_table_in_the_robot_file_is_diagnosed(library: Any) -> None:
    library.add("a", robot=library.robot_entry(table_pos=[0, 0, 0.4]))
    clip, notes = read(library)
    assert clip.table_pos is None
    assert "it belongs into meta/<stem>.pkl" in notes[0]


NO_WRISTS = [name for name in JOINT_NAMES if "wrist" not in name]
ONE_WAIST = [
    name for name in JOINT_NAMES if not any(part in name for part in ("waist_roll", "waist_pitch", "wrist_pitch", "wrist_yaw"))
]


def of_23_joints(library: Any, names: list[str]) -> dict[str, Any]:
    """A robot entry of the 23-joint G1, every joint of which moves about its own axis, with three bodies behind."""
    axes = np.eye(3, dtype=np.float32)[["xyz".index(JOINT_AXES[JOINT_NAMES.index(name)]) for name in names]]
    dof = np.linspace(0.0, 0.3, 40, dtype=np.float32)[:, None] * np.linspace(0.5, 1.0, 23, dtype=np.float32)
    pose = np.zeros((40, 27, 3), np.float32)
    pose[:, 1:24] = dof[:, :, None] * axes
    xyzw = np.tile(np.array([0, 0, 0, 1], np.float32), (40, 1))
    return library.robot_entry(pose_aa=pose, dof=dof, root_rot=xyzw)


@pytest.mark.parametrize("names", [NO_WRISTS, ONE_WAIST], ids=["no wrists", "one waist joint"])
def test_motions_of_the_smaller_g1_are_refused_or_mapped_by_their_axes(library: Any, names: list[str]) -> None:
    entry = of_23_joints(library, names)
    library.add("a", robot=entry)
    with pytest.raises(BadClipError, match=r"23 joints .* motion\.map_23dof=true"):
        read(library)
    clip, notes = read(library, map_23dof=True)
    assert clip.joint_names == JOINT_NAMES
    missing = [name for name in JOINT_NAMES if name not in names]
    for name, column in zip(JOINT_NAMES, clip.joint_pos.T, strict=True):
        expected = np.zeros(40) if name in missing else entry["dof"][:, names.index(name)]
        np.testing.assert_allclose(column, expected, atol=1e-6, err_msg=name)
    assert f"{', '.join(missing)} stand at 0" in notes[0]


def test_the_23_joint_pickles_in_the_wild_are_mapped_when_asked(real_data: Path, g1: RobotSpec) -> None:
    source = GrailReader().open(MotionCfg(data=str(real_data / "raw" / "asap_g1_23dof"), map_23dof=True))
    assert len(source.keys) == 4
    for key in source.keys:
        clip, _ = source.read(key)
        entry: Any = next(iter(load_safe(clip.path).values()))  # pyright: ignore[reportAttributeAccessIssue]
        kept = [clip.joint_names.index(name) for name in NO_WRISTS]  # ASAP locks the wrists
        np.testing.assert_allclose(clip.joint_pos[:, kept], entry["dof"], atol=1e-6)
        xyzw = np.roll(entry["root_rot"], 1, axis=-1)
        assert np.abs((clip.root_quat * xyzw).sum(-1)).min() > 1 - 1e-4
        assert check_clip(clip, g1, Needs()) == []


def test_pose_in_another_order_shows_in_its_axes(library: Any) -> None:
    pose = library.robot_entry()["pose_aa"]
    pose[:, 2, 1] = np.linspace(0.0, 0.5, 40)  # left hip roll turns about x
    library.add("a", robot=library.robot_entry(pose_aa=pose, dof=None))
    with pytest.raises(BadClipError, match="turns joint 1, which is left_hip_roll_joint, about y instead of x") as error:
        read(library)
    assert error.value.faults[0].frame == 39


def test_a_rate_for_files_without_one_may_be_given(library: Any) -> None:
    library.add("a", robot=library.robot_entry(fps=None), obj=library.object_entry(fps=None))
    clip, notes = read(library, source_fps=60.0)
    assert (clip.fps, clip.object.fps, notes) == (60.0, 60.0, [])


def test_the_order_of_root_rotations_may_be_given(library: Any) -> None:
    xyzw = np.tile(np.array([0, 0, 0, 1], np.float32), (40, 1))
    library.add("a", robot=library.robot_entry(pose_aa=None, root_rot=xyzw))
    clip, notes = read(library, quat_order="xyzw")
    assert (clip.root_quat[0].tolist(), notes) == ([1, 0, 0, 0], [])


@pytest.mark.parametrize("part", ["robot", "objects"])
def test_equal_stems_leave_the_other_motions_usable(library: Any, part: str) -> None:
    library.add("a")
    library.add("b")
    (library.root / part / "more").mkdir()
    (library.root / part / "more" / "a.pkl").write_bytes((library.root / part / "a.pkl").read_bytes())
    with pytest.raises(BadClipError, match=r"more.a\.pkl has the same"):
        read(library, "a")
    read(library, "b")


def test_a_fault_beside_the_motions_names_a_file(library: Any) -> None:
    library.add("a")
    (library.root / "objects" / "z.pkl").write_bytes(b"")
    source = GrailReader().open(MotionCfg(data=str(library.root)))
    (fault,) = source.library_faults()
    assert (fault.path, fault.key, fault.fatal) == (library.root / "objects" / "z.pkl", "z", False)
    assert "1 object motions have no robot motion, the first: z" in fault.reason
