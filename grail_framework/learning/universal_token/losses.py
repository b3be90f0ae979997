"""Auxiliary losses of a universal-token network: tokens that say what the reference is, and encoders that agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping, Sized

    from grail_framework.learning.universal_token.module import UniversalTokenModule


LATENT_RANGE: Final = 1.0
"""A latent beyond it is close to the quantiser's outermost level: tanh(1) = 0.76, and the gradient of tanh is 0.42 and falls. [-]"""


def auxiliary_losses(
    module: UniversalTokenModule,
    tokenizer: torch.Tensor,
    latents: Mapping[str, torch.Tensor],
    tokens: torch.Tensor,
    *,
    recon_coef: float,
    latent_coef: float,
    range_coef: float,
) -> dict[str, torch.Tensor]:
    """Return the losses, scalars times their coefficients, by the names of the SONIC release; those with coefficient 0 are left out.

    `latent_range` is ours.

    Args:
        module: whose latents and tokens these are.
        tokenizer: (B, tokenizer_dim).
        latents: of each encoder (B, num_tokens, token_dim), before quantisation.
        tokens: (B, num_tokens, token_dim), of the encoder chosen in each environment.
        recon_coef: of `g1_recon`.
        latent_coef: of each loss between latents.
        range_coef: of `latent_range`.
    """
    losses = {"latent_range": range_coef * latent_range(latents)} if range_coef else {}
    align = aligns(latents, latent_coef)
    if not recon_coef and not align:
        return losses
    reference = module.reconstruct(tokens).float()
    if recon_coef:
        losses["g1_recon"] = recon_coef * functional.mse_loss(reference, module.reconstructed(tokenizer))
    if align:
        pairs = latent_losses(module, tokenizer, latents, reference)
        losses |= {name: latent_coef * loss for name, loss in pairs.items()}
    return losses


def latent_range(latents: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean square of how far the elements of all latents are beyond +-1, a scalar.

    Nothing else keeps them from the flat ends of the quantiser's tanh. There the encoder gets no gradient, and a residual that is added to
    the latent changes no token.
    """
    beyond = torch.stack([functional.relu(latent.float().abs() - LATENT_RANGE).square().mean() for latent in latents.values()])
    return beyond.mean()


def aligns(encoders: Sized, latent_coef: float) -> bool:
    """Whether latents are compared: there are several, and their losses count."""
    return len(encoders) > 1 and latent_coef > 0.0


def latent_losses(
    module: UniversalTokenModule, tokenizer: torch.Tensor, latents: Mapping[str, torch.Tensor], reference: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Return how far the encoders' latents of the same motion are apart, by the names of the SONIC release.

    A pair is compared in the environments that chose its less direct encoder, where that one's terms are of the same motion; the
    release compares the part of them that it marks with both. `reencoded_smpl_g1_latent` is the cycle: a person's motion to tokens, to
    the robot's reference (`reference`, as `module.reconstruct` gives it), and through g1 to a latent again.
    """
    losses: dict[str, torch.Tensor] = {}
    for target, encoder in (("g1", "teleop"), ("g1", "smpl"), ("teleop", "smpl")):
        if target in latents and encoder in latents:
            rows = module.chosen(tokenizer, encoder)
            losses[f"{target}_{encoder}_latent"] = _distance(latents[target], latents[encoder], rows)
    if "g1" in latents and "smpl" in latents:
        again = module.encode_reconstruction(reference, tokenizer)
        losses["reencoded_smpl_g1_latent"] = _distance(again, latents["g1"], module.chosen(tokenizer, "smpl"))
    return losses


def _distance(first: torch.Tensor, second: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference in the rows marked (B,), 0 where there are none; shapes do not depend on how many."""
    squared = (first.float() - second.float()).square().flatten(1).mean(-1)
    return (squared * rows).sum() / rows.sum().clamp_min(1)
