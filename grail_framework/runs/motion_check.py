"""What a task asks of the motions together: labels, shapes, numbers. Asked before an engine is built, and by `grail data check`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from grail_framework.config.hardware import plain_name
from grail_framework.envs.command import start_faults
from grail_framework.envs.gating import gate_faults
from grail_framework.errors import DataError
from grail_framework.motion.compact import compact_clips
from grail_framework.motion.faults import LibraryFault
from grail_framework.motion.held import HeldMotions
from grail_framework.motion.library import MotionLibrary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from grail_framework.config import RunCfg
    from grail_framework.motion.clip import MotionClip
    from grail_framework.motion.compact import Labeler
    from grail_framework.motion.faults import ClipFault
    from grail_framework.robots.spec import RobotSpec

_log = logging.getLogger(__name__)


def check_motions(cfg: RunCfg, motions: MotionLibrary) -> None:
    """Stop where the task cannot do without what the motions lack; warn of what it can, naming the motions.

    Raises:
        DataError: contact labels that a reward or the start frames wait for are missing.
    """
    faults = motion_faults(cfg, motions)
    for fault in faults:
        if fault.fatal:
            raise DataError(str(fault))
    for fault in faults:
        _log.warning("%s", fault)
    if motions.num_motions > cfg.num_envs:
        _log.warning(
            "%d motions but %d environments: environment k follows motion k, so the last %d motions are never trained; use "
            "--num-envs %d or more",
            motions.num_motions,
            cfg.num_envs,
            motions.num_motions - cfg.num_envs,
            motions.num_motions,
        )


def motion_faults(cfg: RunCfg, motions: MotionLibrary) -> list[LibraryFault]:
    """Return what the task asks of the motions and some of them lack, whatever the number of environments."""
    return [*gate_faults(cfg.rewards, motions), *start_faults(cfg.command, motions), *_shape_faults(cfg, motions)]


class MotionsOfTask:
    """Motions of a library that can be used, taken one by one in compact form, and asked together what a run asks of them."""

    def __init__(
        self,
        cfg: RunCfg,
        robot: RobotSpec,
        *,
        check: Callable[[MotionLibrary], Sequence[ClipFault]],
        labeler: Labeler | None = None,
    ) -> None:
        """Take no motion yet.

        Args:
            cfg: of a run of the task.
            robot: the robot the motions are of.
            check: what plugins find fault with.
            labeler: see `MotionLibrary.build`.
        """
        self._cfg, self._robot, self._check, self._labeler = cfg, robot, check, labeler
        self._parts: list[HeldMotions] = []
        self._files: dict[str, Path] = {}

    def take(self, clip: MotionClip) -> None:
        """Add a motion that has no fault of its own.

        Raises:
            DataError: the labeler's arrays have wrong shapes.
        """
        fps = self._cfg.motion.target_fps
        self._parts.append(HeldMotions.of(compact_clips([clip], self._robot, target_fps=fps, labeler=self._labeler)))
        track = clip.object  # labels are about the object, and stand in its file where it has one
        self._files[clip.key] = clip.path if track is None or track.path is None else track.path

    def faults(self) -> list[ClipFault]:
        """Return what plugins find, and what the task asks for and a motion lacks."""
        if not self._parts:
            return []
        held, fps = HeldMotions.joined(self._parts), self._cfg.motion.target_fps
        motions = MotionLibrary.pack(held, self._robot, device="cpu", fps=fps, derive="on_demand")
        lacking = [fault for each in motion_faults(self._cfg, motions) for fault in each.by_motion(self._files)]
        return [*self._check(motions), *lacking]


def _shape_faults(cfg: RunCfg, motions: MotionLibrary) -> list[LibraryFault]:
    terms = [term for group in cfg.observations.values() for term in group.terms.values()]
    shapeless = motions.missing(motions.has_bps | ~motions.has_object)
    if not shapeless or not any(plain_name(term.func) == "object_bps" for term in terms):
        return []
    return [
        LibraryFault(
            keys=shapeless,
            problem=(
                f"[BPS] {len(shapeless)} of {motions.num_motions} motions have no basis point set; their BPS obs will be "
                f"{motions.bps.shape[1]} zeros, and the policy cannot tell their objects apart"
            ),
            remedy="Compute the sets with `grail data bps DIR`, or name their folder with --bps DIR",
            fatal=False,
        )
    ]
