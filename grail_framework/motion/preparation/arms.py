"""Edits of the arms: a quiet left arm, a shoulder out of the way at the start, straight wrists."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from grail_framework.errors import DataError, suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.motion.clip import MotionClip

LEFT_ARM: Final[dict[str, float]] = {
    "left_shoulder_pitch_joint": 0.0,
    "left_shoulder_roll_joint": 0.2,
    "left_shoulder_yaw_joint": -0.2,
    "left_elbow_joint": 1.57,
    "left_wrist_roll_joint": 0.0,
    "left_wrist_pitch_joint": 0.0,
    "left_wrist_yaw_joint": 0.0,
}
"""Where the left arm rests while the right hand works (GRAIL release). [rad]"""
SHOULDER_JOINT: Final = "right_shoulder_roll_joint"
SHOULDER_OFFSET: Final = math.radians(-20.0)
"""Offset of the right shoulder's roll at the first frame (GRAIL release). [rad]"""
SHOULDER_BLEND_SECONDS: Final = 4.0
"""Time over which that offset fades out (GRAIL release). [s]"""


def rest_left_arm(clip: MotionClip) -> MotionClip:
    """Hold the seven joints of the left arm in one pose over the whole motion."""
    return _set_joints(clip, LEFT_ARM)


def straighten_wrists(clip: MotionClip) -> MotionClip:
    """Set all joints with `wrist` in their names to 0, as for motions on terrain and seats, where the hands hold nothing."""
    return _set_joints(clip, {name: 0.0 for name in clip.joint_names if "wrist" in name})


def blend_shoulder(clip: MotionClip) -> MotionClip:
    """Turn the right shoulder's roll by -20 degrees at the first frame, fading to nothing over the first 4 s."""
    count = frames_in(SHOULDER_BLEND_SECONDS, clip.fps, len(clip.joint_pos))
    joints = np.array(clip.joint_pos)
    fade = np.linspace(1.0, 0.0, count) if count > 1 else np.ones(count)
    joints[:count, _column(clip, SHOULDER_JOINT)] += SHOULDER_OFFSET * fade
    return attrs.evolve(clip, joint_pos=joints)


def frames_in(seconds: float, fps: float, num_frames: int) -> int:
    """Count the frames of a motion that begin within its first `seconds`, rounded up."""
    return min(math.ceil(seconds * fps), num_frames)


def _set_joints(clip: MotionClip, pose: dict[str, float]) -> MotionClip:
    joints: NDArray[np.floating] = np.array(clip.joint_pos)
    for name, angle in pose.items():
        joints[:, _column(clip, name)] = angle
    return attrs.evolve(clip, joint_pos=joints)


def _column(clip: MotionClip, name: str) -> int:
    if name not in clip.joint_names:
        raise DataError(
            f"{clip.path} (motion {clip.key!r}): no joint {name!r}, which this step sets: {suggest(name, clip.joint_names)}"
        )
    return clip.joint_names.index(name)
