"""Widths of a universal-token module, read from the names and shapes of a state dict alone."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import attrs

from grail_framework.errors import CheckpointError
from grail_framework.learning.universal_token.layout import ENCODERS
from grail_framework.learning.universal_token.projector import ProjectorShape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch

_CONVOLUTION_STRIDE: Final = 3
"""Convolution, ReLU and pooling of one stage of a projector."""
_LINEAR_STRIDE: Final = 2
"""Linear layer and activation."""


@attrs.frozen(kw_only=True)
class ModuleWidths:
    """Widths of each part: the input, the hidden layers in order, the output."""

    encoders: dict[str, tuple[int, ...]]
    decoders: dict[str, tuple[int, ...]]
    projectors: dict[str, dict[str, ProjectorShape]]
    """By encoder and term."""

    def of_maps(self, encoder: str) -> dict[str, ProjectorShape]:
        """Return the projectors of an encoder by term."""
        return self.projectors.get(encoder, {})

    def embeddings(self, encoder: str) -> dict[str, int]:
        """Return the widths of the embeddings that an encoder reads instead of terms."""
        return {term: shape.width for term, shape in self.of_maps(encoder).items()}


def read_widths(state: Mapping[str, torch.Tensor], layout: Mapping[str, int]) -> ModuleWidths:
    """Read the widths of all parts; `layout` gives those of the tokenizer's terms, for the sides of a height map.

    Raises:
        CheckpointError: a part's layers are not where they should be, or do not follow one another.
    """
    projectors: dict[str, dict[str, ProjectorShape]] = {}
    for encoder, terms in _children(state, "encoder_input_projectors").items():
        prefix = f"encoder_input_projectors.{encoder}"
        projectors[encoder] = {term: _projector(state, f"{prefix}.{term}", term, layout) for term in terms}
    return ModuleWidths(
        encoders={name: _mlp(state, f"encoders.{name}.module") for name in _in_order(_children(state, "encoders"))},
        decoders={name: _mlp(state, f"decoders.{name}.module") for name in _children(state, "decoders")},
        projectors=projectors,
    )


def _in_order(encoders: Iterable[str]) -> list[str]:
    """Return encoders in the order of `encoder_index`."""
    strange = [name for name in encoders if name not in ENCODERS]
    if strange:
        raise CheckpointError(f"encoders {', '.join(strange)}: an encoder is one of {', '.join(ENCODERS)}")
    return sorted(encoders, key=ENCODERS.index)


def _children(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, list[str]]:
    """Return the names below a prefix, and the names below each, in order."""
    found: dict[str, list[str]] = {}
    for name in state:
        if name.startswith(f"{prefix}."):
            child, grandchild = name[len(prefix) + 1 :].split(".")[:2]
            below = found.setdefault(child, [])
            if grandchild not in below:
                below.append(grandchild)
    return found


def _layers(state: Mapping[str, torch.Tensor], prefix: str, stride: int) -> list[torch.Tensor]:
    """Return the weights of a sequence's layers, which sit at every `stride`-th index."""
    weights = {
        int(index): tensor
        for name, tensor in state.items()
        if name.startswith(f"{prefix}.")
        for index, _, kind in [name[len(prefix) + 1 :].partition(".")]
        if kind == "weight" and index.isdecimal()
    }
    wanted = [stride * number for number in range(len(weights))]
    if not weights or sorted(weights) != wanted:
        raise CheckpointError(
            f"{prefix}: layers with weights are expected at 0, {stride}, {2 * stride}, ..., and are at "
            f"{', '.join(map(str, sorted(weights))) or 'none'}; it is a network of another kind"
        )
    return [weights[index] for index in wanted]


def _mlp(state: Mapping[str, torch.Tensor], prefix: str) -> tuple[int, ...]:
    layers = _layers(state, prefix, _LINEAR_STRIDE)
    shapes = [tuple(weight.shape) for weight in layers]
    follow = all(len(shape) == 2 for shape in shapes) and all(before[0] == after[1] for before, after in pairwise(shapes))
    if not follow:
        raise CheckpointError(
            f"{prefix}: the weights {', '.join(map(str, shapes))} are no linear layers that follow one another"
        )
    return (shapes[0][1], *(shape[0] for shape in shapes))


def _projector(state: Mapping[str, torch.Tensor], prefix: str, term: str, layout: Mapping[str, int]) -> ProjectorShape:
    head = _mlp(state, f"{prefix}.mlp_head")
    kernels = [tuple(weight.shape) for weight in _layers(state, f"{prefix}.conv_layers", _CONVOLUTION_STRIDE)]
    if term not in layout:
        raise CheckpointError(f"{prefix}: the observation group `tokenizer` has no term {term!r}; it has {', '.join(layout)}")
    shape = attrs.evolve(
        ProjectorShape.for_map(layout[term]),
        channels=tuple(kernel[0] for kernel in kernels),
        kernel=kernels[0][-1],
        hidden_dims=head[1:-1],
        width=head[-1],
    )
    inputs = (1, *shape.channels[:-1])
    wanted = [(after, before, shape.kernel, shape.kernel) for before, after in zip(inputs, shape.channels, strict=True)]
    if kernels != wanted or shape.kernel % 2 == 0 or head[0] != shape.flat:
        raise CheckpointError(
            f"{prefix}: convolutions {', '.join(map(str, kernels))} and {head[0]} numbers after them are not the GRAIL release's "
            f"projector of a {shape.grid} x {shape.grid} map (odd kernels, sides halved by each, {shape.flat} numbers)"
        )
    return shape
