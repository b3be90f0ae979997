"""An engine without physics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from grail_framework.engine.state import empty_state
from grail_framework.robots.kinematics import Kinematics

if TYPE_CHECKING:
    from grail_framework.engine.protocol import ResetState, SceneSpec


class KinematicEngine:
    """An engine whose joints are at their targets after a step, and whose root and object stay where they were put.

    It costs nothing to build, and what a step does is known exactly: widths are measured on it before there is an engine, and terms and
    the environment's bookkeeping are tested on it. Tests may write `state` and call `refresh()`; contact forces are what they write.
    """

    capturable_reset = True

    def __init__(self, spec: SceneSpec) -> None:
        self.spec = spec
        self.device = torch.device(spec.device)
        self._kinematics = Kinematics(spec.robot, self.device)
        self.state = empty_state(spec, device=self.device)
        self.refresh()

    def refresh(self) -> None:
        """Recompute the body poses from root and joints."""
        pos, quat = self._kinematics.forward(self.state.root_pos_w, self.state.root_quat_w, self.state.joint_pos)
        self.state.body_pos_w.copy_(pos)
        self.state.body_quat_w.copy_(quat)

    def step(self, joint_targets: torch.Tensor) -> None:
        """Put the joints at their targets (N, J) [rad]."""
        self.state.joint_vel.copy_((joint_targets - self.state.joint_pos) / self.spec.step_dt)
        self.state.joint_pos.copy_(joint_targets)
        self.refresh()

    def reset(self, mask: torch.Tensor, to: ResetState) -> None:
        """Put the environments of the mask (N,) into the given state."""
        for name in self._reset_fields():
            value, buffer = getattr(to, name), getattr(self.state, name)
            if value is None and name in ("object_lin_vel_w", "object_ang_vel_w"):
                value = torch.zeros_like(buffer)  # at rest
            if value is not None:
                buffer.copy_(torch.where(mask.unsqueeze(1), value, buffer))
        for force in self.state.contact_forces.values():
            force.masked_fill_(mask.view(-1, 1, 1), 0.0)
        self.refresh()

    def set_root_velocity(self, mask: torch.Tensor, lin_vel_w: torch.Tensor, ang_vel_w: torch.Tensor) -> None:
        """Write the root's velocities in the environments of the mask (N,); nothing moves by them."""
        for buffer, value in ((self.state.root_lin_vel_w, lin_vel_w), (self.state.root_ang_vel_w, ang_vel_w)):
            buffer.copy_(torch.where(mask.unsqueeze(1), value, buffer))

    def state_dict(self) -> dict[str, Any]:
        """Return what `reset` sets."""
        return {name: getattr(self.state, name).clone() for name in self._reset_fields()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, value in state.items():
            getattr(self.state, name).copy_(value)
        self.refresh()

    def close(self) -> None:
        """Nothing is held."""

    @staticmethod
    def _reset_fields() -> tuple[str, ...]:
        root = ("root_pos_w", "root_quat_w", "root_lin_vel_w", "root_ang_vel_w")
        scene = ("object_pos_w", "object_quat_w", "object_lin_vel_w", "object_ang_vel_w", "table_pos_w", "table_quat_w")
        return (*root, "joint_pos", "joint_vel", *scene)
