"""Finite scalar quantisation (Mentzer et al. 2023): every number of a latent is rounded to one of a few levels."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import nn

from grail_framework.errors import ConfigError

_MARGIN: Final = 1e-3
"""How much wider than the outermost levels the bound is, so that they are reached."""


def level_use(tokens: torch.Tensor, levels: int) -> torch.Tensor:
    """Return what share of the levels tokens make use of, a scalar on their device: 1 / levels to 1.

    It is the perplexity of the levels that an element takes over the batch (exp of the entropy in nats), over their number, averaged
    over the elements. Numbers between two levels count for the nearest, those beyond the outermost for these.

    Args:
        tokens: (B, ...), as `Fsq` gives them.
        levels: of each element.
    """
    half = levels // 2
    index = ((tokens.detach().flatten(1).float() * half).round().long() + half).clamp(0, levels - 1)
    counts = torch.zeros(levels, index.shape[1], device=index.device).scatter_add_(
        0, index, torch.ones_like(index, dtype=torch.float32)
    )
    entropy = torch.special.entr(counts / index.shape[0]).sum(0)
    return entropy.exp().mean() / levels


class Fsq(nn.Module):
    """Bound each element with a tanh and round it to `levels` values in [-1, 1], evenly spaced; the gradient passes the rounding.

    There is no codebook, and nothing to learn or to save. With an even number of levels L they are -1, -1 + 2/L, ..., 1 - 2/L and 0
    stays 0, as in the GRAIL release (L = 32).
    """

    def __init__(self, levels: int) -> None:
        super().__init__()
        if levels < 3:
            raise ConfigError(f"fsq_levels={levels}: a quantiser needs at least 3 levels; the GRAIL release has 32")
        self.levels = levels
        self._half_width = levels // 2
        self._scale = (levels - 1) * (1.0 + _MARGIN) / 2.0
        self._offset = 0.0 if levels % 2 else 0.5
        self._shift = math.atanh(self._offset / self._scale)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Return the tokens of a latent, same shape, float32: multiples of 1 / (levels // 2).

        Their gradient is that of the bound, as if nothing had been rounded.
        """
        # In float32 whatever mixed precision gives: neighbouring levels differ by less than bfloat16 resolves near the outer ones.
        bounded = torch.tanh(latent.float() + self._shift) * self._scale - self._offset
        # Adds an exact zero that carries the gradient, where `bounded + (rounded - bounded)` would be off by a rounding error.
        return (bounded.round().detach() + (bounded - bounded.detach())) / self._half_width

    def indices(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return which level each element of `tokens` has, 0 to levels - 1, int64 of the same shape."""
        return (tokens * self._half_width).round().long() + self._half_width
