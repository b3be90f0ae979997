"""Reference frames derived from compact motions when they are asked for: nothing but root and joints is kept.

A velocity is a filtered difference, so a frame needs the poses of its neighbours: forward kinematics runs over 19 frames around it.
Every step is a fixed sequence of tensor operations; none waits for the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import torch

from grail_framework.motion import differences
from grail_framework.motion.packing import gather_rows
from grail_framework.motion.reference import ReferenceFrame, ReferenceState, ReferenceWindow
from grail_framework.robots.kinematics import Kinematics
from grail_framework.robots.rotations import quat_conj, quat_mul, rotvec_from_quat

if TYPE_CHECKING:
    from grail_framework.motion.packing import PackedMotions
    from grail_framework.robots.spec import RobotSpec

_REACH: Final = differences.RADIUS + 1
"""How many frames to either side a velocity depends on: the filter's, and one for the difference it filters."""
_SMALL: Final = 1e-7
"""Squared sine of half an angle below which a series replaces a quotient that would be 0/0."""
_CPU_BATCH: Final = 64
"""Environments derived at once on a CPU: the values in between stay in its cache."""


class OnDemandFrames:
    """Frames and windows of compact motions."""

    def __init__(self, packed: PackedMotions, robot: RobotSpec) -> None:
        device = packed.robot_rows.device
        self._packed = packed
        self._last = packed.num_frames - 1
        self._fps = packed.fps
        self._num_joints = robot.num_joints
        self._kinematics = Kinematics(robot, device, bodies=(robot.bodies[0].name, *robot.tracked_bodies))
        self._offsets = torch.arange(-_REACH, _REACH + 1, device=device).unsqueeze(1)
        linear, angular = velocity_weights()
        self._linear_weights = linear.to(device)
        self._angular_weights = angular.to(device)
        self._batch = _CPU_BATCH if device.type == "cpu" else None

    def frame(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> ReferenceFrame:
        """Return one frame of each given motion; see `MotionLibrary.frame`."""
        if self._batch is None or len(frames) <= self._batch:
            return self._frame(motion_ids, frames)
        pairs = zip(motion_ids.split(self._batch), frames.split(self._batch), strict=True)
        parts = [self._frame(*pair) for pair in pairs]
        names = [field.name for field in attrs.fields(ReferenceFrame)]
        return ReferenceFrame(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

    def window(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> ReferenceWindow:
        """Return several frames of each given motion; see `MotionLibrary.window`."""
        ids = motion_ids.unsqueeze(-1)
        kept = self._inside(ids, frames)
        rows = gather_rows(self._packed.robot_rows, self._packed.rows(ids, kept))
        pose = self._packed.object_pose(ids, kept)
        return ReferenceWindow(
            root_pos=rows[..., :3],
            root_quat=rows[..., 3:7],
            joint_pos=rows[..., 7:],
            joint_vel=self._joint_velocity(ids, kept),
            object_pos=pose[..., :3],
            object_quat=pose[..., 3:],
        )

    def joint_pos(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Return the joint positions of several frames of each given motion; see `MotionLibrary.joint_pos`."""
        ids = motion_ids.unsqueeze(-1)
        return gather_rows(self._packed.robot_rows[:, 7:], self._packed.rows(ids, self._inside(ids, frames)))

    def state(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> ReferenceState:
        """Return root, joints and object of one frame of each given motion, without forward kinematics."""
        kept = self._inside(motion_ids, frames)
        rows = self._around(motion_ids, kept)
        here = rows[_REACH]
        pos, quat = (rows[..., :3] - here[:, :3]).permute(2, 0, 1), rows[..., 3:7].permute(2, 0, 1)
        after = self._last[motion_ids] - kept
        lin_vel, ang_vel = self._body_velocities(pos.unsqueeze(1), quat.unsqueeze(1), kept, after)
        pose = self._packed.object_pose(motion_ids, kept)
        return ReferenceState(
            root_pos=here[:, :3],
            root_quat=here[:, 3:7],
            root_lin_vel=lin_vel[:, 0],
            root_ang_vel=ang_vel[:, 0],
            joint_pos=here[:, 7:],
            joint_vel=self._joint_velocity(motion_ids, kept),
            object_pos_w=pose[:, :3],
            object_quat_w=pose[:, 3:],
        )

    def _frame(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> ReferenceFrame:
        kept = self._inside(motion_ids, frames)
        rows = self._around(motion_ids, kept)
        here = rows[_REACH]
        pos, quat = self._poses(rows, here)
        lin_vel, ang_vel = self._body_velocities(pos, quat, kept, self._last[motion_ids] - kept)
        body_pos = pos[:, :, _REACH].permute(2, 1, 0) + here[:, None, :3]
        body_quat = quat[:, :, _REACH].permute(2, 1, 0)
        pose, object_lin_vel, object_ang_vel = self._object(motion_ids, kept)
        packed_frames = self._packed.rows(motion_ids, kept)
        contact = self._packed.contacts.at(packed_frames)
        return ReferenceFrame(
            root_pos=here[:, :3],
            root_quat=here[:, 3:7],
            root_lin_vel=lin_vel[:, 0],
            root_ang_vel=ang_vel[:, 0],
            joint_pos=here[:, 7:],
            joint_vel=self._joint_velocity(motion_ids, kept),
            body_pos_w=body_pos[:, 1:],
            body_quat_w=body_quat[:, 1:],
            body_lin_vel_w=lin_vel[:, 1:],
            body_ang_vel_w=ang_vel[:, 1:],
            object_pos_w=pose[:, :3],
            object_quat_w=pose[:, 3:],
            object_lin_vel_w=object_lin_vel,
            object_ang_vel_w=object_ang_vel,
            contact_label=contact[:, :2],
            contact_center=contact[:, 2:].unflatten(-1, (2, 3)),
            hand_action=self._packed.hands.at(packed_frames),
        )

    def _inside(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        return torch.minimum(frames.clamp_min(0), self._last[motion_ids])

    def _around(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Return the rows (19, N, 7 + J) from 9 frames before to 9 after; beyond the ends the end frames."""
        around = self._inside(motion_ids, frames + self._offsets)
        return gather_rows(self._packed.robot_rows, self._packed.rows(motion_ids, around))

    def _poses(self, rows: torch.Tensor, here: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Poses of root and tracked bodies over (19, N, 7 + J) rows: (3, B, 19, N) from the root of the middle one, (4, B, 19, N)."""
        # Near the origin floats are dense: differences of positions do not suffer from how far the robot has walked.
        root_pos = (rows[..., :3] - here[:, :3]).flatten(0, 1).T
        states = rows.flatten(0, 1)
        # The joints beyond those of the motions (the hands) stand at zero; no tracked body hangs on them.
        joints = torch.nn.functional.pad(states[:, 7:].T, (0, 0, 0, self._num_joints - (states.shape[1] - 7)))
        pos, quat = self._kinematics.poses(root_pos, states[:, 3:7].T, joints)
        return pos.unflatten(-1, rows.shape[:2]), quat.unflatten(-1, rows.shape[:2])

    def _body_velocities(
        self, pos: torch.Tensor, quat: torch.Tensor, before: torch.Tensor, after: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Velocities (N, B, 3) in the middle of (., B, 19, N) poses that have `before` and `after` (N,) frames to the motion's ends."""
        ends = before.clamp_max(_REACH), after.clamp_max(_REACH)
        lin_vel = (pos * self._linear_weights[ends].T).sum(2) * self._fps
        rate = _turn(quat[:, :, 1:-1], quat[:, :, 2:])
        ang_vel = (rate * self._angular_weights[ends].T).sum(2) * self._fps
        return lin_vel.permute(2, 1, 0), ang_vel.permute(2, 1, 0)

    def _joint_velocity(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        last = self._last[motion_ids]
        source = torch.where(frames == last, (last - 2).clamp_min(0), frames)
        joints = self._packed.robot_rows[:, 7:]
        after = gather_rows(joints, self._packed.rows(motion_ids, torch.minimum(source + 1, last)))
        return (after - gather_rows(joints, self._packed.rows(motion_ids, source))) * self._fps

    def _object(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pose (N, 7), linear and angular velocity (N, 3) of the object."""
        source = torch.maximum(frames, self._last[motion_ids].clamp_max(1))
        wanted = torch.stack((frames, source, (source - 1).clamp_min(0)))
        pose, after, before = self._packed.object_pose(motion_ids, wanted).unbind(0)
        turn = quat_mul(after[:, 3:], quat_conj(before[:, 3:]))
        return pose, (after[:, :3] - before[:, :3]) * self._fps, rotvec_from_quat(turn) * self._fps


def velocity_weights() -> tuple[torch.Tensor, torch.Tensor]:
    """Return how a smoothed velocity is summed from its neighbourhood, for every distance to the motion's ends.

    Both are taken from `differences` by feeding it unit impulses, so that a sum with them is what the filter gives.

    Returns:
        Weights (10, 10, 19) of the positions at the frames -9 to 9, and (10, 10, 17) of the turns from the frames -8 to 8 to the next,
        each per frame; the first two indices are the frames before and after, 9 standing for 9 and more.
    """
    linear = torch.zeros(_REACH + 1, _REACH + 1, 2 * _REACH + 1, dtype=torch.float64)
    angular = torch.zeros_like(linear)
    for length in range(1, 2 * _REACH + 2):
        spans = differences.Spans.of_lengths([length], "cpu")
        impulses = torch.eye(length, dtype=torch.float64)
        velocities = differences.body_linear_velocity(impulses.unsqueeze(-1), spans, 1.0).squeeze(-1)
        smoothed = differences.smooth(impulses, spans)
        for before in range(max(0, length - 1 - _REACH), min(length - 1, _REACH) + 1):
            after = length - 1 - before
            span = slice(_REACH - before, _REACH + after + 1)
            linear[before, after, span], angular[before, after, span] = velocities[before], smoothed[before]
    return linear.float(), angular[..., 1:-1].float()


def _turn(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """World rotation vectors (3, ...) that take unit quaternions (4, ...) to others, components first; see `rotvec_from_quat`."""
    w, (x, y, z) = after[0], after[1:].unbind(0)
    bw, (bx, by, bz) = before[0], before[1:].unbind(0)
    cos = w * bw + x * bx + y * by + z * bz
    sin = torch.stack((x * bw - w * bx - y * bz + z * by, y * bw - w * by - z * bx + x * bz, z * bw - w * bz - x * by + y * bx))
    sin_sq = (sin * sin).sum(0)
    small = sin_sq < _SMALL
    length = torch.where(small, 1.0, sin_sq).sqrt()
    scale = torch.where(small, 2.0 + sin_sq / 3.0, 2.0 * torch.atan2(length, cos.abs()) / length)
    return sin * torch.where(cos < 0.0, -scale, scale)
