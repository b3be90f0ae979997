"""Normalised inputs of a universal-token network, which its first layers can take over.

The GRAIL release's networks read their observations as they are. Statistics that are not clamped are an affine map of the inputs, and
the linear layers that follow can do it themselves: where an actor leaves for the release, or is frozen, it has the release's parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from grail_framework.learning.normalization import RunningMeanStd

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKENIZER: Final = "tokenizer_normalizer"
"""Where an actor-critic has the normalisers of its encoders, by encoder."""
PROPRIOCEPTION: Final = "proprioception_normalizer"
"""Where it has the normaliser of what its decoder to actions reads behind the tokens."""
IMITATION: Final = "imitation"
"""Where it has `imitation.Imitation`, whose state is how much of it is left."""
LEAST_STD: Final = 0.1
"""Standard deviations are told apart down to about here. [SI units of a term: rad, rad/s, m, -]

A column that never changed in training has the deviation 0. Where it does change later (a motion with other joints, a robot that is
turned) the change is made ten times larger, and no more: there is no clamp.
"""


class InputNormalizer(RunningMeanStd):
    """Whiten those inputs of a linear layer whose numbers are `columns` (int64), without a clamp."""

    columns: torch.Tensor

    def __init__(self, columns: torch.Tensor) -> None:
        super().__init__(len(columns), epsilon=LEAST_STD**2, clamp=None)
        self.register_buffer("columns", columns)


def is_of_training(name: str) -> bool:
    """Whether a name of an actor-critic's state dict is of what neither acts nor is learned: statistics of inputs, counters."""
    return name.startswith((f"{TOKENIZER}.", f"{PROPRIOCEPTION}.", f"{IMITATION}."))


def without_normalizers(model: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return an actor-critic's state dict without what is of training; input normalisers become part of the layers they feed.

    Computed in float64 and rounded once; the network acts the same. A state dict without them, of whatever network, stays as it is.
    """
    folded = {name: tensor for name, tensor in model.items() if not is_of_training(name)}
    for owner, layer in fed_layers(model).items():
        weight, bias = (model[f"{layer}.{kind}"] for kind in ("weight", "bias"))
        mean, variance, columns = (model[f"{owner}.{kind}"].detach() for kind in ("running_mean", "running_var", "columns"))
        exact = weight.detach().double()
        scaled = exact[:, columns] * torch.rsqrt(variance.double() + LEAST_STD**2)
        folded[f"{layer}.weight"] = exact.index_copy(1, columns, scaled).to(weight.dtype)
        folded[f"{layer}.bias"] = (bias.detach().double() - scaled @ mean.double()).to(bias.dtype)
    return folded


def fed_layers(model: Mapping[str, Any]) -> dict[str, str]:
    """Return which layer each input normaliser in a state dict feeds: beginnings of names by beginnings of names."""
    owners = [name.removesuffix(".columns") for name in model if is_of_training(name) and name.endswith(".columns")]
    return {
        owner: "actor_module.decoders.g1_dyn.module.0"
        if owner == PROPRIOCEPTION
        else f"actor_module.encoders.{owner.removeprefix(f'{TOKENIZER}.')}.module.0"
        for owner in owners
    }
