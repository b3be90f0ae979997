"""What a library holds, counted from its packed store or from its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from grail_framework.errors import DataError
from grail_framework.motion.compact import ROW_COUNTS, compact_clips
from grail_framework.motion.examine import read_motion, usable_by_some
from grail_framework.motion.store.finding import changes_since, find_reader, key_of, named_store, shown
from grail_framework.motion.store.format import STORE_FOLDER, StoreError, arrays, is_store
from grail_framework.motion.store.reading import PackedStore, open_store
from grail_framework.motion.store.sources import library_base

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from grail_framework.config.scene import MotionCfg
    from grail_framework.motion.readers.protocol import MotionReader
    from grail_framework.robots.spec import RobotSpec


@attrs.frozen(kw_only=True)
class LibrarySummary:
    """Counts over the motions of a library that can be used."""

    path: str
    motions: int
    bad: int
    """Motions that no task can use; they are in no other number. [-]"""
    frames: int
    """At the target rate. [-]"""
    fps: float
    hours: float
    longest: tuple[str, int]
    """Stem and frames."""
    shortest: tuple[str, int]
    with_object: int
    with_usd: int
    object_names: int
    """Different names of objects. [-]"""
    with_hand_action: int
    with_contact_labels: int
    with_table: int
    with_bps: int
    bytes_per_frame: float
    """Of the packed arrays. [bytes]"""
    store: str
    """valid, stale, damaged, other (built for another robot, rate or format), or none."""
    store_note: str
    """Where the store is, and what is wrong with it."""


def summarise(
    cfg: MotionCfg,
    robot: RobotSpec,
    readers: Sequence[MotionReader],
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> LibrarySummary:
    """Count what a library holds; its files are read where it has no valid store.

    Args:
        cfg: names the library, or a packed store.
        robot: the robot the motions are of.
        readers: tried in order.
        progress: called with the number of motions read and of all, and the stem.

    Raises:
        DataError: there is no library, a store given as such is damaged, or no motion can be used.
    """
    folder = named_store(cfg)
    if folder is not None:
        store = open_store(folder)
        changes = changes_since(store, cfg)
        note = f"its library {store.base} is not here" if changes is None else shown(changes)
        return _of_store(store, "stale" if changes else "valid", note)
    reader = find_reader(cfg, readers)
    state, note, store = _own_store(cfg, robot, reader, library_base(cfg) / STORE_FOLDER)
    if store is not None:
        return _of_store(store, state, note)
    counted = _of_files(cfg, robot, reader, progress)
    return counted.summary(str(cfg.data), robot.num_motion_joints, cfg.target_fps, state, note)


def _own_store(cfg: MotionCfg, robot: RobotSpec, reader: MotionReader, folder: Path) -> tuple[str, str, PackedStore | None]:
    """Return the state of a library's store, a note, and the store where it is valid."""
    if not is_store(folder):
        return "none", "", None
    try:
        store = open_store(folder)
    except StoreError as error:
        return "damaged", str(error), None
    different = key_of(cfg, robot, reader).differences(store.key)
    if different:
        return "other", f"{folder} differs in {' and '.join(different)}", None
    changes = changes_since(store, cfg)
    return ("stale", f"{folder}: {shown(changes)}", None) if changes else ("valid", str(folder), store)


def _of_store(store: PackedStore, state: str, note: str) -> LibrarySummary:
    named = zip(store.object_names, store.motions["has_object"], strict=True)
    counted = _Counted(
        keys=list(store.keys),
        motions=[store.motions],
        object_names={name for name, has in named if has},
        with_usd=sum(path is not None for path in store.object_usd),
        bad=len(store.all_keys) - len(store.keys),
    )
    return counted.summary(str(store.folder), len(store.key["joints"]), store.key["fps"], state, note)


def _of_files(
    cfg: MotionCfg, robot: RobotSpec, reader: MotionReader, progress: Callable[[int, int, str], None] | None
) -> _Counted:
    source = reader.open(cfg)
    everything = sorted(set(source.keys))
    counted = _Counted()
    for done, key in enumerate(everything, 1):
        clip, found = read_motion(source, key, robot)
        usable = usable_by_some([clip] if clip is not None else [], found)
        if usable:
            compact = compact_clips(usable, robot, target_fps=cfg.target_fps)
            counted.keys.append(key)
            counted.motions.append(compact.motions)
            counted.object_names.update(compact.object_names if compact.motions[0]["has_object"] else ())
            counted.with_usd += compact.object_usd[0] is not None
        if progress is not None:
            progress(done, len(everything), key)
    counted.bad = len(everything) - len(counted.keys)
    if not counted.keys:
        raise DataError(f"none of the {len(everything)} motions of {cfg.data} can be used; `grail data check` says why")
    return counted


@attrs.define(kw_only=True, eq=False)
class _Counted:
    """What is gathered of the usable motions."""

    keys: list[str] = attrs.field(factory=list)
    motions: list[np.ndarray] = attrs.field(factory=list)
    object_names: set[str] = attrs.field(factory=set)
    with_usd: int = 0
    bad: int = 0

    def summary(self, path: str, num_joints: int, fps: float, state: str, note: str) -> LibrarySummary:
        motions = np.concatenate(self.motions)
        lengths = motions["num_frames"]
        frames, longest, shortest = int(lengths.sum(dtype=np.int64)), int(lengths.argmax()), int(lengths.argmin())
        widths = {name: dtype.itemsize * int(np.prod(shape)) for name, (dtype, shape) in arrays(num_joints).items()}
        size = widths["motions"] * len(motions)
        size += sum(widths[name] * int(motions[count].sum(dtype=np.int64)) for name, count in ROW_COUNTS.items())
        return LibrarySummary(
            path=path,
            motions=len(motions),
            bad=self.bad,
            frames=frames,
            fps=fps,
            hours=frames / fps / 3600.0,
            longest=(self.keys[longest], int(lengths[longest])),
            shortest=(self.keys[shortest], int(lengths[shortest])),
            with_object=int(motions["has_object"].sum()),
            with_usd=self.with_usd,
            object_names=len(self.object_names),
            with_hand_action=int(motions["has_hand_action"].sum()),
            with_contact_labels=int(motions["has_contact_labels"].sum()),
            with_table=int(motions["has_table"].sum()),
            with_bps=int(motions["has_bps"].sum()),
            bytes_per_frame=size / frames,
            store=state,
            store_note=note,
        )
