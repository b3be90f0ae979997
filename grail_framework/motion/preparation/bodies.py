"""Link positions of a clip, and which links the preparation steps look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from grail_framework.robots.kinematics import Kinematics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.motion.clip import MotionClip
    from grail_framework.robots.spec import RobotSpec

_LEG: Final = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
LOWER_BODY: Final = (
    "pelvis",
    *(f"{side}_{link}_link" for side in ("left", "right") for link in _LEG),
    "waist_yaw_link",
    "waist_roll_link",
    "torso_link",
    "right_shoulder_pitch_link",
)
"""Links of the G1 whose connections must not cut a table top: legs and trunk, up to the right shoulder (GRAIL release)."""


def skeleton_bodies(robot: RobotSpec) -> list[int]:
    """Return the indices of the root and of the links that motions move: 30 of the G1, without palms and fingers."""
    moved = set(robot.joint_names[: robot.num_motion_joints])
    return [
        index
        for index, body in enumerate(robot.bodies)
        if body.parent is None or (body.joint is not None and body.joint.name in moved)
    ]


def lower_body_segments(robot: RobotSpec) -> list[tuple[int, int]]:
    """Return (parent, child) indices of the lower body's links that are connected."""
    names = set(LOWER_BODY)
    return [
        (robot.body_names.index(body.parent), index)
        for index, body in enumerate(robot.bodies)
        if body.parent is not None and body.name in names and body.parent in names
    ]


def body_poses(clip: MotionClip, robot: RobotSpec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Run forward kinematics on a clip; joints that the clip does not have, those of the fingers, are at 0.

    Returns:
        Positions (T, B, 3) [m] and quaternions wxyz (T, B, 4) of all links, world frame.
    """
    joints = torch.zeros(len(clip.joint_pos), robot.num_joints, dtype=torch.float64)
    joints[:, robot.joint_ids(clip.joint_names)] = torch.from_numpy(np.array(clip.joint_pos, dtype=np.float64))
    root_quat = np.array(clip.root_quat, dtype=np.float64)
    root_quat /= np.linalg.norm(root_quat, axis=-1, keepdims=True)
    pos, quat = Kinematics(robot, dtype=torch.float64).forward(
        torch.from_numpy(np.array(clip.root_pos, dtype=np.float64)), torch.from_numpy(root_quat), joints
    )
    return pos.numpy(), quat.numpy()
