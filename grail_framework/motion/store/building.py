"""Building of packed stores: from the files, a few motions in memory at a time, or from motions that a run has just read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import attrs

from grail_framework.errors import DataError
from grail_framework.motion.compact import compact_clips
from grail_framework.motion.examine import FoundFault, read_motion, that_matter, usable_by_some
from grail_framework.motion.store.finding import cache_folder, key_of, shown
from grail_framework.motion.store.sources import list_sources
from grail_framework.motion.store.writing import StoreWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from grail_framework.config.scene import MotionCfg
    from grail_framework.motion.compact import CompactMotions
    from grail_framework.motion.faults import ClipFault
    from grail_framework.motion.readers.protocol import MotionReader
    from grail_framework.motion.store.sources import Listing
    from grail_framework.motion.validate import Needs
    from grail_framework.robots.spec import RobotSpec

_log = logging.getLogger(__name__)
_CHUNK: Final = 64
"""Motions in memory at once."""


@attrs.frozen(kw_only=True)
class PackReport:
    """What became of a library."""

    folder: Path
    motions: int
    """Motions in the store. [-]"""
    frames: int
    """Frames of them together, at the target rate. [-]"""
    faults: tuple[FoundFault, ...]

    def faults_for(self, needs: Needs) -> list[ClipFault]:
        """Return the faults that matter to a task."""
        return that_matter(self.faults, needs)


def pack_library(
    cfg: MotionCfg,
    robot: RobotSpec,
    reader: MotionReader,
    folder: Path,
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> PackReport:
    """Read all motions of a library and write them to a packed store. What cannot be used is left out and recorded.

    Args:
        cfg: where the files are and how they are read; its filters are not applied.
        robot: the robot the motions are of.
        reader: reads the files.
        folder: where the store goes; a store that stands there is replaced once the new one is whole.
        progress: called with the number of motions done and of all, and the stem of the last.

    Raises:
        DataError: no motion can be used, a file changed while it was read, or `folder` is something else than a store.
        OSError: the store cannot be written.
    """
    before = list_sources(cfg)
    source = reader.open(cfg)
    keys = sorted(set(source.keys))
    frames, motions, faults = 0, 0, list[FoundFault]()
    with StoreWriter(folder, key_of(cfg, robot, reader)) as writer:
        for start in range(0, len(keys), _CHUNK):
            read = [read_motion(source, key, robot) for key in keys[start : start + _CHUNK]]
            found = [fault for _, own in read for fault in own]
            clips = usable_by_some([clip for clip, _ in read if clip is not None], found)
            faults += found
            if clips:
                compact = compact_clips(clips, robot, target_fps=cfg.target_fps)
                writer.append(compact)
                motions += len(clips)
                frames += len(compact.rows.robot)
            if progress is not None:
                done = min(start + _CHUNK, len(keys))
                progress(done, len(keys), keys[done - 1])
        writer.finish(_unchanged(before, cfg), faults)
    return PackReport(folder=folder, motions=motions, frames=frames, faults=tuple(faults))


def write_cache(
    cfg: MotionCfg,
    robot: RobotSpec,
    reader: MotionReader,
    motions: CompactMotions,
    *,
    sources: Listing,
    faults: Sequence[FoundFault],
) -> None:
    """Keep what a run has read in the user's cache; where that fails, the run goes on with a warning.

    Args:
        cfg: where the files are and how they are read.
        robot: the robot the motions are of.
        reader: read the files.
        motions: all usable motions of the library.
        sources: the files as they were before they were read.
        faults: what was found wrong.
    """
    key = key_of(cfg, robot, reader)
    folder = cache_folder(cfg, key)
    try:
        with StoreWriter(folder, key) as writer:
            writer.append(motions)
            writer.finish(_unchanged(sources, cfg), faults)
    except (OSError, DataError) as error:
        _log.warning("the motions could not be kept packed in %s, so the next run reads the files again: %s", folder, error)
        return
    _log.info("the motions are kept packed in %s for the next run", folder)


def _unchanged(before: Listing, cfg: MotionCfg) -> Listing:
    """Hash the files, and make sure that what was read is what is there now.

    Raises:
        DataError: a file was changed meanwhile.
    """
    hashed = before.with_digests()
    changes = hashed.changes(list_sources(cfg))
    if changes:
        raise DataError(f"the library {before.base} was changed while it was read: {shown(changes)}; run it again")
    return hashed
