"""Where an episode starts: the reference pose at the start frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.engine.protocol import ResetState

if TYPE_CHECKING:
    from grail_framework.engine.protocol import SceneSpec
    from grail_framework.envs.command import ReferenceCommand
    from grail_framework.robots.spec import RobotSpec


def soft_joint_limits(robot: RobotSpec, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    """Joint limits (J,) shrunk about their middle by the robot's `soft_limit_factor`. [rad]"""
    lower = torch.tensor([joint.lower for joint in robot.joints], device=device)
    upper = torch.tensor([joint.upper for joint in robot.joints], device=device)
    middle, half = 0.5 * (lower + upper), 0.5 * (upper - lower) * robot.soft_limit_factor
    return middle - half, middle + half


class ReferenceReset:
    """Builds the state an episode starts from: reference pose and velocity at the start frame, hands and object at rest.

    Joint positions are clipped to the soft limits. Joints that motions do not describe (hands) start at their default.
    """

    def __init__(
        self,
        command: ReferenceCommand,
        spec: SceneSpec,
        default_joint_pos: torch.Tensor,
        soft_limits: tuple[torch.Tensor, torch.Tensor],
    ) -> None:
        robot, device = spec.robot, default_joint_pos.device
        self._command = command
        self._described = robot.num_motion_joints
        self._lower, self._upper = soft_limits
        self._default = default_joint_pos.repeat(spec.num_envs, 1)
        self._root_lift = torch.tensor([0.0, 0.0, command.cfg.init_z_offset], device=device)
        self._object_lift = torch.tensor([0.0, 0.0, command.cfg.object_init_z_offset], device=device)
        self._has_object = bool(spec.objects)
        has_table = spec.table_size is not None
        self._table_pos = command.motions.table_pos[command.motion_ids] if has_table else None
        self._table_quat = command.motions.table_quat[command.motion_ids] if has_table else None

    def __call__(self) -> ResetState:
        """Return the state at every environment's start frame, full size."""
        frame = self._command.start_frame()
        joint_pos = torch.cat((frame.joint_pos, self._default[:, self._described :]), dim=1)
        joint_vel = torch.cat((frame.joint_vel, torch.zeros_like(self._default[:, self._described :])), dim=1)
        return ResetState(
            root_pos_w=frame.root_pos + self._root_lift,
            root_quat_w=frame.root_quat,
            root_lin_vel_w=frame.root_lin_vel,
            root_ang_vel_w=frame.root_ang_vel,
            joint_pos=torch.clamp(joint_pos, self._lower, self._upper),
            joint_vel=joint_vel,
            object_pos_w=frame.object_pos_w + self._object_lift if self._has_object else None,
            object_quat_w=frame.object_quat_w if self._has_object else None,
            table_pos_w=self._table_pos,
            table_quat_w=self._table_quat,
        )
