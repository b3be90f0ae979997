"""Tracking rewards of a reference motion, and penalties every task can use. Each returns (num_envs,), a non-negative magnitude.

The kernels are exp(-error / std^2) of mean squared errors, as the GRAIL release and BeyondMimic use them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.robots.rotations import quat_angle

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


def _squared(error: torch.Tensor) -> torch.Tensor:
    return error.square().sum(dim=-1)


def tracking_anchor_pos(env: TrackingEnv, std: float) -> torch.Tensor:
    """Reward the anchor body for being at its reference position: exp(-|dp|^2 / std^2); std [m]."""
    return torch.exp(-_squared(env.view.ref_anchor_pos_w - env.view.anchor_pos_w) / std**2)


def tracking_anchor_ori(env: TrackingEnv, std: float) -> torch.Tensor:
    """Reward the anchor body for its reference orientation: exp(-angle^2 / std^2); std [rad]."""
    return torch.exp(-quat_angle(env.view.ref_anchor_quat_w, env.view.anchor_quat_w).square() / std**2)


def tracking_relative_body_pos(env: TrackingEnv, std: float) -> torch.Tensor:
    """Reward the tracked bodies for their re-anchored reference positions: exp(-mean |dp|^2 / std^2); std [m]."""
    return torch.exp(-_squared(env.view.relative_body_pos_w - env.view.body_pos_w).mean(dim=1) / std**2)


def tracking_relative_body_ori(env: TrackingEnv, std: float) -> torch.Tensor:
    """Reward the tracked bodies for their re-anchored reference orientations: exp(-mean angle^2 / std^2); std [rad]."""
    return torch.exp(-quat_angle(env.view.relative_body_quat_w, env.view.body_quat_w).square().mean(dim=1) / std**2)


class tracking_relative_body_ori_weighted:  # noqa: N801 - terms are named as they are written in a config
    """Like `tracking_relative_body_ori` with a weight per body; a class because the weights are normalised once."""

    def __init__(self, env: TrackingEnv, std: float, body_weights: dict[str, float] | None = None) -> None:
        weights = torch.ones(len(env.robot.tracked_bodies), device=env.device)
        for name, weight in (body_weights or {}).items():
            weights[env.tracked_body_ids((name,))] = weight
        self._weights = weights / weights.sum()
        self._std = std

    def __call__(self, env: TrackingEnv) -> torch.Tensor:
        """Return exp(-sum_k w_k angle_k^2 / std^2) with weights that sum to 1; bodies not named weigh 1 before that."""
        squared = quat_angle(env.view.relative_body_quat_w, env.view.body_quat_w).square()
        return torch.exp(-(squared * self._weights).sum(dim=1) / self._std**2)


def tracking_body_linvel(env: TrackingEnv, std: float) -> torch.Tensor:
    """Reward the tracked bodies for their reference linear velocities: exp(-mean |dv|^2 / std^2); std [m/s].

    The reference velocity is that of the link origin, the simulated one that of its centre of mass, as in the release.
    """
    return torch.exp(-_squared(env.reference.body_lin_vel_w - env.view.body_lin_vel_w).mean(dim=1) / std**2)


def tracking_body_angvel(env: TrackingEnv, std: float) -> torch.Tensor:
    """Reward the tracked bodies for their reference angular velocities: exp(-mean |dw|^2 / std^2); std [rad/s]."""
    return torch.exp(-_squared(env.reference.body_ang_vel_w - env.view.body_ang_vel_w).mean(dim=1) / std**2)


def undesired_contacts(env: TrackingEnv, sensor: str, threshold: float) -> torch.Tensor:
    """Count the links of a contact sensor whose net force exceeds the threshold [N]."""
    force = torch.linalg.vector_norm(env.state.contact_forces[sensor], dim=-1)  # (N, links)
    return (force > threshold).sum(dim=1).to(force.dtype)


def is_terminated(env: TrackingEnv) -> torch.Tensor:
    """Give 1 where the episode ended by a failure in this step."""
    return env.terminations.terminated.to(torch.float32)
