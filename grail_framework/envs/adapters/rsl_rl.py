"""The environment as an rsl_rl `VecEnv`, so that rsl_rl's runners and algorithms train it. Needs the package rsl-rl-lib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from grail_framework.errors import ConfigError

try:
    from rsl_rl.env import VecEnv as RslRlBase
    from tensordict import TensorDict
except ImportError as error:
    raise ConfigError(
        f"grail_framework.envs.adapters.rsl_rl needs the package rsl-rl-lib 5 ({error}): pip install 'rsl-rl-lib>=5,<6'"
    ) from error

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


class RslRlVecEnv(RslRlBase):
    """Wraps an environment; observation sets of rsl_rl are made of its groups: `{"actor": ["policy"], "critic": ["critic"]}`.

    Episodes end with their motion, so `max_episode_length` is the longest motion and a changed `episode_length_buf` ends nothing.
    `extras` hold `time_outs` (num_envs,) and, as `log`, the environment's metrics of the step.
    """

    def __init__(self, env: TrackingEnv) -> None:
        self.env = env
        self.num_envs: int = env.num_envs
        self.num_actions: int = env.num_actions
        self.device = env.device
        self.cfg = env.cfg
        self.max_episode_length = int(env.command.num_frames.max())
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self._observations = self._reset()

    def get_observations(self) -> TensorDict:
        """Return what the last reset or step observed, groups (num_envs, width)."""
        return self._observations

    def reset(self) -> tuple[TensorDict, dict[str, Any]]:
        """Start every episode anew."""
        self._observations = self._reset()
        return self._observations, {}

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance one control step.

        Returns:
            Observation groups after the reset of the environments that ended, reward and done (num_envs,), extras.
        """
        # rsl_rl steps in inference mode; buffers made there could not be written to outside of it.
        with torch.inference_mode(mode=False), torch.no_grad():
            observations, reward, terminated, truncated, _ = self.env.step(actions.to(self.device).clone())
            done = terminated | truncated
            self.episode_length_buf = (self.episode_length_buf + 1).masked_fill(done, 0)
            self._observations = self._as_tensordict(observations)
            log = {f"/{name}": value for name, value in self.env.drain_metrics().items()}
        return self._observations, reward, done.long(), {"time_outs": truncated, "log": log}

    def close(self) -> None:
        """Release the engine."""
        self.env.close()

    def _reset(self) -> TensorDict:
        with torch.inference_mode(mode=False), torch.no_grad():
            return self._as_tensordict(self.env.reset())

    def _as_tensordict(self, observations: dict[str, torch.Tensor]) -> TensorDict:
        # Copies: rsl_rl stores the observations of a step after the next one, in which the environment may overwrite its own.
        copies = {name: value.clone() for name, value in observations.items()}
        return TensorDict(copies, batch_size=[self.num_envs], device=self.device)
