"""Motions whose object asset cannot be simulated: found before the engine is built, and left out like any other bad motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from grail_framework.assets.usd import examine_objects, read_object
from grail_framework.errors import AssetError
from grail_framework.motion.faults import BadClipReport, ClipFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from grail_framework.config import RunCfg
    from grail_framework.config.scene import MotionCfg
    from grail_framework.motion.library import MotionLibrary


def asset_problem(path: Path, max_pieces: int) -> str:
    """Return why an object asset cannot be simulated with at most `max_pieces` convex pieces; empty where it can."""
    try:
        read_object(path, max_pieces=max_pieces)
    except AssetError as error:
        return _reason(error, path)
    return ""


def asset_faults(cfg: RunCfg, followed: Sequence[tuple[str, Path | None]]) -> list[ClipFault]:
    """Open the assets of motions, given as (key, path), and return a fault for each that cannot be simulated."""
    if cfg.scene.object is None:
        return []
    # Where a motion has none, the scene says so, for all motions together.
    paths = list(dict.fromkeys(path for _, path in followed if path is not None))
    found = dict(zip(paths, examine_objects(paths, max_pieces=[cfg.scene.object.piece_limit] * len(paths)), strict=True))
    return [
        ClipFault(path=path, key=key, reason=_reason(problem, path))
        for key, path in followed
        if path is not None and isinstance(problem := found[path], AssetError)
    ]


def with_usable_assets(
    cfg: RunCfg,
    motions: MotionLibrary,
    load: Callable[[MotionCfg], MotionLibrary],
    check: Callable[[MotionLibrary], Sequence[ClipFault]],
) -> MotionLibrary:
    """Return the library without the motions whose asset cannot be used, or that plugins find fault with.

    Only the assets that an environment follows are opened.

    Args:
        cfg: says what the scene's object is, how many environments there are, and what becomes of bad motions.
        motions: as they were loaded.
        load: loads the library of another selection.
        check: what plugins find.

    Raises:
        DataError: a motion cannot be used and `on_bad_clip` is `stop`, or no motion is left; all of them are listed.
    """
    while True:
        followed = list(zip(motions.keys, motions.object_usd, strict=True))[: cfg.num_envs]
        faults = [*asset_faults(cfg, followed), *check(motions)]
        bad = BadClipReport(faults=tuple(faults), num_motions=motions.num_motions).apply(cfg.motion.on_bad_clip)
        if not bad:
            return motions
        motions = load(exactly(cfg.motion, tuple(key for key in motions.keys if key not in bad)))


def exactly(cfg: MotionCfg, keys: tuple[str, ...]) -> MotionCfg:
    """Select exactly these motions: they were filtered, sharded and capped before."""
    return attrs.evolve(
        cfg,
        filter_motion_keys=keys,
        remove_motion_keys=(),
        max_unique_motions=None,
        shard_by_rank=False,
        shard_rank=None,
        shard_world_size=None,
    )


def _reason(error: AssetError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")
