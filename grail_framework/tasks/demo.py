"""The demo library of `motion_tracking`: a robot that moves on its spot. The first motion needs no solver and is always the same."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from grail_framework.motion.clip import MotionClip
from grail_framework.robots.g1 import g1_43dof
from grail_framework.robots.kinematics import Kinematics
from grail_framework.tasks.demo_files import DemoMotion, write_library

if TYPE_CHECKING:
    from grail_framework.robots.inverse_kinematics import InverseKinematics
    from grail_framework.robots.spec import RobotSpec


FPS = 50.0
DURATION_S = 6.0
SQUAT = {"hip_pitch": -0.43, "knee": 0.86, "ankle_pitch": -0.43}
"""Change of each leg joint at the deepest point; the sum is 0, so that the feet stay flat. [rad]"""
WAVE = {"left_elbow": 0.4, "right_elbow": 0.4, "waist_yaw": 0.25}
"""Amplitudes of what swings to both sides. [rad]"""
OPEN = {"left_shoulder_roll": 0.6, "right_shoulder_roll": -0.6}
"""Amplitudes of the arms, which open twice and never reach into the torso. [rad]"""


def make_demo_library(out: Path, *, motions: int = 1, seed: int = 0) -> Path:
    """Write `motions` motions on the spot below `out` in the GRAIL layout and return the folder.

    The first is always the same squat and wave; the others take turns between weight shift, steps, arm waves, turned torso and
    squat, varied by the seed.

    Raises:
        ConfigError: `motions` or `seed` is too small.
        DataError: a motion could not be made.
    """
    return write_library(Path(out), demo_motion, g1_43dof(), motions=motions, seed=seed)


def demo_motion(index: int, *, seed: int) -> DemoMotion:
    """Make the motion with an index."""
    if index == 0:
        return DemoMotion(clip=squat_and_wave(g1_43dof(), key="squat_wave__000"))
    # mink takes a second to import, and the first motion does without.
    from grail_framework.tasks.demo_moves import make_move

    return DemoMotion(clip=make_move(_solver(), index, seed))


@functools.cache
def _solver() -> InverseKinematics:
    from grail_framework.robots.inverse_kinematics import InverseKinematics

    return InverseKinematics(g1_43dof())


def squat_and_wave(robot: RobotSpec, *, key: str, depth: float = 1.0, tempo: float = 1.0) -> MotionClip:
    """Make one motion: two squats while the arms open and the torso turns; starts and ends in the default pose.

    Args:
        robot: the robot; its first `num_motion_joints` joints are described.
        key: the motion's stem.
        depth: scale of the squat. [-]
        tempo: scale of the rate. [-]
    """
    frames = round(DURATION_S / tempo * FPS)
    phase = np.linspace(0.0, 1.0, frames)
    squat = depth * 0.5 * (1.0 - np.cos(4.0 * math.pi * phase))
    wave = np.sin(2.0 * math.pi * phase) * np.sin(math.pi * phase) ** 2
    opening = np.sin(2.0 * math.pi * phase) ** 2 * np.sin(math.pi * phase) ** 2
    names = robot.joint_names[: robot.num_motion_joints]
    joints = np.tile([joint.default_pos for joint in robot.joints], (frames, 1))
    for i, name in enumerate(names):
        short = name.removesuffix("_joint")
        joints[:, i] += SQUAT.get(short.removeprefix("left_").removeprefix("right_"), 0.0) * squat
        joints[:, i] += WAVE.get(short, 0.0) * wave + OPEN.get(short, 0.0) * opening
    root_pos = _root_over_feet(robot, joints)
    order = mujoco_joint_order(robot)
    return MotionClip(
        key=key,
        path=Path(f"{key}.pkl"),
        fps=FPS,
        joint_names=tuple(names[i] for i in order),
        root_pos=root_pos.astype(np.float32),
        root_quat=np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1)).astype(np.float32),
        joint_pos=joints[:, order].astype(np.float32),
    )


def mujoco_joint_order(robot: RobotSpec) -> list[int]:
    """Indices of the described joints in depth-first (MuJoCo) order: legs, waist, arms, left before right."""
    children: dict[str | None, list[int]] = {}
    for i, body in enumerate(robot.bodies):
        children.setdefault(body.parent, []).append(i)
    order: list[int] = []

    def visit(index: int) -> None:
        joint = robot.bodies[index].joint
        if joint is not None and joint.name in robot.joint_names[: robot.num_motion_joints]:
            order.append(robot.joint_names.index(joint.name))
        for child in children.get(robot.bodies[index].name, []):
            visit(child)

    visit(0)
    return order


def _root_over_feet(robot: RobotSpec, joints: np.ndarray) -> np.ndarray:
    """Root positions (T, 3) that keep the feet where they are in the first frame, soles on the ground."""
    frames = len(joints)
    kinematics = Kinematics(robot)
    root = torch.zeros(frames, 3)
    upright = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(frames, 4)
    body_pos, _ = kinematics.forward(root, upright, torch.from_numpy(joints).float())
    feet = body_pos[:, robot.body_ids(("left_ankle_roll_link", "right_ankle_roll_link"))].mean(dim=1).numpy()
    offset = -feet
    offset[:, :2] += feet[0, :2]
    offset[:, 2] += SOLE_HEIGHT
    return offset


SOLE_HEIGHT = 0.035
"""Height of the ankle roll link's frame over the sole. [m]"""
