"""The environment as one gymnasium `Env` of many copies with tensors on the engine's device, as Isaac Lab's environments are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import torch
from gymnasium.vector.utils import batch_space

from grail_framework.envs.adapters.gymnasium import action_space, observation_space

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


class GymnasiumTensorEnv(gymnasium.Env[dict[str, torch.Tensor], torch.Tensor]):
    """All copies of an environment, each reset in the step in which it ends.

    Observations are the groups, each (num_envs, width), after the reset; actions are (num_envs, num_actions); reward, terminated and
    truncated are (num_envs,). A seed given to `reset` seeds the environment's own generator.
    """

    metadata = {"render_modes": []}

    def __init__(self, env: TrackingEnv) -> None:
        self.env = env
        env.auto_reset = True
        self.num_envs = env.num_envs
        self.device = env.device
        self.cfg = env.cfg
        self.single_observation_space = observation_space(env)
        self.single_action_space = action_space(env)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.action_space = batch_space(self.single_action_space, env.num_envs)
        self._closed = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Start every episode anew."""
        super().reset(seed=seed)
        if seed is not None:
            self.env.generator.manual_seed(seed)
        return _own(self.env.reset()), {}

    def step(  # pyright: ignore[reportIncompatibleMethodOverride]  # of all copies at once
        self, action: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance one control step; an action elsewhere, or no tensor, is brought to the device."""
        observations, *outcome, extras = self.env.step(torch.as_tensor(action, dtype=torch.float32, device=self.device))
        reward, terminated, truncated = (value.clone() for value in outcome)
        return _own(observations), reward, terminated, truncated, extras

    def close(self) -> None:
        """Release the engine; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self.env.close()


def _own(observations: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # Copies: the environment may overwrite its own.
    return {name: value.clone() for name, value in observations.items()}
