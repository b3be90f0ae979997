"""Base policies for tests of tasks that act through one: small, random, and described as a run of `motion_base` would."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch

from grail_framework.learning.bundles import write_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grail_framework.config import RunCfg
    from grail_framework.plugins.manager import GrailPluginManager

TOKENIZER_READ: Final = 640
"""What the encoder reads of the release's group `tokenizer`: 10 frames of 58 joint numbers and a 6D orientation."""
PROPRIOCEPTION: Final = 930
LATENT: Final = 64
JOINTS: Final = 29


def base_state(
    *,
    reads: int = TOKENIZER_READ,
    proprioception: int = PROPRIOCEPTION,
    latent: int = LATENT,
    joints: int = JOINTS,
    hidden: int = 16,
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """Return random parameters of an encoder `g1` and a decoder `g1_dyn` with one hidden layer each, by the release's names.

    Args:
        reads: width of what the encoder reads.
        proprioception: width of what the decoder reads beside the tokens.
        latent: width of all tokens together.
        joints: number of actions.
        hidden: width of the hidden layers.
        seed: of the random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = {"encoders.g1": (reads, hidden, latent), "decoders.g1_dyn": (latent + proprioception, hidden, joints)}
    state = {"std": torch.full((joints,), 0.05)}
    for part, widths in parts.items():
        for layer, (before, after) in enumerate(pairwise(widths)):
            name = f"actor_module.{part}.module.{2 * layer}"
            state[f"{name}.weight"] = torch.randn(after, before, generator=generator) / before**0.5
            state[f"{name}.bias"] = 0.1 * torch.randn(after, generator=generator)
    return state


def write_base(folder: Path, *, model_config: Mapping[str, Any] | None = None, **widths: int) -> Path:
    """Write a base policy as a bundle; `widths` are the arguments of `base_state`.

    Returns:
        The folder, for `action.params.base_checkpoint`.
    """
    write_bundle(folder, policy=base_state(**widths), value=None, model_config=model_config)
    return folder


def with_base(cfg: RunCfg, base: Path) -> RunCfg:
    """Return a configuration that acts through a base policy with this one; any other stays as it is."""
    if cfg.action.func.rpartition(":")[2] != "latent_residual":
        return cfg
    return attrs.evolve(cfg, action=attrs.evolve(cfg.action, params={**cfg.action.params, "base_checkpoint": str(base)}))


def without_base(cfg: RunCfg, manager: GrailPluginManager) -> RunCfg:
    """Return a configuration that acts by joint residuals where it would act through a base policy, wherever it is run."""
    if cfg.action.func.rpartition(":")[2] != "latent_residual":
        return cfg
    chosen = attrs.evolve(cfg, action=attrs.evolve(cfg.action, func="core:joint_residual"))
    return manager.settle_run(chosen).cfg
