"""Writing of motions in the GRAIL layout: robot/, objects/ and meta/, one pickle of plain arrays per motion, and bps/."""

from __future__ import annotations

import io
import os
import pickle
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from grail_framework.motion.clip import HANDS
from grail_framework.motion.readers.grail_entries import JOINT_NAMES
from grail_framework.robots.rotations import rotvec_from_quat

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.motion.clip import MotionClip
    from grail_framework.robots.spec import RobotSpec


def write_clip(clip: MotionClip, folder: Path, robot: RobotSpec, *, compress: bool = True) -> None:
    """Write a clip below a library folder; each file appears whole or not at all.

    Args:
        clip: its joints may be in any order; those of the G1 are written in the layout's, which is MuJoCo's.
        folder: of the library.
        robot: gives the joints' axes.
        compress: with zlib; joblib reads either.
    """
    write_pickle(folder / "robot" / f"{clip.key}.pkl", {clip.key: robot_entry(clip, robot)}, compress=compress)
    if clip.object is not None:
        write_pickle(folder / "objects" / f"{clip.key}.pkl", {clip.key: object_entry(clip)}, compress=compress)
    write_pickle(folder / "meta" / f"{clip.key}.pkl", meta_entry(clip), compress=compress)
    if clip.bps is not None:
        write_bps(folder / "bps" / f"{clip.key}.npy", clip.bps)


def robot_entry(clip: MotionClip, robot: RobotSpec) -> dict[str, Any]:
    """Make the robot file's entry: `pose_aa` holds the root's rotation vector and each joint's angle times its axis, `root_rot` is wxyz."""
    names = JOINT_NAMES if set(clip.joint_names) == set(JOINT_NAMES) else clip.joint_names
    joint_pos = clip.joint_pos[:, [clip.joint_names.index(name) for name in names]]
    axes = {joint.name: joint.axis for joint in robot.joints}
    axis = np.asarray([axes[name] for name in names], dtype=np.float32)
    root = rotvec_from_quat(torch.from_numpy(np.array(clip.root_quat))).numpy()
    entry: dict[str, Any] = {
        "root_trans_offset": clip.root_pos.astype(np.float32),
        "pose_aa": np.concatenate((root[:, None], joint_pos[:, :, None] * axis), axis=1).astype(np.float32),
        "dof": joint_pos.astype(np.float32),
        "root_rot": clip.root_quat.astype(np.float32),
        "smpl_joints": np.zeros((len(clip.root_pos), 24, 3), dtype=np.float32),
        "fps": float(clip.fps),
    }
    if clip.hand_action is not None:
        for column, hand in enumerate(HANDS):
            entry[f"hand_action_{hand}"] = clip.hand_action[:, column].astype(np.float32)
    return entry


def object_entry(clip: MotionClip) -> dict[str, Any]:
    """Make the object file's entry of a clip that has an object; contact points are there for both hands or for none."""
    assert clip.object is not None
    entry: dict[str, Any] = {
        "root_pos": clip.object.pos[:, None].astype(np.float32),
        "root_quat": clip.object.quat[:, None].astype(np.float32),
        "fps": float(clip.object.fps),
    }
    if clip.object.contact_points is not None:
        for hand in HANDS:
            points = clip.object.contact_points.get(hand, {})
            entry[f"contact_points_{hand}_hand"] = {int(frame): np.asarray(p, dtype=np.float32) for frame, p in points.items()}
    return entry


def meta_entry(clip: MotionClip) -> dict[str, Any]:
    """Make the content of the meta file: the object's name and, if there is a table, its pose and size."""
    meta: dict[str, Any] = {"object_name": clip.object_name}
    for name in ("table_pos", "table_quat", "table_size"):
        value = getattr(clip, name)
        if value is not None:
            meta[name] = [float(number) for number in value]
    return meta


def write_pickle(path: Path, content: dict[str, Any], *, compress: bool) -> None:
    """Write plain values and arrays; the file appears whole or not at all."""
    packed = pickle.dumps(content, protocol=4)
    _write(path, zlib.compress(packed, 3) if compress else packed)


def write_bps(path: Path, value: np.ndarray) -> None:
    """Write a basis point set, or the basis itself, as a float32 array; the file appears whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(value, dtype=np.float32))
    _write(path, buffer.getvalue())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
