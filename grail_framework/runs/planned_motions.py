"""Motions of a terrain plan: those that this process follows, from up to two libraries, each with the asset that the plan gives it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from grail_framework.errors import AssetError, DataError
from grail_framework.logging.run_log import ON_CONSOLE
from grail_framework.motion.faults import BadClipReport
from grail_framework.motion.held import HeldMotions
from grail_framework.motion.library import MotionLibrary
from grail_framework.motion.loading import hold_motions
from grail_framework.motion.validate import Needs
from grail_framework.runs.usable_assets import asset_faults, exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grail_framework.config import RunCfg
    from grail_framework.motion.compact import Labeler
    from grail_framework.motion.faults import ClipFault
    from grail_framework.motion.readers.protocol import MotionReader
    from grail_framework.plugins.results import TerrainMotion, TerrainPlan
    from grail_framework.robots.spec import RobotSpec

_log = logging.getLogger(__name__)


def load_planned(
    cfg: RunCfg,
    plan: TerrainPlan,
    robot: RobotSpec,
    *,
    device: str,
    readers: Sequence[MotionReader],
    labeler: Labeler | None,
    check: Callable[[MotionLibrary], Sequence[ClipFault]],
) -> tuple[MotionLibrary, TerrainPlan]:
    """Load the motions that a plan's environments follow; return them with the plan that is left when bad ones are out of it.

    Args:
        cfg: how motions are read, and what becomes of bad ones.
        plan: what each environment follows.
        robot: the robot the motions must be of.
        device: where the library lives.
        readers: tried in order; the first that recognises the files reads them.
        labeler: see `MotionLibrary.build`.
        check: what plugins find fault with.

    Raises:
        DataError: a motion cannot be used and `on_bad_clip` is `stop`, or none is left; all faults are listed.
        AssetError: the asset under the flat motions cannot be used.
    """
    while True:
        held = _hold(cfg, plan, robot, readers=readers, labeler=labeler)
        lost = {motion.key for motion in plan.followed()}.difference(held.keys)
        plan = plan.without(lost) if lost else plan
        motions = MotionLibrary.pack(held, robot, device=device, fps=cfg.motion.target_fps, derive=cfg.motion.derive)
        faults = [*_asset_faults(cfg, plan), *check(motions)]
        bad = BadClipReport(faults=tuple(faults), num_motions=motions.num_motions).apply(cfg.motion.on_bad_clip)
        if not bad:
            _log.info(
                "[PerRankMotion] Loaded %d motion keys of the plan; forced motion_shard_world_size=1 (%d frames at %g fps)",
                *(motions.num_motions, motions.total_frames, motions.fps),
                extra=ON_CONSOLE,
            )
            return motions, plan
        plan = plan.without(bad)


def _hold(
    cfg: RunCfg, plan: TerrainPlan, robot: RobotSpec, *, readers: Sequence[MotionReader], labeler: Labeler | None
) -> HeldMotions:
    needs = Needs(
        object=cfg.scene.object is not None,
        table=cfg.scene.table is not None,
        hand_action=cfg.command.use_motion_hand_actions,
    )
    # Nothing but the robot's motion is read of the flat ones: what else their files say is about ground that is not flat.
    beside = dict.fromkeys(("data", "object_dir", "object_usd", "meta_dir", "bps_dir"))
    libraries = {
        False: (attrs.evolve(cfg.motion, data=plan.terrain_dir, robot_dir=None), needs),
        True: (attrs.evolve(cfg.motion, robot_dir=plan.flat_dir, **beside), attrs.evolve(needs, object=False)),
    }
    parts: list[HeldMotions] = []
    for flat, (motion, needed) in libraries.items():
        wanted = [each for each in plan.followed() if each.flat is flat]
        if not wanted:
            continue
        try:
            held = hold_motions(exactly(motion, _stems(wanted)), robot, needed, readers=readers, labeler=labeler)
        except DataError as error:
            if cfg.motion.on_bad_clip == "stop" or len(wanted) == len(plan.followed()):
                raise
            _log.warning("%s", error)  # all of one kind are bad; the other kind goes on
            continue
        parts.append(_as_planned(held.on_flat_ground() if flat else held, wanted))
    if not parts:
        raise DataError("no motion is left: neither of those with a terrain nor of the flat ones; see the warnings above")
    return HeldMotions.joined(parts)


def _stems(motions: Sequence[TerrainMotion]) -> tuple[str, ...]:
    return tuple(motion.stem for motion in motions)


def _as_planned(held: HeldMotions, motions: Sequence[TerrainMotion]) -> HeldMotions:
    held = held.renamed({motion.stem: motion.key for motion in motions})
    return held.with_assets({motion.key: Path(motion.usd) for motion in motions})


def _asset_faults(cfg: RunCfg, plan: TerrainPlan) -> list[ClipFault]:
    followed = plan.followed()
    faults = asset_faults(cfg, [(motion.key, Path(motion.usd)) for motion in followed])
    flat = {motion.key for motion in followed if motion.flat}
    for fault in faults:
        if fault.key in flat:
            raise AssetError(f"{fault.path}: {fault.reason} It stands under all flat motions: name another with flat_usd_path")
    return faults
