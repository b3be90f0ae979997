"""Motions whose object asset cannot be simulated: found before the engine is built, and left out like any other bad motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from grail_framework.assets.usd import examine_objects, read_object
from grail_framework.errors import AssetError
from grail_framework.motion.faults import BadClipReport, ClipFault

if TYPE_CHECKING:
    from collections.abc import Callable
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


def with_usable_assets(cfg: RunCfg, motions: MotionLibrary, load: Callable[[MotionCfg], MotionLibrary]) -> MotionLibrary:
    """Return the library without the motions whose asset cannot be used; only those that an environment follows are opened.

    Args:
        cfg: says what the scene's object is, how many environments there are, and what becomes of bad motions.
        motions: as they were loaded.
        load: loads the library of another selection.

    Raises:
        DataError: an asset cannot be used and `on_bad_clip` is `stop`, or no motion is left; all of them are listed.
    """
    if cfg.scene.object is None:
        return motions
    while True:
        followed = list(zip(motions.keys, motions.object_usd, strict=True))[: cfg.num_envs]
        # Where a motion has none, the scene says so, for all motions together.
        paths = list(dict.fromkeys(path for _, path in followed if path is not None))
        found = dict(zip(paths, examine_objects(paths, max_pieces=[cfg.scene.object.piece_limit] * len(paths)), strict=True))
        faults = [
            ClipFault(path=path, key=key, reason=_reason(problem, path))
            for key, path in followed
            if path is not None and isinstance(problem := found[path], AssetError)
        ]
        if not faults:
            return motions
        bad = BadClipReport(faults=tuple(faults), num_motions=motions.num_motions).apply(cfg.motion.on_bad_clip)
        motions = load(_only(cfg.motion, tuple(key for key in motions.keys if key not in bad)))


def _reason(error: AssetError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")


def _only(cfg: MotionCfg, keys: tuple[str, ...]) -> MotionCfg:
    """Select exactly these motions: they were filtered, sharded and capped before."""
    return attrs.evolve(
        cfg, filter_motion_keys=keys, remove_motion_keys=(), max_unique_motions=None, shard_rank=0, shard_world_size=1
    )
