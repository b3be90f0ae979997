"""Conditions that end an episode. Each returns (num_envs,) bool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.robots.rotations import quat_angle

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


def anchor_pos(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """End where the anchor body's height is further than the threshold [m] from the reference."""
    return (env.view.ref_anchor_pos_w[:, 2] - env.view.anchor_pos_w[:, 2]).abs() > threshold


def anchor_ori(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """End where the squared angle between anchor body and reference exceeds the threshold [rad^2]."""
    return quat_angle(env.view.ref_anchor_quat_w, env.view.anchor_quat_w).square() > threshold


def ee_body_pos(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """End where an end effector's height is further than the threshold [m] from the re-anchored reference."""
    ids = env.tracked_body_ids(env.robot.end_effectors)
    error = (env.view.relative_body_pos_w[:, ids, 2] - env.view.body_pos_w[:, ids, 2]).abs()
    return (error > threshold).any(dim=1)


def object_pos_deviation(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """End where the object is further than the threshold [m] from its reference position."""
    return torch.linalg.vector_norm(env.reference.object_pos_w - env.state.object_pos_w, dim=-1) > threshold


def object_z_pos_deviation(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """End where the object's height is further than the threshold [m] from the reference."""
    return (env.reference.object_pos_w[:, 2] - env.state.object_pos_w[:, 2]).abs() > threshold


def tracking_time_out(env: TrackingEnv) -> torch.Tensor:
    """End where the current frame is the motion's last; configure it with `time_out=True`."""
    return env.command.at_end
