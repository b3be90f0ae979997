"""From a motion configuration to a motion library: from its packed store, or find the reader, select, read, check, build."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from grail_framework.errors import DataError
from grail_framework.motion.compact import compact_clips
from grail_framework.motion.examine import read_motion, that_matter, usable_by_some
from grail_framework.motion.faults import BadClipReport
from grail_framework.motion.held import HeldMotions
from grail_framework.motion.library import MotionLibrary
from grail_framework.motion.selection import select_keys
from grail_framework.motion.store.building import write_cache
from grail_framework.motion.store.finding import find_reader, find_store, named_store, open_named_store, try_listing
from grail_framework.motion.store.format import StoreError
from grail_framework.motion.validate import Needs, check_library

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from grail_framework.config.scene import MotionCfg
    from grail_framework.motion.clip import MotionClip
    from grail_framework.motion.compact import Labeler
    from grail_framework.motion.examine import FoundFault
    from grail_framework.motion.faults import ClipFault
    from grail_framework.motion.packing import MotionSource
    from grail_framework.motion.readers.protocol import ClipSource, MotionReader
    from grail_framework.motion.store.reading import PackedStore
    from grail_framework.robots.spec import RobotSpec

_log = logging.getLogger(__name__)
_WORTH_CACHING: Final = 2.0
"""A library whose files took longer to read is kept packed in the user's cache. [s]"""


def load_library(
    cfg: MotionCfg,
    robot: RobotSpec,
    *,
    device: torch.device | str,
    need_object: bool,
    need_table: bool,
    need_hand_action: bool = False,
    readers: Sequence[MotionReader],
    labeler: Labeler | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> MotionLibrary:
    """Select and check the motions of a configuration and build the library on the device.

    Motions come from the library's packed store (`grail data pack`), else from the one an earlier run left in the user's cache,
    where it is as new as the files; else from the files. A labeler is given clips as they are in the files, which a store does not
    keep: with one, the files are read.

    Args:
        cfg: where the motions are and which of them are used.
        robot: the robot the motions must be of.
        device: where the library lives.
        need_object: every motion must have an object motion and an asset.
        need_table: every motion must have a table in its meta file.
        need_hand_action: every motion must say when the hands open and close.
        readers: tried in order; the first that recognises the files reads them.
        labeler: see `MotionLibrary.build`.
        rank: of this process.
        world_size: number of processes.

    Raises:
        DataError: no reader recognises the files, a motion cannot be used (with `on_bad_clip` `stop`), or none is left.
        StoreError: the folder given is a packed store that is damaged, stale, or for another robot.
        ConfigError: the selection names motions that are not there.
    """
    began = time.perf_counter()
    needs = Needs(object=need_object, table=need_table, hand_action=need_hand_action)

    def pack(source: MotionSource) -> MotionLibrary:
        return MotionLibrary.pack(source, robot, device=device, fps=cfg.target_fps, derive=cfg.derive)

    load = _Loading(cfg, robot, needs, rank, world_size, pack)
    library = load.from_store(readers, labeler) or load.from_files(find_reader(cfg, readers), labeler)
    _log.info(
        "loaded %d motions, %d frames at %g fps, in %.1f s",
        *(library.num_motions, library.total_frames, library.fps, time.perf_counter() - began),
    )
    return library


def hold_motions(
    cfg: MotionCfg, robot: RobotSpec, needs: Needs, *, readers: Sequence[MotionReader], labeler: Labeler | None = None
) -> HeldMotions:
    """Select and check the motions of a configuration as `load_library` does, and keep them in host memory.

    Raises:
        DataError, StoreError, ConfigError: as `load_library`.
    """
    load = _Loading(cfg, robot, needs, 0, 1, HeldMotions.of)
    return load.from_store(readers, labeler) or load.from_files(find_reader(cfg, readers), labeler)


def open_source(cfg: MotionCfg, readers: Sequence[MotionReader]) -> ClipSource:
    """Open the motion library with the first reader that recognises it.

    Raises:
        DataError: the folder does not exist, or no reader recognises it.
    """
    return find_reader(cfg, readers).open(cfg)


def read_clips(
    source: ClipSource, keys: Sequence[str], robot: RobotSpec, needs: Needs, *, on_bad_clip: str
) -> list[MotionClip]:
    """Read and check motions, in the order of `keys`; what is wrong stops the run or is left out, and is reported either way.

    Raises:
        DataError: a motion cannot be used and `on_bad_clip` is `stop`, or none is left; all faults are listed.
    """
    clips, found = _read(source, keys, robot)
    bad = _report(keys, that_matter(found, needs), on_bad_clip)
    good = [clip for clip in clips if clip.key not in bad]
    _report_oddities(good)
    return good


class _Loading[T]:
    """What loading from a store and loading from files have in common; `take` makes something of the motions."""

    def __init__(
        self,
        cfg: MotionCfg,
        robot: RobotSpec,
        needs: Needs,
        rank: int,
        world_size: int,
        take: Callable[[MotionSource], T],
    ) -> None:
        self._cfg, self._robot, self._needs, self._take = cfg, robot, needs, take
        self._rank, self._world_size = rank, world_size

    def from_store(self, readers: Sequence[MotionReader], labeler: Labeler | None) -> T | None:
        """Load from a packed store; None: there is none that can be used.

        Raises:
            DataError: the configuration names a store where the files are needed.
        """
        cfg = self._cfg
        folder = named_store(cfg)
        if folder is not None:
            if labeler is not None:
                raise DataError(
                    f"a plugin labels contacts from the motion files, which the packed store {folder} does not keep; name the "
                    "library's folder with --data, or leave that plugin out with --no-plugin"
                )
            return self._from_store(open_named_store(cfg, folder, self._robot))
        if not cfg.use_packed or labeler is not None:
            return None
        store = find_store(cfg, self._robot, find_reader(cfg, readers))
        if store is None:
            return None
        try:
            return self._from_store(store)
        except StoreError as error:
            _log.warning("%s; the motion files are read instead", error)
            return None

    def from_files(self, reader: MotionReader, labeler: Labeler | None) -> T:
        """Read the files; when that took long, leave a packed store in the user's cache."""
        cfg, began = self._cfg, time.perf_counter()
        keep = cfg.use_packed and labeler is None and self._world_size == 1
        before = try_listing(cfg) if keep else None
        source = reader.open(cfg)
        keys = self._select(source.keys)
        clips, found = _read(source, keys, self._robot)
        bad = _report(keys, that_matter(found, self._needs), cfg.on_bad_clip)
        good = [clip for clip in clips if clip.key not in bad]
        _report_oddities(good)
        compact = compact_clips(good, self._robot, target_fps=cfg.target_fps, labeler=labeler)
        taken = self._take(compact)
        whole = len(keys) == len(set(source.keys)) and len(good) == len(usable_by_some(clips, found))
        if before is not None and whole and time.perf_counter() - began > _WORTH_CACHING:
            write_cache(cfg, self._robot, reader, compact, sources=before, faults=found)
        return taken

    def _from_store(self, store: PackedStore) -> T:
        keys = self._select(store.all_keys)
        by_key: dict[str, list[ClipFault]] = {}
        for fault in store.faults(self._needs):
            by_key.setdefault(fault.key, []).append(fault)
        bad = _report(keys, [fault for key in keys for fault in by_key.get(key, ())], self._cfg.on_bad_clip)
        selection = store.select([key for key in keys if key not in bad])
        if not selection.alike:
            _report_oddities(selection.outlines())
        taken = self._take(selection)
        _log.info("motions come from the packed store %s", store.folder)
        return taken

    def _select(self, keys: Sequence[str]) -> list[str]:
        return select_keys(keys, self._cfg, rank=self._rank, world_size=self._world_size)


def _read(source: ClipSource, keys: Sequence[str], robot: RobotSpec) -> tuple[list[MotionClip], list[FoundFault]]:
    read = [read_motion(source, key, robot) for key in keys]
    return [clip for clip, _ in read if clip is not None], [fault for _, found in read for fault in found]


def _report(keys: Sequence[str], faults: Sequence[ClipFault], on_bad_clip: str) -> frozenset[str]:
    return BadClipReport(faults=tuple(faults), num_motions=len(keys)).apply(on_bad_clip)


def _report_oddities(clips: Sequence[MotionClip]) -> None:
    for fault in check_library(clips):
        _log.warning("used, but check: %s", fault)
