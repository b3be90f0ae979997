"""The environment as a gymnasium `VectorEnv`, and a single copy as an `Env`. Needs the package gymnasium.

Observations are dictionaries of the groups, everything is a numpy array on the host: for tools, not for fast training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from grail_framework.errors import ConfigError

try:
    import gymnasium
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ImportError as error:
    raise ConfigError(
        f"grail_framework.envs.adapters.gymnasium needs the package gymnasium 1 ({error}): pip install 'gymnasium>=1.1,<2'"
    ) from error

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv

ACTION_BOUND = 20.0
"""Actions are clipped to this before their scale is applied, as in the GRAIL release, so more means no more."""

type Observation = dict[str, np.ndarray]


def observation_space(env: TrackingEnv) -> spaces.Space[Any]:
    """Return the space of one environment's observation groups, unbounded."""
    return spaces.Dict(
        {name: spaces.Box(-np.inf, np.inf, (width,), np.float32) for name, width in env.observation_dims.items()}
    )


def action_space(env: TrackingEnv) -> spaces.Box:
    """Return the space of one environment's action."""
    return spaces.Box(-ACTION_BOUND, ACTION_BOUND, (env.num_actions,), np.float32)


class GymnasiumVectorEnv(VectorEnv[Observation, np.ndarray, np.ndarray]):
    """All copies of an environment, reset in the step in which they end (`AutoresetMode.SAME_STEP`).

    `infos["final_obs"]` holds the observations an episode ended in, groups (num_envs, width), for the environments that
    `infos["_final_obs"]` (num_envs,) marks. A seed given to `reset` seeds the environment's own generator.
    """

    def __init__(self, env: TrackingEnv) -> None:
        self.env = env
        env.auto_reset = False
        self.num_envs = env.num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = observation_space(env)
        self.single_action_space = action_space(env)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """Start every episode anew."""
        super().reset(seed=seed)
        _seed(self.env, seed)
        return _to_numpy(self.env.reset()), {}

    def step(self, actions: np.ndarray) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Advance one control step; `actions` is (num_envs, num_actions)."""
        observations, reward, terminated, truncated, _ = self.env.step(_to_tensor(actions, self.env))
        done = terminated | truncated
        infos: dict[str, Any] = {}
        if bool(done.any()):
            infos = {"final_obs": _to_numpy(observations), "_final_obs": done.cpu().numpy()}
            observations = self.env.reset(done)
        reward, terminated, truncated = (part.cpu().numpy() for part in (reward, terminated, truncated))
        return _to_numpy(observations), reward, terminated, truncated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """Release the engine."""
        self.env.close()


class GymnasiumEnv(gymnasium.Env[Observation, np.ndarray]):
    """One copy of an environment. An episode that ended goes on until `reset`, as gymnasium demands."""

    metadata = {"render_modes": []}

    def __init__(self, env: TrackingEnv) -> None:
        """Wrap an environment of one copy.

        Raises:
            ConfigError: it has more than one.
        """
        if env.num_envs != 1:
            raise ConfigError(f"GymnasiumEnv holds 1 environment, got num_envs={env.num_envs}; use GymnasiumVectorEnv")
        self.env = env
        env.auto_reset = False
        self.observation_space = observation_space(env)
        self.action_space = action_space(env)
        self._closed = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """Start a new episode; a seed seeds the environment's own generator."""
        super().reset(seed=seed)
        _seed(self.env, seed)
        return _first(_to_numpy(self.env.reset())), {}

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Advance one control step; `action` is (num_actions,)."""
        observations, reward, terminated, truncated, _ = self.env.step(_to_tensor(action[None], self.env))
        return _first(_to_numpy(observations)), float(reward), bool(terminated), bool(truncated), {}

    def close(self) -> None:
        """Release the engine; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self.env.close()


def _seed(env: TrackingEnv, seed: int | None) -> None:
    if seed is not None:
        env.generator.manual_seed(seed)


def _to_tensor(actions: np.ndarray, env: TrackingEnv) -> torch.Tensor:
    return torch.as_tensor(np.asarray(actions), dtype=torch.float32, device=env.device)


def _to_numpy(observations: dict[str, torch.Tensor]) -> Observation:
    # Copies: the environment may overwrite its own.
    return {name: value.detach().cpu().numpy().copy() for name, value in observations.items()}


def _first(observations: Observation) -> Observation:
    return {name: value[0] for name, value in observations.items()}
