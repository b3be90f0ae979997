"""The universal-token module: references become tokens, tokens and proprioception become actions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, cast

import torch
from torch import nn

from grail_framework.errors import CheckpointError, ConfigError
from grail_framework.learning.networks import MlpHead
from grail_framework.learning.universal_token.fsq import Fsq
from grail_framework.learning.universal_token.layout import (
    ENCODER_INDEX,
    ENCODERS,
    NUM_FRAMES,
    TokenizerLayout,
    has_frames,
    interleaved,
)
from grail_framework.learning.universal_token.projector import HeightMapProjector
from grail_framework.learning.universal_token.widths import ModuleWidths, read_widths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NUM_TOKENS: Final = 2
TOKEN_DIM: Final = 32
FSQ_LEVELS: Final = 32
DYNAMICS: Final = "g1_dyn"
"""The decoder of tokens and proprioception to actions."""
KINEMATICS: Final = "g1_kin"
"""The decoder of tokens to the reference that the encoder g1 read."""
_OF_TRAINING: Final = "aux_loss_func."
"""Buffers of losses that some files hold beside the network; nothing here needs them."""


class UniversalTokenModule(nn.Module):
    """Encoders, quantiser and decoders with the GRAIL release's parameter names.

    Args:
        layout: the tokenizer group's terms, in order, with their widths.
        inputs: the terms that each encoder reads.
        widths: of every layer; those of the ends must fit `layout` and `inputs`.
        activation: between layers.
        token_dim: width of a token; the encoders' width gives how many there are.
        fsq_levels: levels of each element of a token.
    """

    def __init__(
        self,
        *,
        layout: TokenizerLayout,
        inputs: Mapping[str, Sequence[str]],
        widths: ModuleWidths,
        activation: str,
        token_dim: int = TOKEN_DIM,
        fsq_levels: int = FSQ_LEVELS,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.inputs = {encoder: tuple(inputs[encoder]) for encoder in widths.encoders}
        self.activation = activation
        self.token_dim = token_dim
        self.num_tokens = next(iter(widths.encoders.values()))[-1] // token_dim
        self.tokenizer_dim = layout.width
        self.proprioception_dim = widths.decoders[DYNAMICS][0] - self.num_tokens * token_dim
        self.num_actions = widths.decoders[DYNAMICS][-1]
        self.quantizer = Fsq(fsq_levels)
        self._normalizers: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}
        self.encoders = nn.ModuleDict({name: _mlp(chain, activation) for name, chain in widths.encoders.items()})
        self.decoders = nn.ModuleDict({name: _mlp(chain, activation) for name, chain in widths.decoders.items()})
        self.encoder_input_projectors = nn.ModuleDict(
            {
                encoder: nn.ModuleDict({term: HeightMapProjector(shape) for term, shape in widths.of_maps(encoder).items()})
                for encoder in widths.encoders
            }
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Return what names and shapes do not say, as plain values: the keyword arguments of `from_state_dict`."""
        return {
            "layout": dict(self.layout.widths),
            "inputs": {encoder: list(terms) for encoder, terms in self.inputs.items()},
            "activation": self.activation,
            "token_dim": self.token_dim,
            "fsq_levels": self.quantizer.levels,
            "num_frames": self.layout.num_frames,
        }

    def read_through(self, normalizers: Mapping[str, Callable[[torch.Tensor], torch.Tensor]]) -> None:
        """Let encoders read `plain_input`, and `g1_dyn` the proprioception, through a function each, by the part's name.

        The functions are whoever's who trains the module: its parameters keep the release's names.
        """
        self._normalizers = dict(normalizers)

    def plain_input(self, tokenizer: torch.Tensor, encoder: str) -> torch.Tensor:
        """Return the terms that an encoder reads as they are, frame after frame, (..., frames * width)."""
        return interleaved(self._plain(encoder), partial(self.layout.frames, tokenizer))

    def plain_columns(self, encoder: str) -> torch.Tensor:
        """Return which of an encoder's inputs are those of `plain_input`, in its order, int64."""
        projected = self._projectors(encoder)
        widths = {name: cast("HeightMapProjector", projector).shape.width for name, projector in projected.items()}

        def marks(term: str) -> torch.Tensor:
            if term in widths:
                return torch.zeros(1, widths[term])
            return torch.ones(self.layout.num_frames if has_frames(term) else 1, self.layout.frame_width(term))

        return interleaved(self.inputs[encoder], marks).nonzero().squeeze(1)

    def encode(self, tokenizer: torch.Tensor, encoder: str = "g1") -> torch.Tensor:
        """Return the latent (B, num_tokens, token_dim), not quantised, of tokenizer vectors (B, tokenizer_dim)."""
        return self._encode(self.plain_input(tokenizer, encoder), tokenizer, encoder)

    def latents(self, tokenizer: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the latent of every encoder; all encode every environment, so that shapes never depend on values."""
        return {encoder: self.encode(tokenizer, encoder) for encoder in self.encoders}

    def chosen(self, tokenizer: torch.Tensor, encoder: str) -> torch.Tensor:
        """Return (B,) bool, whether `encoder_index` marks an encoder."""
        return self.layout.frames(tokenizer, ENCODER_INDEX)[:, 0, ENCODERS.index(encoder)] > 0.5

    def choose(self, latents: Mapping[str, torch.Tensor], tokenizer: torch.Tensor) -> torch.Tensor:
        """Return the latent of the encoder that `encoder_index` marks in each environment (B, num_tokens, token_dim).

        Of several marked, the last of `ENCODERS` counts, and where none of those here is marked, the first. With one encoder the term
        is not read.
        """
        (_, latent), *others = latents.items()
        for encoder, other in others:
            latent = torch.where(self.chosen(tokenizer, encoder)[:, None, None], other, latent)
        return latent

    def quantize(self, latent: torch.Tensor) -> torch.Tensor:
        """Return the tokens of a latent, same shape; the gradient passes the rounding."""
        return self.quantizer(latent)

    def decode(self, tokens: torch.Tensor, proprioception: torch.Tensor) -> torch.Tensor:
        """Return actions (B, num_actions) for tokens (B, num_tokens, token_dim) and proprioception (B, proprioception_dim)."""
        return self.decoders[DYNAMICS](torch.cat([tokens.flatten(1), self._normalized(DYNAMICS, proprioception)], dim=-1))

    def reconstruct(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the reference that tokens (B, num_tokens, token_dim) stand for, as `reconstructed` gives it."""
        return self.decoders[KINEMATICS](tokens.flatten(1))

    def reconstructed(self, tokenizer: torch.Tensor) -> torch.Tensor:
        """Return what `reconstruct` should: the terms that g1 reads as they are, frame after frame, (B, frames * width)."""
        return self.plain_input(tokenizer, "g1")

    def encode_reconstruction(self, reference: torch.Tensor, tokenizer: torch.Tensor) -> torch.Tensor:
        """Return g1's latent (B, num_tokens, token_dim) of a reference laid out as `reconstructed`; a height map is the vector's."""
        return self._encode(reference, tokenizer, "g1")

    def forward(self, tokenizer: torch.Tensor, proprioception: torch.Tensor) -> torch.Tensor:
        """Return actions (B, num_actions) for tokenizer vectors and proprioception."""
        return self.decode(self.quantize(self.choose(self.latents(tokenizer), tokenizer)), proprioception)

    def _plain(self, encoder: str) -> tuple[str, ...]:
        return tuple(term for term in self.inputs[encoder] if term not in self._projectors(encoder))

    def _projectors(self, encoder: str) -> nn.ModuleDict:
        return cast("nn.ModuleDict", self.encoder_input_projectors[encoder])

    def _normalized(self, part: str, read: torch.Tensor) -> torch.Tensor:
        return self._normalizers[part](read) if part in self._normalizers else read

    def _encode(self, plain: torch.Tensor, tokenizer: torch.Tensor, encoder: str) -> torch.Tensor:
        """Return the latent of what an encoder reads as it is (`plain_input`); what it reads projected is the vector's."""
        read, projectors = self._normalized(encoder, plain), self._projectors(encoder)
        if len(projectors):
            terms = self._plain(encoder)
            widths = [self.layout.frame_width(term) for term in terms]
            parts = dict(zip(terms, read.unflatten(-1, (-1, sum(widths))).split(widths, dim=-1), strict=True))
            for term, projector in projectors.items():
                parts[term] = projector(tokenizer[..., self.layout.slices[term]]).unsqueeze(-2)
            read = interleaved(self.inputs[encoder], parts.__getitem__)
        return self.encoders[encoder](read).unflatten(-1, (self.num_tokens, self.token_dim))

    @classmethod
    def from_state_dict(
        cls,
        state: Mapping[str, torch.Tensor],
        *,
        layout: Mapping[str, int],
        inputs: Mapping[str, Sequence[str]] | None = None,
        activation: str = "silu",
        token_dim: int = TOKEN_DIM,
        fsq_levels: int = FSQ_LEVELS,
        num_frames: int = NUM_FRAMES,
    ) -> Self:
        """Build the module that a state dict is of: its parts and widths come from names and shapes.

        Args:
            state: parameters by name, without the prefix `actor_module.`; they are copied.
            layout: the tokenizer group's terms, in order, with their widths.
            inputs: the terms that each encoder reads; where not given, those of `layout.INPUTS` whose width fits.
            activation: between layers; neither this nor the rest can be told from names and shapes.
            token_dim: width of a token.
            fsq_levels: levels of each element of a token.
            num_frames: frames of the terms that are windows.

        Raises:
            CheckpointError: parts are missing or unknown, or a layer's width is not that of the terms it reads.
        """
        state = {name: tensor for name, tensor in state.items() if not name.startswith(_OF_TRAINING)}
        try:
            terms = TokenizerLayout(dict(layout), num_frames)
            widths = read_widths(state, layout)
            check_ends(widths, token_dim)
            chosen = {name: _terms_read(name, widths, terms, inputs) for name in widths.encoders}
            _check_reconstruction(widths, terms, chosen)
            # Without storage first: nothing is drawn from the random numbers of a run, and nothing is filled twice.
            with torch.device("meta"):
                module = cls(
                    layout=terms,
                    inputs=chosen,
                    widths=widths,
                    activation=activation,
                    token_dim=token_dim,
                    fsq_levels=fsq_levels,
                )
        except ConfigError as error:
            raise CheckpointError(str(error)) from error
        _check_names(state, module.state_dict())
        module.load_state_dict({name: tensor.detach().clone() for name, tensor in state.items()}, assign=True)
        return module


def _mlp(widths: Sequence[int], activation: str) -> MlpHead:
    return MlpHead(widths[0], widths[1:-1], widths[-1], activation, normalize=False)


def check_ends(widths: ModuleWidths, token_dim: int) -> None:
    """Demand the parts that make a policy, of latents that are whole tokens.

    Raises:
        CheckpointError: a part is missing or unknown, or latents do not fit one another.
    """
    known = (DYNAMICS, KINEMATICS)
    if not widths.encoders or DYNAMICS not in widths.decoders or not set(widths.decoders) <= set(known):
        raise CheckpointError(
            f"a universal-token module has encoders and the decoders {DYNAMICS} and, maybe, {KINEMATICS}; here are the encoders "
            f"{', '.join(widths.encoders) or 'none'} and the decoders {', '.join(widths.decoders) or 'none'}. Names are expected "
            "without the prefix `actor_module.`"
        )
    latents = {f"encoders.{name}": chain[-1] for name, chain in widths.encoders.items()}
    wide = next(iter(latents.values()))
    if set(latents.values()) != {wide} or wide % token_dim:
        told = ", ".join(f"{name} {width}" for name, width in latents.items())
        raise CheckpointError(
            f"latents must be equally wide and whole tokens of token_dim={token_dim}; their widths are {told}"
        )
    reads, tokens = widths.decoders[DYNAMICS][0], widths.decoders.get(KINEMATICS, (wide,))[0]
    if reads <= wide or tokens != wide:
        raise CheckpointError(
            f"latents are {wide} wide; {DYNAMICS} reads {reads}, which must be more, for proprioception follows the tokens, and "
            f"{KINEMATICS} reads {tokens}, which must be as many"
        )


def _terms_read(
    encoder: str, widths: ModuleWidths, layout: TokenizerLayout, inputs: Mapping[str, Sequence[str]] | None
) -> tuple[str, ...]:
    """Return the terms that an encoder of a state dict reads."""
    reads, projected = widths.encoders[encoder][0], widths.embeddings(encoder)
    lists = layout.lists_for(encoder, inputs)
    for terms in lists:
        if projected.keys() <= set(terms) and layout.input_width(terms, projected) == reads:
            return terms
    told = "; or ".join(layout.said(terms, projected) for terms in lists)
    raise CheckpointError(
        f"encoders.{encoder}.module.0.weight has shape {(widths.encoders[encoder][1], reads)}: the encoder reads {reads} numbers, and the "
        f"tokenizer group gives it {told}. Name the terms it was trained with: inputs.{encoder}=[...], of {', '.join(layout.widths)}"
    )


def _check_reconstruction(widths: ModuleWidths, layout: TokenizerLayout, inputs: Mapping[str, Sequence[str]]) -> None:
    if KINEMATICS not in widths.decoders:
        return
    if "g1" not in inputs:
        raise CheckpointError(
            f"the decoder {KINEMATICS} reconstructs what the encoder g1 reads, and there are {', '.join(inputs)}"
        )
    plain = [term for term in inputs["g1"] if term not in widths.embeddings("g1")]
    gives, wanted = widths.decoders[KINEMATICS][-1], layout.input_width(plain, {})
    if gives != wanted:
        raise CheckpointError(f"the decoder {KINEMATICS} gives {gives} numbers, and g1 reads {layout.said(plain, {})}")


def _check_names(state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> None:
    lacking, strange = [name for name in own if name not in state], [name for name in state if name not in own]
    if lacking or strange:
        raise CheckpointError(
            f"the names are not those of a universal-token module: missing {', '.join(lacking) or 'none'}; unknown "
            f"{', '.join(strange) or 'none'}"
        )
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if state[name].shape != tensor.shape
    ]
    if shapes:
        raise CheckpointError(f"shapes do not fit the weights of the same layer: {', '.join(shapes)}")
