"""Penalties on what the policy asks for. Each returns a non-negative magnitude (num_envs,); the weight carries the sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from grail_framework.envs.tracking_env import TrackingEnv


def finger_primitive_limit(env: TrackingEnv) -> torch.Tensor:
    """Penalize hand primitives beyond the magnitude where they say nothing new: sum over hands of the excess (GRAIL release).

    The limit is 0.5 for discrete primitives. Zero for an action without primitives.
    """
    term = env.action_term
    return (term.primitives.abs() - term.primitive_limit).clamp_min(0.0).sum(dim=1)


def meta_action_rate_l2(env: TrackingEnv) -> torch.Tensor:
    """Penalize change of the policy's output: |a_t - a_(t-1)|^2; 0 until two actions exist."""
    change = (env.action_term.action - env.action_term.previous_action).square().sum(dim=1)
    return change * (env.episode_length > 1)
