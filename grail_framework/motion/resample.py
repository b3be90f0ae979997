"""Bring a clip to the target frame rate. Counts, end points and interpolation follow the GRAIL release's loader."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch

from grail_framework.robots.rotations import quat_normalize, slerp

if TYPE_CHECKING:
    from grail_framework.motion.clip import MotionClip, ObjectTrack

_ROUNDING = 1e-6
"""What a frame count may be off by before it is rounded up or down: far above the error of T fps / fps, far below one frame."""


@attrs.frozen(kw_only=True, eq=False)
class ResampledClip:
    """A motion of N frames at the target rate, float32 on the CPU, joints still in the clip's order."""

    root_pos: torch.Tensor  # (N, 3)
    root_quat: torch.Tensor  # (N, 4)
    joint_pos: torch.Tensor  # (N, J)
    object_pos: torch.Tensor  # (N, 3), zeros without an object
    object_quat: torch.Tensor  # (N, 4), identity without an object
    hand_action: torch.Tensor  # (N, 2), -1 (open) where the files have none


def same_rate(fps: float, target_fps: float) -> bool:
    """Say whether two frame rates are equal, in which case nothing is resampled."""
    return math.isclose(fps, target_fps, rel_tol=1e-6)


def robot_frame_count(num_frames: int, fps: float, target_fps: float) -> int:
    """Count the target frames of a robot motion; the end time itself is left out where the rates differ.

    31 frames at 30 fps last 1 s and give 50 frames at 50 fps.
    """
    if same_rate(fps, target_fps):
        return num_frames
    return max(1, math.ceil((num_frames - 1) * target_fps / fps - _ROUNDING))


def object_frame_count(num_frames: int, fps: float, target_fps: float) -> int:
    """Count the target frames of an object motion, up to and including the end time."""
    if same_rate(fps, target_fps):
        return num_frames
    return math.floor((num_frames - 1) * target_fps / fps + _ROUNDING) + 1


def resample_clip(clip: MotionClip, target_fps: float) -> ResampledClip:
    """Interpolate a clip at the target rate: positions and joint angles linearly, rotations along the shorter arc.

    A hinge turns about one axis, so interpolating its angle is interpolating its rotation. Hand actions are discrete and take the
    nearest frame. The object is cut, or padded with its last pose, to the robot's frames.
    """
    count = robot_frame_count(len(clip.root_pos), clip.fps, target_fps)
    step = 1.0 if same_rate(clip.fps, target_fps) else clip.fps / target_fps
    object_pos, object_quat = _resample_object(clip.object, count, target_fps)
    return ResampledClip(
        root_pos=_linear(clip.root_pos, count, step),
        root_quat=_spherical(clip.root_quat, count, step),
        joint_pos=_linear(clip.joint_pos, count, step),
        object_pos=object_pos,
        object_quat=object_quat,
        hand_action=_nearest_hand_action(clip.hand_action, count),
    )


def _resample_object(track: ObjectTrack | None, count: int, target_fps: float) -> tuple[torch.Tensor, torch.Tensor]:
    if track is None:
        return torch.zeros(count, 3), torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(count, 1)
    own = object_frame_count(len(track.pos), track.fps, target_fps)
    step = 1.0 if same_rate(track.fps, target_fps) else track.fps / target_fps
    index = torch.arange(count).clamp_max(own - 1)
    return _linear(track.pos, own, step)[index], _spherical(track.quat, own, step)[index]


def _nearest_hand_action(action: np.ndarray | None, count: int) -> torch.Tensor:
    if action is None:
        return torch.full((count, 2), -1.0)
    index = np.round(np.linspace(0, len(action) - 1, count)).astype(np.int64)
    return torch.from_numpy(action[index].astype(np.float32))


def _neighbours(length: int, count: int, step: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    at = (torch.arange(count, dtype=torch.float64) * step).clamp_max(length - 1)
    low = at.floor().long()
    return low, (low + 1).clamp_max(length - 1), at - low


def _linear(values: np.ndarray, count: int, step: float) -> torch.Tensor:
    source = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
    low, high, share = _neighbours(len(values), count, step)
    return torch.lerp(source[low], source[high], share.unsqueeze(-1)).to(torch.float32)


def _spherical(quat: np.ndarray, count: int, step: float) -> torch.Tensor:
    source = quat_normalize(torch.from_numpy(np.ascontiguousarray(quat, dtype=np.float64)))
    low, high, share = _neighbours(len(quat), count, step)
    return slerp(source[low], source[high], share).to(torch.float32)
