"""Rollout storage: one preallocated tensor per quantity, time first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.learning.networks import PolicyOutput


@attrs.frozen(kw_only=True)
class MiniBatch:
    """Whole sequences of some environments, flattened; B = steps x environments."""

    observations: dict[str, torch.Tensor]
    """Per group (B, width)."""
    actions: torch.Tensor
    """(B, A)."""
    log_prob: torch.Tensor
    """(B,), under the policy that acted; likewise mean, std and value."""
    mean: torch.Tensor
    std: torch.Tensor
    value: torch.Tensor
    returns: torch.Tensor
    """(B,)."""
    advantages: torch.Tensor
    """(B,), normalised."""


class RolloutStorage:
    """The T = `num_steps` steps of N = `num_envs` environments that an update learns from, on `device`."""

    def __init__(
        self, num_steps: int, num_envs: int, observation_dims: Mapping[str, int], num_actions: int, device: torch.device
    ) -> None:
        def zeros(*trailing: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.zeros(num_steps, num_envs, *trailing, dtype=dtype, device=device)

        self.num_steps = num_steps
        self.num_envs = num_envs
        self.device = device
        self.observations = {group: zeros(width) for group, width in observation_dims.items()}
        self.actions, self.mean, self.std = zeros(num_actions), zeros(num_actions), zeros(num_actions)
        self.log_prob, self.value = zeros(), zeros()
        self.rewards = zeros()
        self.terminated, self.truncated = zeros(dtype=torch.bool), zeros(dtype=torch.bool)
        self.returns, self.advantages = zeros(), zeros()
        self.last_value = torch.zeros(num_envs, device=device)
        """(num_envs,), of the state after the last step."""
        self._first_rows = torch.arange(num_steps, device=device).unsqueeze(1) * num_envs

    def record_decision(self, step: torch.Tensor, observations: Mapping[str, torch.Tensor], output: PolicyOutput) -> None:
        """Copy what the policy saw and did; before the environment steps, which may overwrite its observations.

        `step` (1,) int64 is a tensor, for what is recorded once and replayed for every step.
        """
        for group, stored in self.observations.items():
            _write(stored, step, observations[group])
        for name in ("actions", "mean", "std", "log_prob", "value"):
            _write(getattr(self, name), step, getattr(output, name))

    def record_outcome(
        self, step: torch.Tensor, reward: torch.Tensor, terminated: torch.Tensor, truncated: torch.Tensor
    ) -> None:
        """Copy what the environment answered, (num_envs,) each."""
        _write(self.rewards, step, reward)
        _write(self.terminated, step, terminated)
        _write(self.truncated, step, truncated)

    def shuffled_envs(self) -> torch.Tensor:
        """Draw an order of the environments, (num_envs,)."""
        return torch.randperm(self.num_envs, device=self.device)

    def mini_batch(self, envs: torch.Tensor) -> MiniBatch:
        """Gather the whole sequences of some environments, int64 (n,); step by step, in the order given."""
        rows = (self._first_rows + envs).flatten()

        def take(stored: torch.Tensor) -> torch.Tensor:
            return stored.flatten(0, 1).index_select(0, rows)

        return MiniBatch(
            observations={group: take(stored) for group, stored in self.observations.items()},
            actions=take(self.actions),
            log_prob=take(self.log_prob),
            mean=take(self.mean),
            std=take(self.std),
            value=take(self.value),
            returns=take(self.returns),
            advantages=take(self.advantages),
        )


def _write(stored: torch.Tensor, step: torch.Tensor, value: torch.Tensor) -> None:
    stored.index_copy_(0, step, value.to(stored.dtype).unsqueeze(0))
