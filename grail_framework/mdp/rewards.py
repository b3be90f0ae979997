"""Tracking rewards of a reference motion, and penalties every task can use. Each returns (num_envs,), a non-negative magnitude.

The kernels are exp(-error / std^2) of mean squared errors, as the GRAIL release and BeyondMimic use them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


def _mean_squared(error: torch.Tensor) -> torch.Tensor:
    """Mean over bodies of the squared lengths of errors (N, K, 3)."""
    return error.square().sum(dim=-1).mean(dim=1)


def tracking_anchor_pos(env: TrackingEnv, std: float) -> torch.Tensor:
    """Reward the anchor body for being at its reference position: exp(-|dp|^2 / std^2).

    Args:
        env: the environment.
        std: width of the kernel. [m]
    """
    return torch.exp(-env.view.anchor_distance.square() / std**2)


def tracking_anchor_ori(env: TrackingEnv, std: float) -> torch.Tensor:
    """Reward the anchor body for its reference orientation: exp(-angle^2 / std^2).

    Args:
        env: the environment.
        std: width of the kernel. [rad]
    """
    return torch.exp(-env.view.anchor_angle.square() / std**2)


def tracking_relative_body_pos(env: TrackingEnv, std: float) -> torch.Tensor:
    """Reward the tracked bodies for their re-anchored reference positions: exp(-mean |dp|^2 / std^2).

    Args:
        env: the environment.
        std: width of the kernel. [m]
    """
    return torch.exp(-_mean_squared(env.view.relative_body_error_w) / std**2)


def tracking_relative_body_ori(env: TrackingEnv, std: float) -> torch.Tensor:
    """Reward the tracked bodies for their re-anchored reference orientations: exp(-mean angle^2 / std^2).

    Args:
        env: the environment.
        std: width of the kernel. [rad]
    """
    return torch.exp(-env.view.relative_body_angle.square().mean(dim=1) / std**2)


class tracking_relative_body_ori_weighted:  # noqa: N801 - terms are named as they are written in a config
    """Like `tracking_relative_body_ori` with a weight per body; a class because the weights are normalised once.

    Args:
        env: the environment.
        std: width of the kernel. [rad]
        body_weights: weights of some tracked bodies; those not named weigh 1, and the sum is scaled to 1. [-]
    """

    def __init__(self, env: TrackingEnv, std: float, body_weights: dict[str, float] | None = None) -> None:
        weights = torch.ones(len(env.robot.tracked_bodies), device=env.device)
        for name, weight in (body_weights or {}).items():
            weights[env.tracked_body_ids((name,))] = weight
        self._weights = weights / weights.sum()
        self._std = std

    def __call__(self, env: TrackingEnv) -> torch.Tensor:
        """Return exp(-sum_k w_k angle_k^2 / std^2)."""
        squared = env.view.relative_body_angle.square()
        return torch.exp(-(squared * self._weights).sum(dim=1) / self._std**2)


def tracking_body_linvel(env: TrackingEnv, std: float) -> torch.Tensor:
    """Reward the tracked bodies for their reference linear velocities: exp(-mean |dv|^2 / std^2).

    The reference velocity is that of the link origin, the simulated one that of its centre of mass, as in the release.

    Args:
        env: the environment.
        std: width of the kernel. [m/s]
    """
    return torch.exp(-_mean_squared(env.reference.body_lin_vel_w - env.view.body_lin_vel_w) / std**2)


def tracking_body_angvel(env: TrackingEnv, std: float) -> torch.Tensor:
    """Reward the tracked bodies for their reference angular velocities: exp(-mean |dw|^2 / std^2).

    Args:
        env: the environment.
        std: width of the kernel. [rad/s]
    """
    return torch.exp(-_mean_squared(env.reference.body_ang_vel_w - env.view.body_ang_vel_w) / std**2)


def undesired_contacts(env: TrackingEnv, sensor: str, threshold: float) -> torch.Tensor:
    """Count the links of a contact sensor whose net force exceeds a threshold.

    Args:
        env: the environment.
        sensor: name of the contact sensor.
        threshold: force that counts as contact. [N]
    """
    return (env.view.force_norm(sensor) > threshold).sum(dim=1, dtype=torch.float32)


def is_terminated(env: TrackingEnv) -> torch.Tensor:
    """Give 1 where the episode ended by a failure in this step."""
    return env.terminations.terminated.to(torch.float32)
