"""Curricula: what changes while training goes on. Each sets a quantity of the environment and returns its value for the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


def reward_weight(env: TrackingEnv, reward: str, start: float, end: float, to_iteration: int, from_iteration: int = 0) -> float:
    """Move the weight of a reward linearly from one value to another, and leave it there.

    Args:
        env: the environment.
        reward: name of the reward in the configuration.
        start: weight up to `from_iteration`. [1/s]
        end: weight from `to_iteration` on. [1/s]
        to_iteration: iteration at which the end is reached. [iterations]
        from_iteration: iteration up to which the weight stays at the start. [iterations]
    """
    span = max(to_iteration - from_iteration, 1)
    share = min(max((env.curriculums.iteration - from_iteration) / span, 0.0), 1.0)
    weight = start + (end - start) * share
    env.rewards.set_weight(reward, weight)
    return weight
