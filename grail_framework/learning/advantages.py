"""Returns and advantages of a rollout (generalised advantage estimation, Schulman et al. 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable


def generalized_advantages(
    rewards: torch.Tensor,
    values: torch.Tensor,
    terminated: torch.Tensor,
    truncated: torch.Tensor,
    last_value: torch.Tensor,
    *,
    gamma: float,
    lam: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (returns, advantages), (T, N) each.

    `rewards`, `values`, `terminated` and `truncated` are (T, N); `values[t]` belongs to the state in which step t was taken,
    `last_value` (N,) to the state after the last step. The state a truncated episode ended in is gone after the reset, so its
    value is taken to be that of the state before: `gamma * values[t]` is added to the reward of a truncated step.
    """
    rewards = rewards + gamma * values * truncated
    running = (~(terminated | truncated)).to(rewards.dtype)
    advantages = torch.empty_like(rewards)
    advantage = torch.zeros_like(last_value)
    next_value = last_value
    for t in reversed(range(rewards.shape[0])):
        delta = rewards[t] + gamma * running[t] * next_value - values[t]
        advantage = delta + gamma * lam * running[t] * advantage
        advantages[t] = advantage
        next_value = values[t]
    return advantages + values, advantages


def normalize_advantages(
    advantages: torch.Tensor, reduce_sum: Callable[[torch.Tensor], torch.Tensor] | None = None
) -> torch.Tensor:
    """Return `(advantages - mean) / (std + 1e-8)` with the mean and the (unbiased) std over all ranks.

    `reduce_sum` adds a tensor up over the ranks; None where there is one.
    """
    total = torch.stack([advantages.sum(), torch.full_like(advantages.sum(), advantages.numel())])
    total = total if reduce_sum is None else reduce_sum(total)
    centred = advantages - total[0] / total[1]
    squares = centred.square().sum()
    squares = squares if reduce_sum is None else reduce_sum(squares)
    return centred / ((squares / (total[1] - 1.0)).sqrt() + 1e-8)
