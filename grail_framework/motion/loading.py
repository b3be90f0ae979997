"""From a motion configuration to a motion library: find the reader, select, read, check, build."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from grail_framework.errors import DataError
from grail_framework.motion.faults import BadClipError, BadClipReport, ClipFault
from grail_framework.motion.library import MotionLibrary
from grail_framework.motion.selection import select_keys
from grail_framework.motion.validate import Needs, check_clip, check_library

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from grail_framework.config.scene import MotionCfg
    from grail_framework.motion.clip import MotionClip
    from grail_framework.motion.packing import Labeler
    from grail_framework.motion.readers.protocol import ClipSource, MotionReader
    from grail_framework.robots.spec import RobotSpec

_log = logging.getLogger(__name__)


def load_library(
    cfg: MotionCfg,
    robot: RobotSpec,
    *,
    device: torch.device | str,
    need_object: bool,
    need_table: bool,
    readers: Sequence[MotionReader],
    labeler: Labeler | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> MotionLibrary:
    """Read, select and check the motions of a configuration and build the library on the device.

    Args:
        cfg: where the motions are and which of them are used.
        robot: the robot the motions must be of.
        device: where the library lives.
        need_object: every motion must have an object motion and an asset.
        need_table: every motion must have a table in its meta file.
        readers: tried in order; the first that recognises the files reads them.
        labeler: see `MotionLibrary.build`.
        rank: of this process.
        world_size: number of processes.

    Raises:
        DataError: no reader recognises the files, a motion cannot be used (with `on_bad_clip` `stop`), or none is left.
        ConfigError: the selection names motions that are not there.
    """
    source = open_source(cfg, readers)
    keys = select_keys(source.keys, cfg, rank=rank, world_size=world_size)
    needs = Needs(object=need_object, table=need_table)
    clips = read_clips(source, keys, robot, needs, on_bad_clip=cfg.on_bad_clip)
    library = MotionLibrary.build(clips, robot, device=device, target_fps=cfg.target_fps, labeler=labeler)
    _log.info("loaded %d motions, %d frames at %g fps", library.num_motions, library.total_frames, library.fps)
    return library


def open_source(cfg: MotionCfg, readers: Sequence[MotionReader]) -> ClipSource:
    """Open the motion library with the first reader that recognises it.

    Raises:
        DataError: the folder does not exist, or no reader recognises it.
    """
    where = cfg.robot_dir or cfg.data
    if where is None:
        raise DataError("no motion library is given: name its folder with --data DIR")
    path = Path(where).expanduser()
    if not path.exists():
        raise DataError(f"motion library {path} does not exist; check --data")
    for reader in readers:
        if reader.detect(cfg):
            return reader.open(cfg)
    known = "; ".join(f"{reader.name}: {reader.layout}" for reader in readers) or "none is registered"
    raise DataError(f"{path} is no motion library that a reader recognises. Readers: {known}")


def read_clips(
    source: ClipSource, keys: Sequence[str], robot: RobotSpec, needs: Needs, *, on_bad_clip: str
) -> list[MotionClip]:
    """Read and check motions, in the order of `keys`; what is wrong stops the run or is left out, and is reported either way.

    Raises:
        DataError: a motion cannot be used and `on_bad_clip` is `stop`, or none is left; all faults are listed.
    """
    clips: list[MotionClip] = []
    faults: list[ClipFault] = []
    for key in keys:
        try:
            clip, notes = source.read(key)
        except BadClipError as error:
            faults.extend(error.faults)
            continue
        faults.extend(notes)
        faults.extend(check_clip(clip, robot, needs))
        clips.append(clip)
    bad = BadClipReport(faults=tuple(faults), num_motions=len(keys)).apply(on_bad_clip)
    good = [clip for clip in clips if clip.key not in bad]
    for fault in check_library(good):
        _log.warning("used, but check: %s", fault)
    return good
