"""Running mean and variance of observations, the same on every rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable


class RunningMeanStd(nn.Module):
    """Whiten each feature with the statistics of all that `update` has seen.

    The statistics are float64: after 1e9 samples a float32 mean no longer moves. Before the first update the mean is 0 and the
    variance 1.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    count: torch.Tensor

    def __init__(self, width: int, *, epsilon: float = 1e-5, clamp: float | None = 5.0) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.clamp = clamp
        self.register_buffer("running_mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("running_var", torch.ones(width, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `(x - mean) / sqrt(var + epsilon)` clamped to +-`clamp`, if any; the last dimension of `x` is the feature."""
        scale = torch.rsqrt(self.running_var + self.epsilon).to(x.dtype)
        centred = x - self.running_mean.to(x.dtype)
        if centred.requires_grad:  # of inputs that are themselves computed from parameters
            whitened = centred * scale
            return whitened if self.clamp is None else whitened.clamp(-self.clamp, self.clamp)
        centred.mul_(scale)
        return centred if self.clamp is None else centred.clamp_(-self.clamp, self.clamp)

    @torch.no_grad()
    def update(self, x: torch.Tensor, reduce_sum: Callable[[torch.Tensor], torch.Tensor] | None = None) -> None:
        """Merge the samples of `x` (..., width) into the statistics.

        `reduce_sum` adds a tensor up over the ranks; with it every rank merges the samples of all ranks and keeps the same numbers.
        """
        # Step by step of a rollout, whose size a copy in float64 would be twice. The steps are merged in float64, with sums about the
        # running mean: squares of small deviations lose nothing to cancellation.
        parts = x.reshape(x.shape[0] if x.ndim > 2 else 1, -1, x.shape[-1])
        size = parts.shape[1]
        mean, variance = (torch.stack(moment).double() for moment in zip(*map(_moments, parts), strict=True))
        deviation = mean - self.running_mean
        count = torch.full_like(self.running_mean[:1], parts.shape[0] * size)
        sums = torch.cat([count, deviation.sum(0) * size, (variance + deviation.square()).sum(0) * size])
        sums = sums if reduce_sum is None else reduce_sum(sums)
        count, total, squares = sums.split([1, x.shape[-1], x.shape[-1]])
        shift = total / count
        merged = self.count + count
        sum_of_squares = self.running_var * self.count + (squares - count * shift.square())
        self.running_var.copy_((sum_of_squares + shift.square() * self.count * count / merged) / merged)
        self.running_mean.add_(shift * (count / merged))
        self.count.copy_(merged.squeeze(0))


def _moments(samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and (biased) variance over the first dimension."""
    mean = samples.mean(0)
    return mean, (samples - mean).square_().mean(0)
