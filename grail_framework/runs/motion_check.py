"""What a task asks of the motions together once they are loaded: labels, shapes, numbers. Checked before an engine is built."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from grail_framework.config.hardware import plain_name
from grail_framework.envs.command import check_start_frames
from grail_framework.envs.gating import check_gates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_framework.config import RunCfg
    from grail_framework.motion.library import MotionLibrary

_log = logging.getLogger(__name__)
_SHOWN: Final = 20


def check_motions(cfg: RunCfg, motions: MotionLibrary) -> None:
    """Stop where the task cannot do without what the motions lack; warn of what it can, naming the motions.

    Raises:
        DataError: contact labels that a reward or the start frames wait for are missing.
    """
    check_gates(cfg.rewards, motions)
    _check_starts(cfg, motions)
    _check_shapes(cfg, motions)
    if motions.num_motions > cfg.num_envs:
        _log.warning(
            "%d motions but %d environments: environment k follows motion k, so the last %d motions are never trained; use "
            "--num-envs %d or more",
            motions.num_motions,
            cfg.num_envs,
            motions.num_motions - cfg.num_envs,
            motions.num_motions,
        )


def _check_starts(cfg: RunCfg, motions: MotionLibrary) -> None:
    check_start_frames(cfg.command, motions)
    unlabelled = motions.missing(motions.has_contact_labels) if cfg.command.sample_before_contact else ()
    if unlabelled:
        _log.warning(
            "sample_before_contact=True and %d of %d motions are missing contact data in their object motions pkl, so their episodes "
            "start anywhere: %s. Write contact_points_left_hand and contact_points_right_hand with `grail data process`, or leave "
            "these motions out with motion.remove_motion_keys",
            len(unlabelled),
            motions.num_motions,
            _listed(unlabelled),
        )


def _check_shapes(cfg: RunCfg, motions: MotionLibrary) -> None:
    terms = [term for group in cfg.observations.values() for term in group.terms.values()]
    if not any(plain_name(term.func) == "object_bps" for term in terms):
        return
    shapeless = motions.missing(motions.has_bps | ~motions.has_object)
    if shapeless:
        _log.warning(
            "[BPS] %d of %d motions have no basis point set; their BPS obs will be %d zeros, and the policy cannot tell their objects "
            "apart: %s. Compute the sets with `grail data bps DIR`, or name their folder with --bps DIR",
            len(shapeless),
            motions.num_motions,
            motions.bps.shape[1],
            _listed(shapeless),
        )


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")
