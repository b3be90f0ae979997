"""Reward of moving the object as the reference does, once the hand touches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.robots.rotations import quat_angle

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


def object_tracking(
    env: TrackingEnv,
    *,
    sensor: str,
    w_op: float = 0.5,
    w_or: float = 0.0,
    w_ov: float = 0.0,
    w_oav: float = 0.0,
    force_threshold: float = 1.0,
) -> torch.Tensor:
    """Reward object pose and velocity while the summed contact force of a sensor exceeds a threshold.

    w_op e^(-100 |dp|) + w_or e^(-100 angle) + w_ov e^(-5 |dv|) + w_oav e^(-5 |dw|), the distance itself and not its square (GRAIL
    release).

    Args:
        env: the environment.
        sensor: name of the contact sensor between the hand's links and the object.
        w_op: share of the position. [-]
        w_or: share of the orientation. [-]
        w_ov: share of the linear velocity. [-]
        w_oav: share of the angular velocity. [-]
        force_threshold: sum of the links' forces that counts as touching. [N]
    """
    ref, state = env.reference, env.state
    value = w_op * torch.exp(-100.0 * env.view.object_distance)
    if w_or:
        value = value + w_or * torch.exp(-100.0 * quat_angle(ref.object_quat_w, state.object_quat_w))
    if w_ov:
        value = value + w_ov * torch.exp(-5.0 * torch.linalg.vector_norm(ref.object_lin_vel_w - state.object_lin_vel_w, dim=-1))
    if w_oav:
        value = value + w_oav * torch.exp(
            -5.0 * torch.linalg.vector_norm(ref.object_ang_vel_w - state.object_ang_vel_w, dim=-1)
        )
    return value * (env.view.force_norm(sensor).sum(dim=1) > force_threshold)
