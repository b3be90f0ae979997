"""Reference frames derived once, for every frame of every motion: what `on_demand` computes, as rows to gather."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import torch

from grail_framework.motion import differences
from grail_framework.motion.packing import gather_rows
from grail_framework.motion.reference import ReferenceFrame, ReferenceState, ReferenceWindow
from grail_framework.robots.kinematics import Kinematics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from grail_framework.motion.packing import PackedMotions, Runs
    from grail_framework.robots.spec import RobotSpec

_CHUNK_FRAMES = 50_000
"""Frames derived at once: positions and rotations of 15 bodies and their differences take about 100 MB."""


@attrs.frozen(kw_only=True, eq=False)
class Columns:
    """Named columns of a row tensor, and the shape each has per row."""

    shapes: Mapping[str, tuple[int, ...]]

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def split(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """View rows (..., width) as one tensor per name."""
        parts = rows.split([math.prod(shape) for shape in self.shapes.values()], dim=-1)
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
        return cls(window=Columns(shapes=window), frame=Columns(shapes=frame))

    @property
    def bytes_per_frame(self) -> int:
        """What a frame takes on the device."""
        return 4 * (self.window.width + self.frame.width)


class AheadFrames:
    """Frames and windows as rows that were derived when the library was made."""

    def __init__(self, packed: PackedMotions, robot: RobotSpec) -> None:
        self._starts, self._last = packed.starts, packed.num_frames - 1
        self._contacts: Runs = packed.contacts
        self._hands: Runs = packed.hands
        self._layout = FrameLayout.of_robot(robot)
        device, frames = packed.robot_rows.device, packed.total_frames
        self._window_rows = torch.empty(frames, self._layout.window.width, device=device)
        self._frame_rows = torch.empty(frames, self._layout.frame.width, device=device)
        kinematics = Kinematics(robot, device, bodies=(robot.bodies[0].name, *robot.tracked_bodies))
        at = 0
        for motions in chunks(packed.lengths):
            values = _derive(packed, motions, slice(at, at + sum(packed.lengths[motions])), kinematics)
            stop = at + len(values["root_pos"])
            self._window_rows[at:stop] = self._layout.window.join(values)
            self._frame_rows[at:stop] = self._layout.frame.join(values)
            at = stop

    def frame(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> ReferenceFrame:
        """Return one frame of each given motion; see `MotionLibrary.frame`."""
        rows = self._rows(motion_ids, frames)
        near = self._layout.window.split(gather_rows(self._window_rows, rows))
        far = self._layout.frame.split(gather_rows(self._frame_rows, rows))
        contact = self._contacts.at(rows)
        return ReferenceFrame(
            root_pos=near["root_pos"],
            root_quat=near["root_quat"],
            root_lin_vel=far["root_lin_vel"],
            root_ang_vel=far["root_ang_vel"],
            joint_pos=near["joint_pos"],
            joint_vel=near["joint_vel"],
            body_pos_w=far["body_pos"],
            body_quat_w=far["body_quat"],
            body_lin_vel_w=far["body_lin_vel"],
            body_ang_vel_w=far["body_ang_vel"],
            object_pos_w=near["object_pos"],
            object_quat_w=near["object_quat"],
            object_lin_vel_w=far["object_lin_vel"],
            object_ang_vel_w=far["object_ang_vel"],
            contact_label=contact[:, :2],
            contact_center=contact[:, 2:].unflatten(-1, (2, 3)),
            hand_action=self._hands.at(rows),
        )

    def state(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> ReferenceState:
        """Return root, joints and object of one frame of each given motion."""
        rows = self._rows(motion_ids, frames)
        near = self._layout.window.split(gather_rows(self._window_rows, rows))
        # The velocities of the root are the first six columns.
        velocity = gather_rows(self._frame_rows[:, :6], rows)
        return ReferenceState(
            root_pos=near["root_pos"],
            root_quat=near["root_quat"],
            root_lin_vel=velocity[:, :3],
            root_ang_vel=velocity[:, 3:],
            joint_pos=near["joint_pos"],
            joint_vel=near["joint_vel"],
            object_pos_w=near["object_pos"],
            object_quat_w=near["object_quat"],
        )

    def window(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> ReferenceWindow:
        """Return several frames of each given motion; see `MotionLibrary.window`."""
        rows = gather_rows(self._window_rows, self._rows(motion_ids.unsqueeze(-1), frames))
        return ReferenceWindow(**self._layout.window.split(rows))

    def joint_pos(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Return the joint positions of several frames of each given motion; see `MotionLibrary.joint_pos`."""
        # Views of all rows; only what is gathered is copied.
        joints = self._layout.window.split(self._window_rows)["joint_pos"]
        return gather_rows(joints, self._rows(motion_ids.unsqueeze(-1), frames))

    def _rows(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        kept = torch.minimum(frames.clamp_min(0), self._last[motion_ids])
        return self._starts[motion_ids] + kept


def chunks(lengths: Sequence[int], frames: int | None = None) -> Iterator[slice]:
    """Group consecutive motions so that a group has about `frames` frames."""
    wanted = _CHUNK_FRAMES if frames is None else frames
    start, total = 0, 0
    for index, length in enumerate(lengths):
        total += length
        if total >= wanted or index == len(lengths) - 1:
            yield slice(start, index + 1)
            start, total = index + 1, 0


def _derive(packed: PackedMotions, motions: slice, span: slice, kinematics: Kinematics) -> dict[str, torch.Tensor]:
    """Compute every column of a few motions, packed behind one another."""
    robot, fps, rows = kinematics.robot, packed.fps, packed.robot_rows[span]
    lengths = packed.lengths[motions]
    spans = differences.Spans.of_lengths(lengths, rows.device)
    ids = torch.repeat_interleave(torch.arange(motions.start, motions.stop, device=rows.device), packed.num_frames[motions])
    pose = packed.object_pose(ids, spans.frame - spans.first)
    root_pos, root_quat, joint_pos = rows[:, :3], rows[:, 3:7], rows[:, 7:]
    # The joints beyond those of the motions (the hands) stand at zero; no tracked body hangs on them.
    all_joints = torch.nn.functional.pad(joint_pos, (0, robot.num_joints - robot.num_motion_joints))
    # From the root and not from the origin: differences of positions must not suffer from how far the robot has walked.
    offset, body_quat = kinematics.forward(torch.zeros_like(root_pos), root_quat, all_joints)
    body_pos = root_pos.unsqueeze(1) + offset
    lin_vel = differences.body_linear_velocity(root_pos.unsqueeze(1), spans, fps)
    lin_vel = lin_vel + differences.body_linear_velocity(offset, spans, fps)
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
        "object_pos": pose[:, :3],
        "object_quat": pose[:, 3:],
        "object_lin_vel": differences.object_linear_velocity(pose[:, :3], spans, fps),
        "object_ang_vel": differences.object_angular_velocity(pose[:, 3:], spans, fps),
    }
