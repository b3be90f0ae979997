"""Which motions of a library a process uses: filter, removal, rank shard, cap. The order of the steps is that of the GRAIL release."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from grail_framework.errors import ConfigError, DataError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grail_framework.config.scene import MotionCfg

_log = logging.getLogger(__name__)


def select_keys(keys: Iterable[str], cfg: MotionCfg, *, rank: int = 0, world_size: int = 1) -> list[str]:
    """Return the stems to load, in the order of the motions.

    Args:
        keys: stems of the library, in any order.
        cfg: the filters.
        rank: of this process, where the configuration names none.
        world_size: number of processes, where the configuration names none.

    Raises:
        ConfigError: a filter that matches nothing or is no regular expression, or a rank outside its world.
        DataError: nothing is left.
    """
    selected = sorted(set(keys))
    if cfg.filter_motion_keys is not None:
        selected = _filter(selected, cfg.filter_motion_keys)
    if cfg.remove_motion_keys:
        selected = _remove(selected, cfg.remove_motion_keys)
    if not selected:
        raise DataError("motion selection leaves no motion: check motion.filter_motion_keys and motion.remove_motion_keys")
    selected = _shard(selected, cfg, rank, world_size)
    limit = cfg.max_unique_motions
    if limit is not None and limit < len(selected):
        total = len(selected)
        selected = (interleave_by_object(selected) if cfg.interleave_by_object else selected)[:limit]
        _log.info("Limited to %d motions (from %d)", limit, total)
    return selected


def object_class(key: str) -> str:
    """Name the object class of a stem: what comes before `_jason_`, without its last part."""
    return key.split("_jason_")[0].rpartition("_")[0] or key


def interleave_by_object(keys: Sequence[str]) -> list[str]:
    """Order stems round-robin over their object classes, classes sorted, stems of a class in the given order."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(object_class(key), []).append(key)
    rows = [groups[name] for name in sorted(groups)]
    longest = max(map(len, rows), default=0)
    return [row[turn] for turn in range(longest) for row in rows if turn < len(row)]


def _filter(keys: list[str], wanted: Sequence[str]) -> list[str]:
    present = set(keys)
    if all(name in present for name in wanted):
        return list(dict.fromkeys(wanted))
    found: set[str] = set()
    for pattern in wanted:
        try:
            hits = [key for key in keys if re.fullmatch(pattern, key)]
        except re.error as error:
            raise ConfigError(f"motion.filter_motion_keys: {pattern!r} is no regular expression: {error}") from error
        if not hits:
            raise ConfigError(f"motion.filter_motion_keys: {pattern!r} matches no motion: {suggest(pattern, keys)}")
        found.update(hits)
    return sorted(found)


def _remove(keys: list[str], prefixes: Sequence[str]) -> list[str]:
    for prefix in prefixes:
        if not any(key.startswith(prefix) for key in keys):
            _log.warning("motion.remove_motion_keys: no motion starts with %r: %s", prefix, suggest(prefix, keys))
    return [key for key in keys if not key.startswith(tuple(prefixes))]


def _shard(keys: list[str], cfg: MotionCfg, rank: int, world_size: int) -> list[str]:
    world = cfg.shard_world_size if cfg.shard_world_size is not None else (world_size if cfg.shard_by_rank else 1)
    rank = cfg.shard_rank if cfg.shard_rank is not None else rank
    if world <= 1:
        return keys
    if not 0 <= rank < world:
        raise ConfigError(f"motion.shard_rank: got {rank}, allowed: 0 to {world - 1} (motion.shard_world_size is {world})")
    total = len(keys)
    start, stop = rank * total // world, (rank + 1) * total // world
    _log.info("[Motion Shard] Rank %d/%d: motions [%d:%d] = %d/%d", rank, world, start, stop, stop - start, total)
    if start == stop:
        raise DataError(
            f"rank {rank} of {world} gets none of the {total} motions; use at most {total} processes, or "
            "motion.shard_rank=0 motion.shard_world_size=1 to give every process all motions"
        )
    return sorted(keys)[start:stop]
