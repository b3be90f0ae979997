"""The diagonal Gaussian policy, written out: `torch.distributions` checks its arguments on the host."""

from __future__ import annotations

import math

import torch

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


def log_prob(actions: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Return the log density of `actions` (..., A) summed over the action dimensions, (...); `std` may be (A,), of all samples."""
    squares = ((actions - mean) * std.reciprocal()).square().sum(-1)
    return -0.5 * squares - (std.log() + _LOG_SQRT_2PI).sum(-1)


def entropy(std: torch.Tensor) -> torch.Tensor:
    """Return the differential entropy of a Gaussian with standard deviations `std` (..., A), (...). [nat]"""
    return (std.log() + 0.5 + _LOG_SQRT_2PI).sum(-1)


def kl_divergence(old_mean: torch.Tensor, old_std: torch.Tensor, new_mean: torch.Tensor, new_std: torch.Tensor) -> torch.Tensor:
    """Return KL(old || new) summed over the action dimensions, (...). [nat]

    The 1e-5 inside the logarithm is the GRAIL release's; the adaptive learning rate was tuned with it.
    """
    ratio = torch.log(new_std / old_std + 1e-5)
    spread = (old_std.square() + (old_mean - new_mean).square()) / (2.0 * new_std.square())
    return (ratio + spread - 0.5).sum(-1)
