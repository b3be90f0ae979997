"""Penalties on how a hand comes near things. Each returns a non-negative magnitude (num_envs,); formulas of the GRAIL release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.errors import ConfigError
from grail_rewards.grasp import contact_count

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv

_REACH = 0.25
"""Distance from the object at which its nearness has dropped to 1/e. [m]"""


def hand_table_contact_penalty(env: TrackingEnv, *, sensor: str, max_force: float = 1.0) -> torch.Tensor:
    """Penalize the hand for pressing the table: the sum of the links' forces, at most `max_force`.

    Args:
        env: the environment.
        sensor: name of the contact sensor between the hand's links and the table.
        max_force: force beyond which the penalty does not grow. [N]
    """
    return env.view.force_norm(sensor).sum(dim=1).clamp(max=max_force)


def approach_velocity_penalty(
    env: TrackingEnv,
    *,
    hand: str = "right",
    disable_after_contact: bool = False,
    sensor: str | None = None,
    force_threshold: float = 0.1,
    min_contacts: int = 3,
) -> torch.Tensor:
    """Penalize a fast hand near the object: v^2 exp(-d^2 / 0.25^2), v the palm's speed, d its distance to the object [m^2/s^2].

    Args:
        env: the environment.
        hand: left or right.
        disable_after_contact: count only while fewer than `min_contacts` links touch; needs a sensor.
        sensor: name of the contact sensor between the hand's links and the object.
        force_threshold: force that counts as contact. [N]
        min_contacts: number of links that count as a grasp. [links]

    Raises:
        ConfigError: `disable_after_contact` without a sensor.
    """
    if disable_after_contact and sensor is None:
        raise ConfigError(
            "approach_velocity_penalty: disable_after_contact needs params.sensor, a sensor of scene.contact_sensors"
        )
    palm = env.body_ids((env.robot.hands[hand].palm,))
    speed_sq = env.state.body_lin_vel_w.index_select(1, palm).square().sum(dim=(1, 2))
    offset = env.state.body_pos_w.index_select(1, palm) - env.state.object_pos_w.unsqueeze(1)
    penalty = speed_sq * torch.exp(-offset.square().sum(dim=(1, 2)) / _REACH**2)
    if disable_after_contact and sensor is not None:  # the second half for the type checker
        penalty = penalty * (contact_count(env, sensor, force_threshold) < min_contacts)
    return penalty
