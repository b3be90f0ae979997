"""Rollout storage: one preallocated tensor per quantity, time first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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

    def record_decision(self, step: int, observations: Mapping[str, torch.Tensor], output: PolicyOutput) -> None:
        """Copy what the policy saw and did; before the environment steps, which may overwrite its observations."""
        for group, stored in self.observations.items():
            stored[step].copy_(observations[group])
        for name in ("actions", "mean", "std", "log_prob", "value"):
            getattr(self, name)[step].copy_(getattr(output, name))

    def record_outcome(self, step: int, reward: torch.Tensor, terminated: torch.Tensor, truncated: torch.Tensor) -> None:
        """Copy what the environment answered, (num_envs,) each."""
        self.rewards[step].copy_(reward)
        self.terminated[step].copy_(terminated)
        self.truncated[step].copy_(truncated)

    def shuffled_envs(self) -> torch.Tensor:
        """Draw an order of the environments, (num_envs,)."""
        return torch.randperm(self.num_envs, device=self.device)

    def mini_batches(self, num_mini_batches: int, order: torch.Tensor) -> Iterator[MiniBatch]:
        """Split the environments, in `order`, into equal parts and yield the whole sequences of each."""

        def take(stored: torch.Tensor, envs: torch.Tensor) -> torch.Tensor:
            return stored.index_select(1, envs).flatten(0, 1)

        for envs in order.chunk(num_mini_batches):
            yield MiniBatch(
                observations={group: take(stored, envs) for group, stored in self.observations.items()},
                actions=take(self.actions, envs),
                log_prob=take(self.log_prob, envs),
                mean=take(self.mean, envs),
                std=take(self.std, envs),
                value=take(self.value, envs),
                returns=take(self.returns, envs),
                advantages=take(self.advantages, envs),
            )
