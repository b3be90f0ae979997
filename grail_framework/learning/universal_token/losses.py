"""Auxiliary losses of a universal-token network: tokens that say what the reference is, and encoders that agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Mapping, Sized

    import torch

    from grail_framework.learning.universal_token.module import UniversalTokenModule


def auxiliary_losses(
    module: UniversalTokenModule,
    tokenizer: torch.Tensor,
    latents: Mapping[str, torch.Tensor],
    tokens: torch.Tensor,
    *,
    recon_coef: float,
    latent_coef: float,
) -> dict[str, torch.Tensor]:
    """Return the losses, scalars times their coefficients, by the names of the SONIC release; those with coefficient 0 are left out.

    Args:
        module: whose latents and tokens these are.
        tokenizer: (B, tokenizer_dim).
        latents: of each encoder (B, num_tokens, token_dim), before quantisation.
        tokens: (B, num_tokens, token_dim), of the encoder chosen in each environment.
        recon_coef: of `g1_recon`.
        latent_coef: of each loss between latents.
    """
    align = aligns(latents, latent_coef)
    if not recon_coef and not align:
        return {}
    reference = module.reconstruct(tokens).float()
    losses: dict[str, torch.Tensor] = {}
    if recon_coef:
        losses["g1_recon"] = recon_coef * functional.mse_loss(reference, module.reconstructed(tokenizer))
    if align:
        pairs = latent_losses(module, tokenizer, latents, reference)
        losses |= {name: latent_coef * loss for name, loss in pairs.items()}
    return losses


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
