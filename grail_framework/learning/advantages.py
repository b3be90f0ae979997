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
    discount = gamma * (~(terminated | truncated)).to(rewards.dtype)
    delta = rewards + discount * torch.cat([values[1:], last_value.unsqueeze(0)]) - values
    decay = lam * discount
    # What cannot be done for all steps at once is one operation each.
    advantages = torch.empty_like(rewards)
    advantages[-1] = delta[-1]
    for t in reversed(range(rewards.shape[0] - 1)):
        torch.addcmul(delta[t], decay[t], advantages[t + 1], out=advantages[t])
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
