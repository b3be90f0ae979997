"""Observations of the robot and its reference. Each returns (num_envs, d); names and layouts are those of the GRAIL release.

"6D" is an orientation as the first two columns of its rotation matrix, row-major (m00, m01, m10, m11, m20, m21). Terms over several
frames are frame-major. The current reference frame is the one the coming reward is computed on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.robots.rotations import quat_apply_inverse, quat_relative, quat_to_matrix, rotation_6d

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


def command(env: TrackingEnv) -> torch.Tensor:
    """Give the current reference joint positions and velocities (N, 2 * motion joints) [rad, rad/s]."""
    return torch.cat((env.reference.joint_pos, env.reference.joint_vel), dim=-1)


def command_multi_future(env: TrackingEnv) -> torch.Tensor:
    """Give the window's reference joints (N, 2 * W * motion joints): all frames' positions, then all frames' velocities.

    Not frame-major: the release builds it in this order and its checkpoints depend on it.
    """
    return torch.cat((env.window.joint_pos.flatten(1), env.window.joint_vel.flatten(1)), dim=-1)


def command_z(env: TrackingEnv) -> torch.Tensor:
    """Give the reference height of the root in the motion's world (N, 1) [m]."""
    return env.reference.root_pos[:, 2:3]


def motion_anchor_pos_b(env: TrackingEnv) -> torch.Tensor:
    """Give the reference anchor position in the robot's anchor frame (N, 3) [m]."""
    return quat_apply_inverse(env.view.anchor_quat_w, env.view.ref_anchor_pos_w - env.view.anchor_pos_w)


def motion_anchor_ori_b(env: TrackingEnv) -> torch.Tensor:
    """Give the reference anchor orientation in the robot's anchor frame (N, 6), 6D."""
    return rotation_6d(quat_relative(env.view.anchor_quat_w, env.view.ref_anchor_quat_w))


def motion_anchor_ori_b_mf(env: TrackingEnv) -> torch.Tensor:
    """Give the window's root orientations in the robot's anchor frame (N, 6 * W), 6D."""
    return rotation_6d(quat_relative(env.view.anchor_quat_w.unsqueeze(1), env.window.root_quat)).flatten(1)


def body_pos(env: TrackingEnv) -> torch.Tensor:
    """Give the tracked bodies' positions in the robot's anchor frame (N, 3 * K) [m]."""
    offset = env.view.body_pos_w - env.view.anchor_pos_w.unsqueeze(1)
    return quat_apply_inverse(env.view.anchor_quat_w.unsqueeze(1), offset).flatten(1)


def body_ori(env: TrackingEnv) -> torch.Tensor:
    """Give the tracked bodies' orientations in the robot's anchor frame (N, 6 * K), 6D."""
    return rotation_6d(quat_relative(env.view.anchor_quat_w.unsqueeze(1), env.view.body_quat_w)).flatten(1)


def base_lin_vel(env: TrackingEnv) -> torch.Tensor:
    """Give the linear velocity of the root's centre of mass in the root frame (N, 3) [m/s]."""
    return env.view.root_lin_vel_b


def base_ang_vel(env: TrackingEnv) -> torch.Tensor:
    """Give the root's angular velocity in the root frame (N, 3) [rad/s]."""
    return env.view.root_ang_vel_b


def gravity_dir(env: TrackingEnv) -> torch.Tensor:
    """Give the direction of gravity in the root frame (N, 3), unit."""
    # The inverse rotation of (0, 0, -1) is minus the third row of the rotation matrix.
    return -quat_to_matrix(env.state.root_quat_w)[:, 2]


def joint_pos(env: TrackingEnv) -> torch.Tensor:
    """Give the joint positions minus their default (N, J) [rad]."""
    return env.state.joint_pos - env.default_joint_pos


def joint_vel(env: TrackingEnv) -> torch.Tensor:
    """Give the joint velocities (N, J) [rad/s]."""
    return env.state.joint_vel.clone()


def actions(env: TrackingEnv) -> torch.Tensor:
    """Give the last joint action (N, J) after its clip and before scale and offset; 0 after a reset."""
    return env.action_term.joint_action.clone()
