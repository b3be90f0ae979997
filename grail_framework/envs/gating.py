"""Contact gating of rewards: a reward counts where, and as long as, the reference hand is in contact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.motion.clip import HANDS
from grail_framework.motion.faults import LibraryFault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.config import ContactGate, RewardTermCfg
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.motion.library import MotionLibrary


def gate_faults(rewards: Mapping[str, RewardTermCfg], motions: MotionLibrary) -> list[LibraryFault]:
    """Return a fault for each reward whose gate demands labels that a clip lacks; asked before the engine starts."""
    missing = motions.missing(motions.has_contact_labels)
    return [
        LibraryFault(
            keys=missing,
            problem=(
                f"reward_{term.func.rpartition(':')[2]}: gate_with_contact_label=True but no contact label found. Expected object motion "
                f"data to include object_in_contact_left/right (derived from contact_points_left_hand/right_hand). Reward: rewards.{name}"
            ),
            listing="; clips without labels: ",
            remedy=(
                "Prepare the library with contact points (the release's process step with --include_contact_points), leave these clips "
                f"out, or drop the gate with rewards.{name}.gate=null."
            ),
        )
        for name, term in rewards.items()
        if missing and term.gate is not None and term.gate.missing == "error"
    ]


def gate(env: TrackingEnv, cfg: ContactGate, reward: torch.Tensor) -> torch.Tensor:
    """Apply a gate to a reward (N,): `reward * label`, plus `f * reward * (1 - label)` with an anti-contact factor f."""
    label = env.reference.contact_label[:, HANDS.index(cfg.hand)]
    if cfg.missing != "error":
        stand_in = 1.0 if cfg.missing == "ones" else 0.0
        label = torch.where(env.has_contact_labels, label, stand_in)
    gated = reward * label
    if cfg.anti_contact_factor is not None:
        gated = gated + cfg.anti_contact_factor * reward * (1.0 - label)
    return gated
