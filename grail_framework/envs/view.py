"""What several terms derive from the state and the reference, computed at most once per phase of a step."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch

from grail_framework.robots.rotations import quat_apply, quat_apply_inverse, quat_conj, quat_mul, yaw_quat

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


class TrackingView:
    """Derived tensors of one phase. The environment makes a new one whenever the state or the reference has changed.

    N environments, K tracked bodies (the robot's `tracked_bodies`, in their order).
    """

    def __init__(self, env: TrackingEnv) -> None:
        self._env = env

    @cached_property
    def body_pos_w(self) -> torch.Tensor:
        """Tracked bodies' positions (N, K, 3)."""
        return self._env.state.body_pos_w[:, self._env.tracked_ids]

    @cached_property
    def body_quat_w(self) -> torch.Tensor:
        """Tracked bodies' orientations (N, K, 4)."""
        return self._env.state.body_quat_w[:, self._env.tracked_ids]

    @cached_property
    def body_lin_vel_w(self) -> torch.Tensor:
        """Tracked bodies' linear velocities (N, K, 3)."""
        return self._env.state.body_lin_vel_w[:, self._env.tracked_ids]

    @cached_property
    def body_ang_vel_w(self) -> torch.Tensor:
        """Tracked bodies' angular velocities (N, K, 3)."""
        return self._env.state.body_ang_vel_w[:, self._env.tracked_ids]

    @cached_property
    def anchor_pos_w(self) -> torch.Tensor:
        """Anchor body's position (N, 3)."""
        return self.body_pos_w[:, self._env.anchor_id]

    @cached_property
    def anchor_quat_w(self) -> torch.Tensor:
        """Anchor body's orientation (N, 4)."""
        return self.body_quat_w[:, self._env.anchor_id]

    @cached_property
    def ref_anchor_pos_w(self) -> torch.Tensor:
        """Anchor body's reference position (N, 3)."""
        return self._env.reference.body_pos_w[:, self._env.anchor_id]

    @cached_property
    def ref_anchor_quat_w(self) -> torch.Tensor:
        """Anchor body's reference orientation (N, 4)."""
        return self._env.reference.body_quat_w[:, self._env.anchor_id]

    @cached_property
    def _heading_offset(self) -> torch.Tensor:
        """Rotation about z (N, 1, 4) that turns the reference's heading into the robot's."""
        return yaw_quat(quat_mul(self.anchor_quat_w, quat_conj(self.ref_anchor_quat_w))).unsqueeze(1)

    @cached_property
    def relative_body_pos_w(self) -> torch.Tensor:
        """Reference positions (N, K, 3) re-anchored: robot's xy, reference's z, heading aligned to the robot."""
        origin = torch.cat((self.anchor_pos_w[:, :2], self.ref_anchor_pos_w[:, 2:]), dim=-1)
        offset = self._env.reference.body_pos_w - self.ref_anchor_pos_w.unsqueeze(1)
        return origin.unsqueeze(1) + quat_apply(self._heading_offset, offset)

    @cached_property
    def relative_body_quat_w(self) -> torch.Tensor:
        """Reference orientations (N, K, 4), heading aligned to the robot."""
        offset = self._heading_offset.expand_as(self._env.reference.body_quat_w)
        return quat_mul(offset, self._env.reference.body_quat_w)

    @cached_property
    def root_lin_vel_b(self) -> torch.Tensor:
        """Linear velocity of the root's centre of mass in the root frame (N, 3)."""
        return quat_apply_inverse(self._env.state.root_quat_w, self._env.state.root_lin_vel_w)

    @cached_property
    def root_ang_vel_b(self) -> torch.Tensor:
        """Angular velocity of the root in the root frame (N, 3)."""
        return quat_apply_inverse(self._env.state.root_quat_w, self._env.state.root_ang_vel_w)
