"""Contact gating of rewards: a reward counts where, and as long as, the reference hand is in contact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.errors import DataError
from grail_framework.motion.clip import HANDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.config import ContactGate, RewardTermCfg
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.motion.library import MotionLibrary


def check_gates(rewards: Mapping[str, RewardTermCfg], motions: MotionLibrary) -> None:
    """Stop before the engine starts if a gate demands labels that a clip lacks.

    Raises:
        DataError: naming the reward and the clips.
    """
    missing = [key for key, has in zip(motions.keys, motions.has_contact_labels.tolist(), strict=True) if not has]
    for name, term in rewards.items():
        if term.gate is None or term.gate.missing != "error" or not missing:
            continue
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        func = term.func.rpartition(":")[2]
        raise DataError(
            f"reward_{func}: gate_with_contact_label=True but no contact label found. Expected object motion data to include "
            f"object_in_contact_left/right (derived from contact_points_left_hand/right_hand). Reward: rewards.{name}; "
            f"clips without labels: {shown}. Prepare the library with contact points (the release's process step with "
            f"--include_contact_points), leave these clips out, or drop the gate with rewards.{name}.gate=null."
        )


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
