from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from grail_framework.config.scene import MotionCfg
from grail_framework.motion.faults import BadClipError
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.readers.joints import ISAAC_JOINT_NAMES, JOINT_NAMES
from grail_framework.motion.readers.npz import NpzReader
from grail_framework.motion.validate import Needs, check_clip
from grail_framework.robots.kinematics import Kinematics

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.robots.spec import RobotSpec

T = 20


def root_pose() -> np.ndarray:
    """(T, 7): along x, turning from 1 to 2 rad about z."""
    t = np.linspace(0.0, 1.0, T)
    pos = np.stack([t, 0.0 * t, 0.78 + 0.0 * t], axis=-1)
    return np.concatenate([pos, Rotation.from_euler("z", 1.0 + t[:, None]).as_quat(scalar_first=True)], axis=-1)


def joint_angles() -> np.ndarray:
    return np.linspace(0.0, 0.4, T)[:, None] * np.linspace(0.1, 1.0, 29)[None, :]


def holosoma(**changes: Any) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "fps": np.array([50]),
        "joint_pos": np.concatenate([root_pose(), joint_angles()], axis=-1),
        "joint_names": np.array(JOINT_NAMES),
        "object_pos_w": np.tile(np.array([0.5, 0.0, 0.2]), (T, 1)),
        "object_quat_w": np.tile(np.array([1.0, 0.0, 0.0, 0.0]), (T, 1)),
    }
    return {name: value for name, value in (arrays | changes).items() if value is not None}


def beyond_mimic(g1: RobotSpec, order: tuple[str, ...], **changes: Any) -> dict[str, Any]:
    """Arrays whose joints and bodies are in one of the two orders of the G1, by the forward kinematics of the project's own robot."""
    import torch

    root = torch.from_numpy(root_pose())
    full = torch.zeros(T, g1.num_joints, dtype=torch.float64)
    full[:, list(g1.joint_ids(JOINT_NAMES))] = torch.from_numpy(joint_angles())
    pos, quat = Kinematics(g1, torch.device("cpu"), torch.float64).forward(root[:, :3], root[:, 3:], full)[:2]
    links = [next(body.name for body in g1.bodies if body.joint is not None and body.joint.name == name) for name in order]
    bodies = g1.body_ids(["pelvis", *links])
    arrays: dict[str, Any] = {
        "fps": np.array(50),
        "joint_pos": joint_angles()[:, [JOINT_NAMES.index(name) for name in order]],
        "body_pos_w": pos[:, bodies].numpy(),
        "body_quat_w": quat[:, bodies].numpy(),
    }
    return {name: value for name, value in (arrays | changes).items() if value is not None}


def read(folder: Path, arrays: dict[str, Any], **cfg: Any) -> tuple[Any, list[str]]:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "walk.npz", **arrays)
    clip, notes = NpzReader().open(MotionCfg(data=str(folder), **cfg)).read("walk")
    return clip, [note.reason for note in notes]


def test_reads_root_joints_object_and_rate_by_name(tmp_path: Path) -> None:
    clip, notes = read(tmp_path, holosoma(object_name=np.array("box")))
    assert notes == []
    assert (clip.key, clip.fps, clip.joint_names, clip.object_name) == ("walk", 50.0, JOINT_NAMES, "box")
    np.testing.assert_allclose(np.concatenate([clip.root_pos, clip.root_quat], axis=-1), root_pose(), atol=1e-6)
    np.testing.assert_allclose(clip.joint_pos, joint_angles(), atol=1e-6)
    assert clip.object.pos[3].tolist() == pytest.approx([0.5, 0.0, 0.2])
    assert clip.object.contact_points is None


def test_named_joints_keep_the_file_s_order(tmp_path: Path) -> None:
    shuffled = np.array(ISAAC_JOINT_NAMES)
    clip, notes = read(tmp_path, holosoma(joint_names=shuffled))
    assert clip.joint_names == ISAAC_JOINT_NAMES
    assert notes == []
    short = np.array([name.removesuffix("_joint") for name in ISAAC_JOINT_NAMES])
    assert read(tmp_path, holosoma(joint_names=short))[0].joint_names == ISAAC_JOINT_NAMES


def test_hand_joints_are_left_out(tmp_path: Path) -> None:
    names = np.array([*JOINT_NAMES, *(f"left_hand_index_{i}_joint" for i in range(2))])
    joints = np.concatenate([root_pose(), joint_angles(), np.ones((T, 2))], axis=-1)
    clip, _ = read(tmp_path, holosoma(joint_pos=joints, joint_names=names))
    assert clip.joint_names == JOINT_NAMES
    assert clip.joint_pos.shape == (T, 29)


def test_seven_more_columns_are_the_object(tmp_path: Path) -> None:
    pose = np.tile(np.array([0.1, 0.2, 0.3, 1.0, 0.0, 0.0, 0.0]), (T, 1))
    joints = np.concatenate([root_pose(), joint_angles(), pose], axis=-1)
    clip, _ = read(tmp_path, holosoma(joint_pos=joints, object_pos_w=None, object_quat_w=None))
    assert clip.object.pos[0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert clip.object.quat[0].tolist() == [1.0, 0.0, 0.0, 0.0]


def test_what_is_assumed_is_said(tmp_path: Path) -> None:
    clip, notes = read(tmp_path, holosoma(joint_names=None, fps=None))
    assert (clip.joint_names, clip.fps) == (JOINT_NAMES, 30.0)
    assert any("no 'joint_names'; the order of the Unitree G1 MJCF is assumed" in note for note in notes)
    assert any("30 is assumed" in note for note in notes)
    clip, notes = read(tmp_path, holosoma(fps=None), source_fps=25.0)
    assert (clip.fps, notes) == (25.0, [])


@pytest.mark.parametrize("order", [ISAAC_JOINT_NAMES, JOINT_NAMES], ids=["isaac", "mujoco"])
def test_joints_alone_take_the_root_from_the_pelvis_and_the_order_from_the_bodies(
    tmp_path: Path, g1: RobotSpec, order: tuple[str, ...]
) -> None:
    clip, notes = read(tmp_path, beyond_mimic(g1, order))
    assert clip.joint_names == order
    np.testing.assert_allclose(np.concatenate([clip.root_pos, clip.root_quat], axis=-1), root_pose(), atol=1e-6)
    assert len(notes) == 1
    assert ("Isaac Lab" if order is ISAAC_JOINT_NAMES else "MJCF") in notes[0]
    by_name = [clip.joint_names.index(name) for name in JOINT_NAMES]
    np.testing.assert_allclose(clip.joint_pos[:, by_name], joint_angles(), atol=1e-6)
    assert check_clip(clip, g1, Needs()) == []


def test_body_names_say_where_the_root_is_and_the_order(tmp_path: Path, g1: RobotSpec) -> None:
    arrays = beyond_mimic(g1, JOINT_NAMES)
    links = ["torso_link" if name == "waist_pitch_joint" else name.replace("_joint", "_link") for name in JOINT_NAMES]
    arrays["body_names"] = np.array([*links, "pelvis"])
    for name in ("body_pos_w", "body_quat_w"):
        arrays[name] = np.roll(arrays[name], -1, axis=1)
    clip, notes = read(tmp_path, arrays)
    assert clip.joint_names == JOINT_NAMES
    assert notes == ["no 'joint_names'; the order of 'body_names' is taken"]
    np.testing.assert_allclose(clip.root_pos, root_pose()[:, :3], atol=1e-6)


def test_a_root_in_xyzw_is_seen_or_named(tmp_path: Path) -> None:
    pose = root_pose()
    pose[:, 3:] = np.roll(pose[:, 3:], -1, axis=-1)
    joints = np.concatenate([pose, joint_angles()], axis=-1)
    clip, notes = read(tmp_path, holosoma(joint_pos=joints))
    np.testing.assert_allclose(clip.root_quat, root_pose()[:, 3:], atol=1e-6)
    assert "read as xyzw" in notes[0]
    assert read(tmp_path, holosoma(joint_pos=joints), quat_order="xyzw")[1] == []


def test_assets_tables_and_basis_points_beside_the_archives_are_found(tmp_path: Path) -> None:
    import joblib

    for part in ("object_usd", "meta", "bps"):
        (tmp_path / part).mkdir()
    (tmp_path / "object_usd" / "walk.usd").write_bytes(b"")
    joblib.dump({"table_pos": [0, 0, 0.4], "table_quat": [1, 0, 0, 0]}, tmp_path / "meta" / "walk.pkl")
    np.save(tmp_path / "bps" / "walk.npy", np.ones(10, np.float32))
    clip, notes = read(tmp_path, holosoma())
    assert notes == []
    assert clip.object_usd == tmp_path / "object_usd" / "walk.usd"
    assert clip.table_pos.tolist() == pytest.approx([0, 0, 0.4])
    assert clip.bps.shape == (10,)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no joints": ({"joint_pos": None}, "'joint_pos' is missing"),
    "other width": ({"joint_pos": np.zeros((T, 40))}, "40 columns, allowed: 29 joints, 36 with a root in front"),
    "names twice": ({"joint_names": np.array([JOINT_NAMES[0], *JOINT_NAMES[:28]])}, "left_hip_pitch_joint twice"),
    "names as numbers": ({"joint_names": np.arange(29)}, "no list of names"),
    "NaN": ({"joint_pos": np.full((T, 36), np.nan)}, "NaN or infinity"),
    "object of another length": ({"object_pos_w": np.zeros((3, 3))}, "3 frames of 'object_pos_w'"),
    "half an object": ({"object_quat_w": None}, "'object_quat_w' is missing"),
    "pickled": ({"joint_pos": np.array([{}], dtype=object)}, "no readable npz archive"),
    "fps text": ({"fps": np.array("fast")}, "'fps'"),
    "23 joints": ({"joint_names": None, "joint_pos": np.zeros((T, 30))}, "23 joints and no 'joint_names'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_names_file_key_and_reason(tmp_path: Path, name: str) -> None:
    changes, reason = BAD[name]
    with pytest.raises(BadClipError, match=reason) as error:
        read(tmp_path, holosoma(**changes))
    (fault,) = error.value.faults
    assert (fault.path, fault.key, fault.fatal) == (tmp_path / "walk.npz", "walk", True)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 garbage", b"not an archive"])
def test_a_file_that_is_no_archive_is_a_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "walk.npz").write_bytes(content)
    with pytest.raises(BadClipError, match="npz archive"):
        NpzReader().open(MotionCfg(data=str(tmp_path))).read("walk")


def test_every_truncation_is_a_fault(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "walk.npz", **holosoma())
    content = (tmp_path / "walk.npz").read_bytes()
    source = NpzReader().open(MotionCfg(data=str(tmp_path)))
    for length in range(0, len(content) - 1, 97):
        (tmp_path / "walk.npz").write_bytes(content[:length])
        with pytest.raises(BadClipError):
            source.read("walk")


def test_expansion_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grail_framework.motion.readers.npz.MAX_BYTES", 100_000)
    with zipfile.ZipFile(tmp_path / "walk.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("joint_pos.npy", bytes(1_000_000))
    with pytest.raises(BadClipError, match="expands to 1000000 bytes"):
        NpzReader().open(MotionCfg(data=str(tmp_path))).read("walk")


def test_two_archives_of_one_stem_are_a_fault_of_that_motion(tmp_path: Path) -> None:
    read(tmp_path, holosoma())
    read(tmp_path / "more", holosoma())
    with pytest.raises(BadClipError, match="stem of its own"):
        NpzReader().open(MotionCfg(data=str(tmp_path))).read("walk")


def test_detect_looks_at_names_only_and_leaves_pickles_to_their_reader(tmp_path: Path) -> None:
    cfg = MotionCfg(data=str(tmp_path))
    assert not NpzReader().detect(MotionCfg())
    assert not NpzReader().detect(cfg)
    (tmp_path / "motion").mkdir()
    (tmp_path / "motion" / "a.npz").write_bytes(b"")
    assert NpzReader().detect(cfg)
    assert NpzReader().detect(MotionCfg(data=str(tmp_path / "motion" / "a.npz")))
    assert NpzReader().detect(MotionCfg(robot_dir=str(tmp_path / "motion")))
    (tmp_path / "a.pkl").write_bytes(b"")
    assert not NpzReader().detect(cfg)


def test_the_published_clip_equals_the_library_made_of_it(real_data: Path, g1: RobotSpec) -> None:
    source = NpzReader().open(MotionCfg(data=str(real_data / "raw" / "holosoma_largebox")))
    clip, notes = source.read(source.keys[0])
    assert notes == []
    made, _ = GrailReader().open(MotionCfg(data=str(real_data / "grail" / "largebox_ha"))).read("largebox__carry__000")
    np.testing.assert_allclose(clip.root_pos, made.root_pos, atol=1e-4)
    np.testing.assert_allclose(clip.joint_pos, made.joint_pos, atol=1e-4)
    assert np.abs((clip.root_quat * made.root_quat).sum(-1)).min() > 1 - 1e-6
    assert clip.object is not None
    assert made.object is not None
    np.testing.assert_allclose(clip.object.pos, made.object.pos, atol=1e-4)
    assert (clip.fps, clip.joint_names) == (made.fps, made.joint_names)
    assert check_clip(clip, g1, Needs()) == []
