"""Turn clips into the packed tensors of a motion library: resampling, forward kinematics, differences, labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch

from grail_framework.errors import DataError, suggest
from grail_framework.motion import differences
from grail_framework.motion.clip import ContactLabels, MotionClip
from grail_framework.motion.labels import derive_contact_labels, first_contact_frame
from grail_framework.motion.resample import resample_clip, robot_frame_count
from grail_framework.motion.selection import object_class
from grail_framework.robots.kinematics import Kinematics

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.robots.spec import RobotSpec

Labeler = Callable[[MotionClip, int, float], ContactLabels | None]
"""Called with a clip, the number of its frames at the target rate, and that rate."""

BPS_WIDTH = 10
_CHUNK_FRAMES = 100_000
"""Frames that go through forward kinematics at once: 44 bodies take 7 floats a frame each, about 120 MB."""


@attrs.frozen(kw_only=True, eq=False)
class Columns:
    """Named columns of a row tensor, and the shape each has per row."""

    shapes: Mapping[str, tuple[int, ...]]

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def split(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """View rows (..., width) as one tensor per name."""
        parts = rows.split([int(np.prod(shape)) for shape in self.shapes.values()], dim=-1)
        named = zip(self.shapes.items(), parts, strict=True)
        return {name: part if len(shape) == 1 else part.unflatten(-1, shape) for (name, shape), part in named}

    def join(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Put tensors (F, *shape) side by side."""
        return torch.cat([values[name].reshape(len(values[name]), -1) for name in self.shapes], dim=-1)


@attrs.frozen(kw_only=True, eq=False)
class FrameLayout:
    """What is stored per frame: once for windows and frames, once for frames only."""

    window: Columns
    frame: Columns

    @classmethod
    def of_robot(cls, robot: RobotSpec) -> FrameLayout:
        """Make the layout for a robot's motion joints and tracked bodies."""
        joints, bodies = robot.num_motion_joints, len(robot.tracked_bodies)
        window = {"root_pos": (3,), "root_quat": (4,), "joint_pos": (joints,), "joint_vel": (joints,)}
        window |= {"object_pos": (3,), "object_quat": (4,)}
        frame = {"root_lin_vel": (3,), "root_ang_vel": (3,), "body_pos": (bodies, 3), "body_quat": (bodies, 4)}
        frame |= {"body_lin_vel": (bodies, 3), "body_ang_vel": (bodies, 3), "object_lin_vel": (3,), "object_ang_vel": (3,)}
        frame |= {"contact_label": (2,), "contact_center": (2, 3), "hand_action": (2,)}
        return cls(window=Columns(shapes=window), frame=Columns(shapes=frame))


@attrs.frozen(kw_only=True, eq=False)
class PackedMotions:
    """M motions, F frames together; everything on one device."""

    keys: tuple[str, ...]
    object_names: tuple[str, ...]
    object_usd: tuple[Path | None, ...]
    fps: float
    layout: FrameLayout
    window_rows: torch.Tensor  # (F, layout.window.width)
    frame_rows: torch.Tensor  # (F, layout.frame.width)
    num_frames: torch.Tensor  # (M,) long
    starts: torch.Tensor  # (M,) long
    has_object: torch.Tensor  # (M,) bool
    has_contact_labels: torch.Tensor
    has_hand_action: torch.Tensor
    has_bps: torch.Tensor
    has_table: torch.Tensor
    first_contact: torch.Tensor  # (M,) long
    bps: torch.Tensor  # (M, 10)
    table_pos: torch.Tensor  # (M, 3)
    table_quat: torch.Tensor  # (M, 4)


def pack_motions(
    clips: Sequence[MotionClip], robot: RobotSpec, *, device: torch.device, target_fps: float, labeler: Labeler | None
) -> PackedMotions:
    """Resample, derive and pack clips; see `MotionLibrary.build`."""
    keys = tuple(clip.key for clip in clips)
    if len(set(keys)) != len(keys):
        raise DataError(f"two motions are called {next(key for key in keys if keys.count(key) > 1)!r}; stems must differ")
    lengths = [robot_frame_count(len(clip.root_pos), clip.fps, target_fps) for clip in clips]
    labels = [_labels(clip, n, target_fps, labeler) for clip, n in zip(clips, lengths, strict=True)]
    layout = FrameLayout.of_robot(robot)
    window_rows = torch.empty(sum(lengths), layout.window.width, device=device)
    frame_rows = torch.empty(sum(lengths), layout.frame.width, device=device)
    kinematics = Kinematics(robot, device)
    at = 0
    for group in _chunks(lengths):
        values = _derive(clips[group], labels[group], lengths[group], kinematics, device, target_fps)
        stop = at + sum(lengths[group])
        window_rows[at:stop] = layout.window.join(values)
        frame_rows[at:stop] = layout.frame.join(values)
        at = stop
    return PackedMotions(
        keys=keys,
        object_names=tuple(clip.object_name or object_class(clip.key) for clip in clips),
        object_usd=tuple(clip.object_usd for clip in clips),
        fps=target_fps,
        layout=layout,
        window_rows=window_rows,
        frame_rows=frame_rows,
        num_frames=torch.tensor(lengths, device=device),
        starts=torch.tensor([0, *accumulate(lengths)][:-1], device=device),
        has_contact_labels=torch.tensor([label is not None for label in labels], device=device),
        first_contact=torch.tensor(
            [first_contact_frame(label, n) for label, n in zip(labels, lengths, strict=True)], device=device
        ),
        **_per_motion(clips, device),
    )


def _per_motion(clips: Sequence[MotionClip], device: torch.device) -> dict[str, torch.Tensor]:
    def stacked(values: Sequence[np.ndarray | None], default: list[float]) -> torch.Tensor:
        rows = [np.asarray(default if value is None else value, dtype=np.float32) for value in values]
        return torch.from_numpy(np.stack(rows)).to(device)

    def given(values: Sequence[object]) -> torch.Tensor:
        return torch.tensor([value is not None for value in values], device=device)

    return {
        "has_object": given([clip.object for clip in clips]),
        "has_hand_action": given([clip.hand_action for clip in clips]),
        "has_bps": given([clip.bps for clip in clips]),
        "has_table": given([clip.table_pos if clip.table_quat is not None else None for clip in clips]),
        "bps": stacked([clip.bps for clip in clips], [0.0] * BPS_WIDTH),
        "table_pos": stacked([clip.table_pos for clip in clips], [0.0] * 3),
        "table_quat": stacked([clip.table_quat for clip in clips], [1.0, 0.0, 0.0, 0.0]),
    }


def _derive(
    clips: Sequence[MotionClip],
    labels: Sequence[ContactLabels | None],
    lengths: Sequence[int],
    kinematics: Kinematics,
    device: torch.device,
    fps: float,
) -> dict[str, torch.Tensor]:
    """Compute every column of a few motions, packed behind one another."""
    robot = kinematics.robot
    resampled = [resample_clip(clip, fps) for clip in clips]
    joints = [clip.joint_pos[:, _joint_order(source, robot)] for source, clip in zip(clips, resampled, strict=True)]
    joint_pos = torch.cat(joints).to(device)
    root_pos = torch.cat([clip.root_pos for clip in resampled]).to(device)
    root_quat = torch.cat([clip.root_quat for clip in resampled]).to(device)
    object_pos = torch.cat([clip.object_pos for clip in resampled]).to(device)
    object_quat = torch.cat([clip.object_quat for clip in resampled]).to(device)
    spans = differences.Spans.of_lengths(lengths, device)
    # The joints beyond those of the motions (the hands) stand at zero; no tracked body hangs on them.
    all_joints = torch.nn.functional.pad(joint_pos, (0, robot.num_joints - robot.num_motion_joints))
    body_pos, body_quat = kinematics.forward(root_pos, root_quat, all_joints)
    bodies = torch.tensor([0, *robot.body_ids(robot.tracked_bodies)], device=device)  # the root first, for its velocity
    body_pos, body_quat = body_pos[:, bodies], body_quat[:, bodies]
    lin_vel = differences.body_linear_velocity(body_pos, spans, fps)
    ang_vel = differences.body_angular_velocity(body_quat, spans, fps)
    return {
        "root_pos": root_pos,
        "root_quat": root_quat,
        "root_lin_vel": lin_vel[:, 0],
        "root_ang_vel": ang_vel[:, 0],
        "joint_pos": joint_pos,
        "joint_vel": differences.joint_velocity(joint_pos, spans, fps),
        "body_pos": body_pos[:, 1:],
        "body_quat": body_quat[:, 1:],
        "body_lin_vel": lin_vel[:, 1:],
        "body_ang_vel": ang_vel[:, 1:],
        "object_pos": object_pos,
        "object_quat": object_quat,
        "object_lin_vel": differences.object_linear_velocity(object_pos, spans, fps),
        "object_ang_vel": differences.object_angular_velocity(object_quat, spans, fps),
        "contact_label": _packed_labels([label and label.label for label in labels], lengths, (2,)).to(device),
        "contact_center": _packed_labels([label and label.center for label in labels], lengths, (2, 3)).to(device),
        "hand_action": torch.cat([clip.hand_action for clip in resampled]).to(device),
    }


def _joint_order(clip: MotionClip, robot: RobotSpec) -> list[int]:
    """Where each motion joint of the robot stands in the clip."""
    wanted = robot.joint_names[: robot.num_motion_joints]
    for name in wanted:
        if name not in clip.joint_names:
            raise DataError(f"motion {clip.key!r} has no joint {name!r}: {suggest(name, clip.joint_names)}")
    return [clip.joint_names.index(name) for name in wanted]


def _labels(clip: MotionClip, num_frames: int, fps: float, labeler: Labeler | None) -> ContactLabels | None:
    labels = labeler(clip, num_frames, fps) if labeler is not None else None
    if labels is None:
        return derive_contact_labels(clip, num_frames, fps)
    shapes = (labels.label.shape, labels.center.shape)
    if shapes != ((num_frames, 2), (num_frames, 2, 3)):
        raise DataError(
            f"contact labels of motion {clip.key!r} have the shapes {shapes[0]} and {shapes[1]}, allowed: ({num_frames}, 2) and "
            f"({num_frames}, 2, 3); see the hook grail_contact_labels"
        )
    return labels


def _packed_labels(arrays: Sequence[np.ndarray | None], lengths: Sequence[int], shape: tuple[int, ...]) -> torch.Tensor:
    filled = [np.zeros((n, *shape)) if value is None else value for value, n in zip(arrays, lengths, strict=True)]
    return torch.from_numpy(np.concatenate(filled).astype(np.float32))


def _chunks(lengths: Sequence[int]) -> list[slice]:
    """Group consecutive motions so that a group has about `_CHUNK_FRAMES` frames."""
    groups: list[slice] = []
    start, frames = 0, 0
    for index, length in enumerate(lengths):
        frames += length
        if frames >= _CHUNK_FRAMES or index == len(lengths) - 1:
            groups.append(slice(start, index + 1))
            start, frames = index + 1, 0
    return groups
