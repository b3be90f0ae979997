"""The buffers of a `SceneState`, empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.engine.protocol import SceneState

if TYPE_CHECKING:
    from grail_framework.engine.protocol import SceneSpec


def empty_state(scene: SceneSpec, *, device: torch.device | str = "cpu") -> SceneState:
    """Allocate the buffers of a scene: zeros, orientations the identity."""
    n, joints, bodies = scene.num_envs, scene.robot.num_joints, len(scene.robot.bodies)
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0], device=device)

    def zeros(*shape: int) -> torch.Tensor:
        return torch.zeros(n, *shape, device=device)

    return SceneState(
        root_pos_w=zeros(3),
        root_quat_w=identity.repeat(n, 1),
        root_lin_vel_w=zeros(3),
        root_ang_vel_w=zeros(3),
        joint_pos=zeros(joints),
        joint_vel=zeros(joints),
        joint_torque=zeros(joints),
        body_pos_w=zeros(bodies, 3),
        body_quat_w=identity.repeat(n, bodies, 1),
        body_lin_vel_w=zeros(bodies, 3),
        body_ang_vel_w=zeros(bodies, 3),
        object_pos_w=zeros(3),
        object_quat_w=identity.repeat(n, 1),
        object_lin_vel_w=zeros(3),
        object_ang_vel_w=zeros(3),
        table_pos_w=zeros(3),
        table_quat_w=identity.repeat(n, 1),
        contact_forces={name: zeros(len(sensor.links), 3) for name, sensor in scene.contact_sensors.items()},
    )
