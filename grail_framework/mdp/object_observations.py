"""Observations of the scene's object and table, simulated and reference. "Robot frame" is the frame of the root body."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.robots.rotations import quat_apply_inverse, quat_relative, rotation_6d

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


def target_object_pos(env: TrackingEnv) -> torch.Tensor:
    """Give the simulated object's position in the robot frame (N, 3) [m]."""
    return quat_apply_inverse(env.state.root_quat_w, env.state.object_pos_w - env.state.root_pos_w)


def object_pos_delta_multi_future(env: TrackingEnv) -> torch.Tensor:
    """Give the window's reference object positions minus the simulated one, in the robot frame (N, 3 * W) [m]."""
    delta = env.window.object_pos - env.state.object_pos_w.unsqueeze(1)
    return quat_apply_inverse(env.state.root_quat_w.unsqueeze(1), delta).flatten(1)


def object_ori_delta_multi_future_6d(env: TrackingEnv) -> torch.Tensor:
    """Give the window's reference object orientations in the simulated object's frame (N, 6 * W), 6D."""
    return rotation_6d(quat_relative(env.state.object_quat_w.unsqueeze(1), env.window.object_quat)).flatten(1)


def object_pos_b(env: TrackingEnv) -> torch.Tensor:
    """Give the reference object position in the robot frame (N, 3) [m]."""
    return quat_apply_inverse(env.state.root_quat_w, env.reference.object_pos_w - env.state.root_pos_w)


def object_ori_b_6d(env: TrackingEnv) -> torch.Tensor:
    """Give the reference object orientation in the robot frame (N, 6), 6D."""
    return rotation_6d(quat_relative(env.state.root_quat_w, env.reference.object_quat_w))


def table_pos_b(env: TrackingEnv) -> torch.Tensor:
    """Give the table's position in the robot frame (N, 3) [m]; zeros without a table."""
    if env.engine.spec.table_size is None:
        return torch.zeros(env.num_envs, 3, device=env.device)
    return quat_apply_inverse(env.state.root_quat_w, env.state.table_pos_w - env.state.root_pos_w)


def table_ori_b(env: TrackingEnv) -> torch.Tensor:
    """Give the table's orientation in the robot frame (N, 6), 6D; zeros without a table."""
    if env.engine.spec.table_size is None:
        return torch.zeros(env.num_envs, 6, device=env.device)
    return rotation_6d(quat_relative(env.state.root_quat_w, env.state.table_quat_w))


def object_bps(env: TrackingEnv) -> torch.Tensor:
    """Give the object's basis point set code (N, 10); zeros for a motion whose library has none."""
    return env.motions.bps[env.command.motion_ids]
