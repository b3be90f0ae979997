"""Writing of motions in the GRAIL layout: robot/, objects/ and meta/, one compressed pickle of plain arrays per motion."""

from __future__ import annotations

import os
import pickle
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from grail_framework.robots.rotations import rotvec_from_quat

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.motion.clip import MotionClip
    from grail_framework.robots.spec import RobotSpec


def write_clip(clip: MotionClip, folder: Path, robot: RobotSpec) -> None:
    """Write a clip below a library folder; the files appear whole or not at all.

    Joints are written in the clip's own order, which for the layout has to be MuJoCo's. `pose_aa` holds the root's rotation vector
    and each joint's angle times its axis; `root_rot` is wxyz.
    """
    axes = {joint.name: joint.axis for joint in robot.joints}
    axis = np.asarray([axes[name] for name in clip.joint_names], dtype=np.float32)
    root = rotvec_from_quat(torch.from_numpy(np.ascontiguousarray(clip.root_quat))).numpy()
    pose_aa = np.concatenate((root[:, None], clip.joint_pos[:, :, None] * axis), axis=1)
    entry: dict[str, Any] = {
        "root_trans_offset": clip.root_pos.astype(np.float32),
        "pose_aa": pose_aa.astype(np.float32),
        "dof": clip.joint_pos.astype(np.float32),
        "root_rot": clip.root_quat.astype(np.float32),
        "smpl_joints": np.zeros((len(clip.root_pos), 24, 3), dtype=np.float32),
        "fps": float(clip.fps),
    }
    if clip.hand_action is not None:
        entry["hand_action_left"] = clip.hand_action[:, 0].astype(np.float32)
        entry["hand_action_right"] = clip.hand_action[:, 1].astype(np.float32)
    _write(folder / "robot" / f"{clip.key}.pkl", {clip.key: entry})
    if clip.object is not None:
        _write(folder / "objects" / f"{clip.key}.pkl", {clip.key: _object_entry(clip)})
    meta: dict[str, Any] = {"object_name": clip.object_name}
    for name in ("table_pos", "table_quat", "table_size"):
        value = getattr(clip, name)
        if value is not None:
            meta[name] = [float(number) for number in value]
    _write(folder / "meta" / f"{clip.key}.pkl", meta)
    if clip.bps is not None:
        path = folder / "bps" / f"{clip.key}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, clip.bps.astype(np.float32))


def _object_entry(clip: MotionClip) -> dict[str, Any]:
    assert clip.object is not None
    entry: dict[str, Any] = {
        "root_pos": clip.object.pos[:, None].astype(np.float32),
        "root_quat": clip.object.quat[:, None].astype(np.float32),
        "fps": float(clip.object.fps),
    }
    for hand, points in (clip.object.contact_points or {}).items():
        entry[f"contact_points_{hand}_hand"] = {int(frame): np.asarray(p, dtype=np.float32) for frame, p in points.items()}
    return entry


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".tmp{os.getpid()}")
    temporary.write_bytes(zlib.compress(pickle.dumps(content, protocol=4), 3))
    temporary.replace(path)
