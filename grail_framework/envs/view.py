"""What several terms derive from the state and the reference, computed at most once per phase of a step."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch

from grail_framework.robots.rotations import quat_angle, quat_apply, quat_apply_inverse, quat_conj, quat_mul, yaw_quat

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from grail_framework.envs.tracking_env import TrackingEnv


class TrackingView:
    """Derived tensors of one phase. The environment makes a new one whenever the state or the reference has changed.

    N environments, K tracked bodies (the robot's `tracked_bodies`, in their order).
    """

    def __init__(self, env: TrackingEnv) -> None:
        self._env = env
        self._shared: dict[Hashable, torch.Tensor] = {}

    def shared(self, key: Hashable, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return what `compute` gave for this key in this phase; for quantities that several terms of a plugin need."""
        if key not in self._shared:
            self._shared[key] = compute()
        return self._shared[key]

    def force_norm(self, sensor: str) -> torch.Tensor:
        """Magnitude (N, links) of the forces of a contact sensor. [N]"""
        forces = self._env.state.contact_forces
        return self.shared(("force", sensor), lambda: torch.linalg.vector_norm(forces[sensor], dim=-1))

    @cached_property
    def body_pos_w(self) -> torch.Tensor:
        """Tracked bodies' positions (N, K, 3)."""
        return self._env.state.body_pos_w.index_select(1, self._env.tracked_ids)

    @cached_property
    def body_quat_w(self) -> torch.Tensor:
        """Tracked bodies' orientations (N, K, 4)."""
        return self._env.state.body_quat_w.index_select(1, self._env.tracked_ids)

    @cached_property
    def body_lin_vel_w(self) -> torch.Tensor:
        """Tracked bodies' linear velocities (N, K, 3)."""
        return self._env.state.body_lin_vel_w.index_select(1, self._env.tracked_ids)

    @cached_property
    def body_ang_vel_w(self) -> torch.Tensor:
        """Tracked bodies' angular velocities (N, K, 3)."""
        return self._env.state.body_ang_vel_w.index_select(1, self._env.tracked_ids)

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
        return quat_mul(self._heading_offset, self._env.reference.body_quat_w)

    @cached_property
    def anchor_distance(self) -> torch.Tensor:
        """Distance (N,) of the anchor body to its reference. [m]"""
        return torch.linalg.vector_norm(self.ref_anchor_pos_w - self.anchor_pos_w, dim=-1)

    @cached_property
    def anchor_angle(self) -> torch.Tensor:
        """Angle (N,) between the anchor body and its reference. [rad]"""
        return quat_angle(self.ref_anchor_quat_w, self.anchor_quat_w)

    @cached_property
    def relative_body_error_w(self) -> torch.Tensor:
        """Re-anchored reference positions minus the robot's (N, K, 3). [m]"""
        return self.relative_body_pos_w - self.body_pos_w

    @cached_property
    def relative_body_angle(self) -> torch.Tensor:
        """Angles (N, K) between the tracked bodies and their reference, heading aligned. [rad]"""
        return quat_angle(self.relative_body_quat_w, self.body_quat_w)

    @cached_property
    def object_error_w(self) -> torch.Tensor:
        """Reference object position minus the simulated one (N, 3). [m]"""
        return self._env.reference.object_pos_w - self._env.state.object_pos_w

    @cached_property
    def object_distance(self) -> torch.Tensor:
        """Distance (N,) of the object to its reference. [m]"""
        return torch.linalg.vector_norm(self.object_error_w, dim=-1)

    @cached_property
    def root_lin_vel_b(self) -> torch.Tensor:
        """Linear velocity of the root's centre of mass in the root frame (N, 3)."""
        return quat_apply_inverse(self._env.state.root_quat_w, self._env.state.root_lin_vel_w)

    @cached_property
    def root_ang_vel_b(self) -> torch.Tensor:
        """Angular velocity of the root in the root frame (N, 3)."""
        return quat_apply_inverse(self._env.state.root_quat_w, self._env.state.root_ang_vel_w)
