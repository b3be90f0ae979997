from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any

import attrs
import joblib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from grail_framework.config.scene import MotionCfg
from grail_framework.errors import DataError
from grail_framework.motion.faults import BadClipError
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.readers.joints import JOINT_NAMES

if TYPE_CHECKING:
    from pathlib import Path


def read(library: Any, key: str = "a", **cfg: Any) -> tuple[Any, list[str]]:
    source = GrailReader().open(MotionCfg(data=str(library.root), **cfg))
    clip, notes = source.read(key)
    assert not any(note.fatal for note in notes)
    return clip, [str(note) for note in notes]


def test_reads_all_parts_of_a_motion(library: Any) -> None:
    library.add("a")
    clip, notes = read(library)
    assert notes == []
    assert (clip.key, clip.fps, clip.object_name) == ("a", 30.0, "cube")
    assert clip.path == library.root / "robot" / "a.pkl"
    assert clip.object_usd == library.root / "object_usd" / "a.usd"
    entry = library.robot_entry()
    np.testing.assert_allclose(clip.joint_pos, entry["dof"], atol=1e-7)
    np.testing.assert_allclose(clip.root_quat, entry["root_rot"], atol=1e-6)
    assert clip.hand_action.shape == (40, 2)
    assert clip.hand_action[-1].tolist() == [-1.0, 1.0]
    assert clip.object.pos.shape == (40, 3)
    assert sorted(clip.object.contact_points["right"]) == list(range(20, 40))
    assert clip.object.contact_points["left"] == {}
    assert clip.bps.shape == (10,)
    assert clip.table_pos is None


def test_joint_order_is_that_of_the_mjcf() -> None:
    assert len(JOINT_NAMES) == 29
    assert JOINT_NAMES[3] == "left_knee_joint"
    assert JOINT_NAMES[12:15] == ("waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint")
    assert JOINT_NAMES[28] == "right_wrist_yaw_joint"


@pytest.mark.parametrize("named", ["root", "robot folder", "robot file", "explicit folders"])
def test_a_library_may_be_named_in_several_ways(library: Any, named: str) -> None:
    library.add("a")
    library.add("b")
    root = library.root
    cfg = {
        "root": MotionCfg(data=str(root)),
        "robot folder": MotionCfg(data=str(root / "robot")),
        "robot file": MotionCfg(data=str(root / "robot" / "a.pkl")),
        "explicit folders": MotionCfg(
            robot_dir=str(root / "robot"),
            object_dir=str(root / "objects"),
            object_usd=str(root / "object_usd"),
            meta_dir=str(root / "meta"),
            bps_dir=str(root / "bps"),
        ),
    }[named]
    reader = GrailReader()
    assert reader.detect(cfg)
    source = reader.open(cfg)
    assert source.keys == (("a",) if named == "robot file" else ("a", "b"))
    clip, _ = source.read("a")
    assert clip.object is not None
    assert clip.object_usd is not None
    assert clip.object_name == "cube"
    assert clip.bps is not None


def test_stems_are_sorted_and_metadata_is_no_motion(library: Any) -> None:
    for key in ("b", "a10", "a2"):
        library.add(key)
    joblib.dump({"a2": {"length": 40, "fps": 30}}, library.root / "robot" / "metadata.pkl")
    assert GrailReader().open(MotionCfg(data=str(library.root))).keys == ("a10", "a2", "b")


def test_bps_comes_from_the_sibling_without_ha(library: Any) -> None:
    library.add("a")
    sibling = library.root.parent / "cubes" / "bps"
    sibling.parent.mkdir()
    (library.root / "bps").rename(sibling)
    assert read(library)[0].bps is not None


def test_missing_bps_is_reported(library: Any) -> None:
    library.add("a")
    (library.root / "bps" / "a.npy").unlink()
    clip, notes = read(library)
    assert clip.bps is None
    assert "no basis point set" in notes[0]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY garbage", None])
def test_a_bad_bps_file_is_a_fault(library: Any, content: bytes | None) -> None:
    library.add("a")
    path = library.root / "bps" / "a.npy"
    if content is None:
        np.save(path, np.ones(7, dtype=np.float32))
    else:
        path.write_bytes(content)
    with pytest.raises(BadClipError, match=r"a\.npy"):
        read(library)


def test_one_file_with_all_motions(library: Any, tmp_path: Path) -> None:
    joblib.dump({"x": library.robot_entry(), "w": library.robot_entry(frames=20)}, tmp_path / "all.pkl")
    source = GrailReader().open(MotionCfg(data=str(tmp_path / "all.pkl")))
    assert source.keys == ("w", "x")
    assert len(source.read("w")[0].root_pos) == 20


def test_a_folder_file_with_two_motions_is_a_fault(library: Any) -> None:
    library.add("a")
    joblib.dump({"x": library.robot_entry(), "y": library.robot_entry()}, library.root / "robot" / "a.pkl")
    with pytest.raises(BadClipError, match="holds 2 motions"):
        read(library)


def test_equal_stems_in_two_folders_are_an_error(library: Any) -> None:
    library.add("a")
    (library.root / "robot" / "more").mkdir()
    joblib.dump({"a": library.robot_entry()}, library.root / "robot" / "more" / "a.pkl")
    with pytest.raises(DataError, match="one stem"):
        read(library)


def test_pose_aa_is_the_truth(library: Any) -> None:
    library.add("a", robot=library.robot_entry(dof=library.robot_entry()["dof"] + 0.2, root_rot=np.zeros((40, 4), np.float32)))
    clip, notes = read(library)
    np.testing.assert_allclose(clip.joint_pos, library.robot_entry()["dof"], atol=1e-6)
    assert "'dof' and 'pose_aa' differ by 0.200 rad" in notes[0]


@pytest.mark.parametrize("name", ["dof", "joint_pos"])
def test_joint_angles_stand_in_for_pose_aa(library: Any, name: str) -> None:
    entry = library.robot_entry(pose_aa=None)
    entry[name] = entry.pop("dof")
    entry["root_rot"] = np.tile(Rotation.from_euler("zy", [0.3, 0.1]).as_quat(scalar_first=True).astype(np.float32), (40, 1))
    library.add("a", robot=entry)
    clip, notes = read(library)
    assert notes == []
    np.testing.assert_allclose(clip.joint_pos, library.robot_entry()["dof"])
    np.testing.assert_allclose(clip.root_quat, entry["root_rot"])


def test_xyzw_root_rotations_are_seen_and_mended(library: Any) -> None:
    wxyz = Rotation.from_rotvec(np.outer(np.linspace(0.5, 2.0, 40), [0, 0, 1])).as_quat(scalar_first=True).astype(np.float32)
    library.add("a", robot=library.robot_entry(pose_aa=None, root_rot=np.roll(wxyz, -1, axis=-1)))
    clip, notes = read(library)
    np.testing.assert_allclose(clip.root_quat, wxyz)
    assert "read as xyzw" in notes[0]


def test_a_root_rotation_that_fits_both_orders_is_read_as_documented_and_reported(library: Any) -> None:
    library.add("a", robot=library.robot_entry(pose_aa=None, root_rot=np.tile(np.array([0, 0, 0, 1], np.float32), (40, 1))))
    clip, notes = read(library)
    assert clip.root_quat[0].tolist() == [0, 0, 0, 1]
    assert "does not show its order" in notes[0]


def test_missing_fps_is_30_and_reported(library: Any) -> None:
    library.add("a", robot=library.robot_entry(fps=None), obj=library.object_entry(fps=None))
    clip, notes = read(library)
    assert clip.fps == clip.object.fps == 30.0
    assert "30 is assumed" in notes[0]


def test_an_object_that_stands_still_in_xyzw_is_seen(library: Any) -> None:
    library.add("a", obj=library.object_entry(root_quat=np.tile(np.array([0, 0, 0, 1], np.float32), (40, 1, 1))))
    clip, notes = read(library)
    assert clip.object.quat[0].tolist() == [1, 0, 0, 0]
    assert "read as xyzw" in notes[0]


def test_table_comes_from_the_meta_file(library: Any) -> None:
    meta = {"object_name": "cup", "table_pos": [1, 2, 0.4], "table_quat": [1, 0, 0, 0], "table_size": [1.5, 0.7, 0.04]}
    library.add("a", meta=meta)
    clip, notes = read(library)
    assert notes == []
    np.testing.assert_allclose(clip.table_pos, [1, 2, 0.4])
    np.testing.assert_allclose(clip.table_quat, [1, 0, 0, 0])
    np.testing.assert_allclose(clip.table_size, [1.5, 0.7, 0.04])


def test_a_table_exported_in_xyzw_is_seen(library: Any) -> None:
    wxyz = Rotation.from_euler("z", 0.8).as_quat(scalar_first=True)
    library.add("a", meta={"table_pos": [0, 0, 0.4], "table_quat": np.roll(wxyz, -1)})
    clip, notes = read(library)
    np.testing.assert_allclose(clip.table_quat, wxyz, atol=1e-6)
    assert "read as xyzw" in notes[0]


def test_no_contact_keys_is_not_the_same_as_no_contact(library: Any) -> None:
    library.add("a", obj=library.object_entry(contact_points_left_hand=None, contact_points_right_hand=None))
    library.add("b", obj=library.object_entry(contact_points_right_hand={}))
    assert read(library, "a")[0].object.contact_points is None
    assert read(library, "b")[0].object.contact_points == {"left": {}, "right": {}}


def nan_in(m: Any, name: str, frame: int) -> dict[str, Any]:
    value = m.robot_entry()[name].copy()
    value[frame].flat[0] = np.nan
    return m.robot_entry(**{name: value})


BAD_ROBOTS = {
    "no root": (lambda m: m.robot_entry(root_trans_offset=None), "'root_trans_offset' is missing"),
    "no pose": (lambda m: m.robot_entry(pose_aa=None, dof=None), "neither 'pose_aa' nor 'dof'"),
    "nan root": (lambda m: nan_in(m, "root_trans_offset", 7), "frame 7.*NaN"),
    "nan pose": (lambda m: nan_in(m, "pose_aa", 3), "frame 3.*NaN"),
    "flat root": (lambda m: m.robot_entry(root_trans_offset=np.zeros((40, 2), np.float32)), r"allowed: \(T, 3\)"),
    "short root": (lambda m: m.robot_entry(root_trans_offset=np.zeros((39, 3), np.float32)), "40 frames of root rotation"),
    "text": (lambda m: m.robot_entry(pose_aa="none"), "no array of numbers"),
    "23 joints": (
        lambda m: m.robot_entry(pose_aa=np.zeros((40, 27, 3), np.float32), dof=np.zeros((40, 23))),
        "23 joints.*retarget",
    ),
    "12 joints": (lambda m: m.robot_entry(pose_aa=None, dof=np.zeros((40, 12))), "12 joints, allowed: 29"),
    "one hand": (lambda m: m.robot_entry(hand_action_left=None), "one hand only"),
    "short hand": (lambda m: m.robot_entry(hand_action_left=np.ones(5)), "hand_action_left"),
    "fps text": (lambda m: m.robot_entry(fps="30"), "'fps'"),
}
BAD_OBJECTS = {
    "no position": (lambda m: m.object_entry(root_pos=None), "'root_pos' is missing"),
    "two objects": (lambda m: m.object_entry(root_pos=np.zeros((40, 2, 3)), root_quat=np.zeros((40, 2, 4))), "2 objects"),
    "different lengths": (lambda m: m.object_entry(root_pos=np.zeros((30, 1, 3))), "30 frames of 'root_pos'"),
    "contact list": (lambda m: m.object_entry(contact_points_left_hand=[1, 2]), "no dictionary"),
    "contact key": (lambda m: m.object_entry(contact_points_left_hand={"a": np.ones((1, 3))}), "source frame numbers"),
    "contact shape": (lambda m: m.object_entry(contact_points_left_hand={4: np.ones((2, 2))}), "frame 4"),
}


@pytest.mark.parametrize("name", sorted(BAD_ROBOTS))
def test_bad_robot_files_name_file_key_and_reason(library: Any, name: str) -> None:
    make, message = BAD_ROBOTS[name]
    library.add("a", robot=make(library))
    with pytest.raises(BadClipError, match=message) as error:
        read(library)
    (fault,) = error.value.faults
    assert fault.path == library.root / "robot" / "a.pkl"
    assert fault.key == "a"
    assert fault.fatal


@pytest.mark.parametrize("name", sorted(BAD_OBJECTS))
def test_bad_object_files_name_file_key_and_reason(library: Any, name: str) -> None:
    make, message = BAD_OBJECTS[name]
    library.add("a", obj=make(library))
    with pytest.raises(BadClipError, match=message) as error:
        read(library)
    assert error.value.faults[0].path == library.root / "objects" / "a.pkl"


def test_an_unsafe_file_is_a_fault_of_its_motion(library: Any) -> None:
    library.add("a")
    (library.root / "robot" / "a.pkl").write_bytes(pickle.dumps({"a": print}))
    with pytest.raises(BadClipError, match=r"builtins\.print"):
        read(library)


@pytest.mark.parametrize("field", ["object_dir", "object_usd", "meta_dir", "bps_dir", "robot_dir"])
def test_a_named_folder_that_is_missing_is_an_error(library: Any, field: str) -> None:
    library.add("a")
    cfg = attrs.evolve(MotionCfg(data=str(library.root)), **{field: str(library.root / "nowhere")})
    with pytest.raises(DataError, match="nowhere"):
        GrailReader().open(cfg)


def test_object_assets_may_be_a_file_a_list_a_pattern_or_a_text_file(library: Any) -> None:
    library.add("a")
    library.add("b")
    usd = library.root / "object_usd"
    listing = library.root / "assets.txt"
    listing.write_text(f"# assets\n{usd / 'b.usd'}\n\nobject_usd/a.usd\n", encoding="utf-8")
    assert read(library, "b", object_usd=str(usd / "a.usd"))[0].object_usd == usd / "a.usd"
    assert read(library, "b", object_usd=(str(usd / "a.usd"),))[0].object_usd is None
    assert read(library, "b", object_usd=("[ab]",))[0].object_usd == usd / "b.usd"
    assert read(library, "a", object_usd=str(listing))[0].object_usd == usd / "a.usd"
    with pytest.raises(DataError, match="matches no asset"):
        read(library, "a", object_usd=("cube.*",))


def test_leftover_files_are_reported(library: Any, caplog: pytest.LogCaptureFixture) -> None:
    library.add("a")
    (library.root / "object_usd" / "z.usd").write_bytes(b"")
    (library.root / "object_usd" / "flat_placeholder.usd").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        read(library)
    assert "1 object assets have no robot motion, the first: z" in caplog.text


def test_detect_looks_at_names_only(tmp_path: Path) -> None:
    reader = GrailReader()
    assert not reader.detect(MotionCfg())
    assert not reader.detect(MotionCfg(data=str(tmp_path / "none")))
    assert not reader.detect(MotionCfg(data=str(tmp_path)))
    (tmp_path / "clip.npz").write_bytes(b"")
    assert not reader.detect(MotionCfg(data=str(tmp_path / "clip.npz")))
    (tmp_path / "robot").mkdir()
    assert not reader.detect(MotionCfg(data=str(tmp_path)))
    (tmp_path / "robot" / "a.pkl").write_bytes(b"garbage")
    assert reader.detect(MotionCfg(data=str(tmp_path)))


def test_real_clips_equal_their_published_sources(real_data: Path) -> None:
    source = GrailReader().open(MotionCfg(data=str(real_data / "grail" / "largebox_ha")))
    assert source.keys == tuple(f"largebox__carry__00{i}" for i in range(3))
    clip, notes = source.read(source.keys[0])
    assert notes == []
    raw = np.load(real_data / "raw" / "holosoma_largebox" / "sub3_largebox_003_mj_w_obj.npz")
    np.testing.assert_allclose(clip.root_pos, raw["joint_pos"][:, :3], atol=1e-6)
    assert np.abs((clip.root_quat * raw["joint_pos"][:, 3:7]).sum(-1)).min() > 1 - 1e-6
    np.testing.assert_allclose(clip.joint_pos, raw["joint_pos"][:, 7:], atol=1e-6)
    assert list(clip.joint_names) == raw["joint_names"].tolist()
    np.testing.assert_allclose(clip.object.pos, raw["object_pos_w"], atol=1e-6)
    assert np.abs((clip.object.quat * raw["object_quat_w"]).sum(-1)).min() > 1 - 1e-6


def test_the_23_joint_pickles_in_the_wild_are_refused_clearly(real_data: Path) -> None:
    source = GrailReader().open(MotionCfg(data=str(real_data / "raw" / "asap_g1_23dof")))
    for key in source.keys:
        with pytest.raises(BadClipError, match="23 joints"):
            source.read(key)
