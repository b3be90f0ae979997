"""Stand-ins for the tests of terms and environments: an engine without physics, clips and a library made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np

from grail_framework.engine.kinematic import KinematicEngine
from grail_framework.motion.clip import MotionClip, ObjectTrack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_framework.robots.spec import RobotSpec

__all__ = ["KinematicEngine", "standing_clip", "write_box_library"]


def standing_clip(robot: RobotSpec, *, key: str = "stand", frames: int = 60, with_object: bool = False) -> MotionClip:
    """Make a clip of the robot in its default pose that drifts along x at 0.5 m/s, 50 fps.

    With an object, the box travels 0.4 m ahead of the root, both hands in contact from frame 30 on.
    """
    described = robot.num_motion_joints
    root_pos = np.tile([0.0, 0.0, robot.spawn_height], (frames, 1)).astype(np.float32)
    root_pos[:, 0] += 0.01 * np.arange(frames)
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1)).astype(np.float32)
    joint_pos = np.tile([joint.default_pos for joint in robot.joints[:described]], (frames, 1)).astype(np.float32)
    track = None
    if with_object:
        points = {frame: np.asarray([[0.0, 0.1, 0.0]], dtype=np.float32) for frame in range(30, frames)}
        track = ObjectTrack(
            pos=root_pos + np.asarray([0.4, 0.0, 0.0], dtype=np.float32),
            quat=upright,
            fps=50.0,
            contact_points={"left": points, "right": points},
        )
    return MotionClip(
        key=key,
        path=Path(f"{key}.pkl"),
        fps=50.0,
        joint_names=robot.joint_names[:described],
        root_pos=root_pos,
        root_quat=upright,
        joint_pos=joint_pos,
        object=track,
        hand_action=np.ones((frames, 2), dtype=np.float32),
    )


def write_box_library(folder: Path, keys: Sequence[str] = ("stand__000", "stand__001"), *, table: bool = False) -> Path:
    """Write a library of `standing_clip`s with a box of 20 cm and 0.1 kg in the GRAIL layout, for tests of whole runs.

    With a table the box stands, in the first frame, at the edge of one that is 2 m by 0.6 m by 4 cm.

    Returns:
        The folder, to be given as `--data`.
    """
    # Writing needs pxr, which tests of terms can do without.
    from grail_framework.assets.usd_writer import write_box_usd
    from grail_framework.motion.writer import write_clip
    from grail_framework.robots.g1 import g1_43dof
    from grail_framework.tasks.demo import mujoco_joint_order

    robot = g1_43dof()
    order = mujoco_joint_order(robot)
    (folder / "object_usd").mkdir(parents=True, exist_ok=True)
    for key in keys:
        clip = standing_clip(robot, key=key, with_object=True)
        names = tuple(clip.joint_names[i] for i in order)
        clip = attrs.evolve(clip, joint_names=names, joint_pos=clip.joint_pos[:, order])
        if table:
            under_box = np.asarray([1.35, 0.0, robot.spawn_height - 0.1 - 0.02], dtype=np.float32)
            clip = attrs.evolve(clip, table_pos=under_box, table_quat=np.asarray([1, 0, 0, 0], dtype=np.float32))
        write_clip(clip, folder, robot)
        write_box_usd(folder / "object_usd" / f"{key}.usd", (0.2, 0.2, 0.2), mass=0.1)
    return folder
