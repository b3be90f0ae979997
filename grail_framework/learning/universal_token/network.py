"""The actor-critic whose actor is a universal-token module, registered as network `universal_token`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import torch
from torch import nn

from grail_framework.errors import ConfigError, suggest
from grail_framework.learning.networks import MlpCritic, MlpHead
from grail_framework.learning.universal_token.fsq import level_use
from grail_framework.learning.universal_token.imitation import Imitation
from grail_framework.learning.universal_token.input_normalizers import InputNormalizer
from grail_framework.learning.universal_token.layout import ENCODER_INDEX, ENCODERS, HEIGHT_MAP, NUM_FRAMES, TokenizerLayout
from grail_framework.learning.universal_token.losses import aligns, auxiliary_losses
from grail_framework.learning.universal_token.module import (
    DYNAMICS,
    FSQ_LEVELS,
    KINEMATICS,
    NUM_TOKENS,
    TOKEN_DIM,
    UniversalTokenModule,
)
from grail_framework.learning.universal_token.projector import ProjectorShape
from grail_framework.learning.universal_token.widths import ModuleWidths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from grail_framework.learning.networks import ActorCritic
    from grail_framework.learning.universal_token.imitation import JointTargets

_TOKENS_SEEN: Final = 4096
"""Observations that the use of the quantiser is told from, at most: enough for 32 levels."""


class UniversalTokenActorCritic(MlpCritic):
    """The actor reads the observation groups `tokenizer` and `policy` (proprioception), the critic the group `critic`."""

    reads = ("policy", "tokenizer", "critic")

    def __init__(
        self,
        actor: UniversalTokenModule,
        critic: MlpHead,
        *,
        normalize_actor: bool,
        imitation: Imitation | None,
        recon_coef: float,
        latent_coef: float,
        range_coef: float,
        **noise_std: float,
    ) -> None:
        super().__init__(actor.num_actions, **noise_std)
        self.actor_module = actor
        # Beside the actor's module, whose names are the release's; `input_normalizers` makes them part of its layers.
        self.tokenizer_normalizer = nn.ModuleDict()
        self.proprioception_normalizer = None
        if normalize_actor:
            tokens = actor.num_tokens * actor.token_dim
            self.proprioception_normalizer = InputNormalizer(torch.arange(tokens, tokens + actor.proprioception_dim))
            self.tokenizer_normalizer.update({name: InputNormalizer(actor.plain_columns(name)) for name in actor.encoders})
            actor.read_through({**dict(self.tokenizer_normalizer.items()), DYNAMICS: self.proprioception_normalizer})
        self.critic_module = critic
        self.imitation = imitation
        self.recon_coef = recon_coef
        self.latent_coef = latent_coef
        self.range_coef = range_coef
        # A data-parallel wrapper waits for a gradient of every parameter that is trained.
        cycle = aligns(actor.encoders, latent_coef) and {"g1", "smpl"} <= set(actor.encoders)
        if KINEMATICS in actor.decoders:
            actor.decoders[KINEMATICS].requires_grad_(recon_coef > 0.0 or cycle)

    def action_mean(self, observations: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the deterministic action (B, A)."""
        return self.actor_module(observations["tokenizer"], observations["policy"])

    def action_mean_and_losses(self, observations: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the deterministic action (B, A) and the losses of the latents and tokens on the way to it."""
        module, tokenizer = self.actor_module, observations["tokenizer"]
        latents = module.latents(tokenizer)
        tokens = module.quantize(module.choose(latents, tokenizer))
        coefs = {"recon_coef": self.recon_coef, "latent_coef": self.latent_coef, "range_coef": self.range_coef}
        losses = auxiliary_losses(module, tokenizer, latents, tokens, **coefs)
        return module.decode(tokens, observations["policy"]), losses

    def update_normalization(
        self,
        observations: Mapping[str, torch.Tensor],
        reduce_sum: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        """Merge a rollout's observations (T, N, width) into the normalisers that are on."""
        for encoder, normalizer in self.tokenizer_normalizer.items():
            read = self.actor_module.plain_input(observations["tokenizer"], encoder)
            cast("InputNormalizer", normalizer).update(read, reduce_sum)
        if self.proprioception_normalizer is not None:
            self.proprioception_normalizer.update(observations["policy"], reduce_sum)
        super().update_normalization(observations, reduce_sum)

    def after_update(
        self,
        observations: Mapping[str, torch.Tensor],
        reduce_sum: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Imitate the reference while that lasts, and return its loss and `policy/quantiser_use`."""
        loss = None if self.imitation is None else self.imitation.learn(self.actor_module, observations, reduce_sum)
        return self._quantiser_use(observations) | ({} if loss is None else {"loss/imitation": loss})

    @torch.no_grad()
    def _quantiser_use(self, observations: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return `fsq.level_use` of the tokens of some thousand of a rollout's observations."""
        module = self.actor_module
        tokenizer = observations["tokenizer"].flatten(0, 1)
        tokenizer = tokenizer[:: -(-len(tokenizer) // _TOKENS_SEEN)]
        tokens = module.quantize(module.choose(module.latents(tokenizer), tokenizer))
        return {"policy/quantiser_use": level_use(tokens, module.quantizer.levels)}


def universal_token(
    actor_obs_dim: int,
    critic_obs_dim: int,
    num_actions: int,
    *,
    observation_layout: Mapping[str, Mapping[str, int]],
    joint_targets: JointTargets | None = None,
    encoders: Sequence[str] = ("g1",),
    inputs: Mapping[str, Sequence[str]] | None = None,
    num_tokens: int = NUM_TOKENS,
    token_dim: int = TOKEN_DIM,
    fsq_levels: int = FSQ_LEVELS,
    num_frames: int = NUM_FRAMES,
    encoder_hidden_dims: Sequence[int] = (2048, 1024, 512, 512),
    dyn_hidden_dims: Sequence[int] = (2048, 2048, 1024, 1024, 512, 512),
    kin_hidden_dims: Sequence[int] = (2048, 1024, 512, 512),
    critic_hidden_dims: Sequence[int] = (2048, 2048, 1024, 1024, 512, 512),
    activation: str = "silu",
    normalize_actor: bool = False,
    normalize_critic: bool = True,
    recon_coef: float = 0.01,
    latent_coef: float = 1.0,
    range_coef: float = 0.0,
    imitated_rollouts: int = 0,
    init_noise_std: float = 0.05,
    min_noise_std: float = 0.001,
    max_noise_std: float = 0.5,
) -> ActorCritic:
    """Build the actor-critic registered as network `universal_token`; the defaults are those of the GRAIL release.

    `policy` is the proprioception that the decoder to actions reads behind the tokens; the encoders read the group `tokenizer`, whose
    terms and widths `observation_layout` gives. `inputs` names the terms that an encoder reads (None: those of `layout.INPUTS`), of
    which windows have `num_frames` frames. A latent is `num_tokens` tokens of `token_dim` numbers of `fsq_levels` levels.
    With `normalize_actor` encoders and decoder read normalised observations (`input_normalizers`); tokens and height maps stay as they are.
    After each of the first `imitated_rollouts` the actor learns to send the joints where the reference has them (`imitation`), for which
    `joint_targets` says what actions are to joints (None: something else than their targets about a pose).
    `recon_coef` weighs the loss of the reconstructed reference, `latent_coef` those between the latents of several encoders,
    `range_coef` that of latents at the ends of the quantiser's range, which the release does without.

    Raises:
        ConfigError: a group or term is missing, an encoder or activation is unknown, or a number is out of range.
    """
    if "tokenizer" not in observation_layout:
        raise ConfigError(
            "the network core:universal_token reads the observation groups tokenizer, policy and critic; the task has "
            f"{', '.join(observation_layout)}. Add the group, or use another network"
        )
    layout = TokenizerLayout(dict(observation_layout["tokenizer"]), num_frames)
    _check(layout, encoders, inputs or {}, min(num_tokens, token_dim))
    read = {encoder: layout.lists_for(encoder, inputs)[0] for encoder in ENCODERS if encoder in encoders}
    hidden = {"encoder": encoder_hidden_dims, DYNAMICS: dyn_hidden_dims, KINEMATICS: kin_hidden_dims}
    widths = _widths(layout, read, hidden, latent=num_tokens * token_dim, reads=actor_obs_dim, acts=num_actions)
    actor = UniversalTokenModule(
        layout=layout, inputs=read, widths=widths, activation=activation, token_dim=token_dim, fsq_levels=fsq_levels
    )
    return UniversalTokenActorCritic(
        actor,
        MlpHead(critic_obs_dim, critic_hidden_dims, 1, activation, normalize=normalize_critic),
        normalize_actor=normalize_actor,
        imitation=_imitation(joint_targets, layout, imitated_rollouts, range_coef),
        recon_coef=recon_coef,
        latent_coef=latent_coef,
        range_coef=range_coef,
        init_noise_std=init_noise_std,
        min_noise_std=min_noise_std,
        max_noise_std=max_noise_std,
    )


def _imitation(targets: JointTargets | None, layout: TokenizerLayout, rollouts: int, range_coef: float) -> Imitation | None:
    if not rollouts:
        return None
    if targets is None:
        raise ConfigError(
            f"network.params.imitated_rollouts={rollouts}: the task's action does not say which action has the reference's joint "
            "positions as its targets; use the action core:joint_position, or set imitated_rollouts=0"
        )
    return Imitation(targets, layout, rollouts=rollouts, range_coef=range_coef)


def _check(layout: TokenizerLayout, encoders: Sequence[str], inputs: Mapping[str, Sequence[str]], least: int) -> None:
    if isinstance(encoders, str) or "g1" not in encoders:
        raise ConfigError(
            f"network.params.encoders={encoders}: a list with g1, which the reconstruction belongs to, as in encoders=[g1] or "
            f"encoders=[{','.join(ENCODERS)}]"
        )
    for encoder in (*encoders, *inputs):
        if encoder not in ENCODERS:
            raise ConfigError(f"network.params.encoders and inputs: got {encoder!r}; {suggest(encoder, ENCODERS)}")
    if least < 1:
        raise ConfigError("num_tokens and token_dim must be at least 1; the GRAIL release has num_tokens=2 and token_dim=32")
    if len(set(encoders)) > 1 and layout.widths.get(ENCODER_INDEX) != len(ENCODERS):
        raise ConfigError(
            f"several encoders need the term {ENCODER_INDEX!r} of the group `tokenizer`, {len(ENCODERS)} wide ({', '.join(ENCODERS)}), "
            f"to choose between them; the group has {', '.join(layout.widths)}"
        )


def _widths(
    layout: TokenizerLayout,
    read: Mapping[str, Sequence[str]],
    hidden: Mapping[str, Sequence[int]],
    *,
    latent: int,
    reads: int,
    acts: int,
) -> ModuleWidths:
    """Return the widths of all layers of a new module, whose decoder to actions reads and gives so many numbers beside the tokens."""
    projectors = {
        encoder: {HEIGHT_MAP: ProjectorShape.for_map(layout.widths[HEIGHT_MAP])}
        for encoder, terms in read.items()
        if HEIGHT_MAP in terms
    }
    embeddings = {encoder: {term: shape.width for term, shape in shapes.items()} for encoder, shapes in projectors.items()}
    plain = [term for term in read["g1"] if term not in embeddings.get("g1", {})]
    return ModuleWidths(
        encoders={
            encoder: (layout.input_width(terms, embeddings.get(encoder, {})), *hidden["encoder"], latent)
            for encoder, terms in read.items()
        },
        decoders={
            DYNAMICS: (latent + reads, *hidden[DYNAMICS], acts),
            KINEMATICS: (latent, *hidden[KINEMATICS], layout.input_width(plain, {})),
        },
        projectors=projectors,
    )
