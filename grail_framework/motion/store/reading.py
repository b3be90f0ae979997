"""Opening of packed stores: all that can be wrong is found before a number of theirs is used."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from grail_framework.motion.clip import MotionClip, ObjectTrack
from grail_framework.motion.compact import FILE_KINDS, MOTION, POSE_WIDTH, ROW_COUNTS, MotionRows, checksums
from grail_framework.motion.faults import ClipFault
from grail_framework.motion.store.format import INDEX, StoreError, arrays, hash_file, read_header
from grail_framework.motion.store.sources import Listing
from grail_framework.motion.validate import Needs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_CHUNK_FRAMES: Final = 200_000
"""Frames checked and copied at once, about 30 MB."""
_ADVICE: Final = "build it again with `grail data pack`"


@attrs.frozen(kw_only=True, eq=False)
class PackedStore:
    """An opened store of M motions. Its rows stay on the disk until they are selected."""

    folder: Path
    base: Path
    """The library it was made from; it may not exist any more."""
    key: Mapping[str, Any]
    """What it was made for; see `StoreKey`."""
    keys: tuple[str, ...]
    files: Mapping[str, Sequence[str | None]]
    """Where each motion was read from, relative to `base`, by the fields of `MotionFiles`."""
    object_names: tuple[str, ...]
    object_usd: tuple[Path | None, ...]
    plain_faults: Mapping[str, Sequence[dict[str, Any]]]
    """As they are in the index; see `faults`."""
    sources: Listing
    motions: np.ndarray  # (M,) MOTION
    rows: MotionRows

    @cached_property
    def _row_starts(self) -> dict[str, np.ndarray]:
        """First row of each motion (M,) in every row array."""
        counts = {name: self.motions[count].astype(np.int64) for name, count in ROW_COUNTS.items()}
        return {name: np.cumsum(count) - count for name, count in counts.items()}

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Stems of all motions of the library, sorted, those that could not be packed included."""
        return tuple(sorted({fault.key for fault in self.faults(Needs()) if fault.fatal}.union(self.keys)))

    def faults(self, needs: Needs) -> list[ClipFault]:
        """Return what was found wrong with the files and matters to a task, of motions that could not be packed too."""
        asked = ["", *(name for name, needed in attrs.asdict(needs).items() if needed)]
        plain = [fault for name in asked for fault in self.plain_faults.get(name, ())]
        return [ClipFault(**{**fault, "path": self.base / fault["path"]}) for fault in plain]

    @property
    def num_bytes(self) -> int:
        """Size of all files. [bytes]"""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def select(self, keys: Sequence[str]) -> StoreSelection:
        """Take motions, in the order of `keys`.

        Raises:
            KeyError: a key that is not in the store.
        """
        position = {key: index for index, key in enumerate(self.keys)}
        return StoreSelection(store=self, ids=np.array([position[key] for key in keys], dtype=np.int64))

    def rows_of(self, begin: int, end: int) -> MotionRows:
        """Return views of the rows of the motions from `begin` up to `end`."""
        spans = {name: (starts[begin], self._end(name, end)) for name, starts in self._row_starts.items()}
        return MotionRows(**{name: getattr(self.rows, name)[first:stop] for name, (first, stop) in spans.items()})

    def _end(self, name: str, end: int) -> int:
        starts = self._row_starts[name]
        return int(starts[end]) if end < len(starts) else len(getattr(self.rows, name))


@attrs.frozen(kw_only=True, eq=False)
class StoreSelection:
    """Motions of a store, in an order of their own; a `MotionSource`."""

    store: PackedStore
    ids: np.ndarray  # (m,) long

    @property
    def keys(self) -> tuple[str, ...]:
        """Stems."""
        return tuple(self.store.keys[index] for index in self.ids.tolist())

    @property
    def object_names(self) -> tuple[str, ...]:
        """Names of the objects."""
        return tuple(self.store.object_names[index] for index in self.ids.tolist())

    @property
    def object_usd(self) -> tuple[Path | None, ...]:
        """Object assets."""
        return tuple(self.store.object_usd[index] for index in self.ids.tolist())

    @property
    def motions(self) -> np.ndarray:
        """(m,) of the dtype `MOTION`."""
        return self.store.motions[self.ids]

    @property
    def alike(self) -> bool:
        """Whether all motions have the same: object, asset, contact labels, hand actions and so on."""
        flags = [self.motions[name] for name in MOTION.names or () if name.startswith("has_")]
        flags.append(np.array([path is not None for path in self.object_usd]))
        return all(bool((flag == flag[:1]).all()) for flag in flags)

    def outlines(self) -> list[MotionClip]:
        """Return the motions without their frames: what each of them has, for checks across motions."""
        store, joints = self.store, tuple(name for name, *_ in self.store.key["joints"])
        nothing = np.zeros((0, POSE_WIDTH), dtype=np.float32)
        clips: list[MotionClip] = []
        for index, motion in zip(self.ids.tolist(), self.motions, strict=True):
            points = {} if motion["has_contact_labels"] else None
            files = {name: paths[index] and store.base / paths[index] for name, paths in store.files.items()}
            track = ObjectTrack(pos=nothing, quat=nothing, fps=store.key["fps"], contact_points=points, path=files["object"])
            clips.append(
                MotionClip(
                    key=store.keys[index],
                    path=files["robot"],
                    meta=files["meta"],
                    fps=store.key["fps"],
                    joint_names=joints,
                    root_pos=nothing,
                    root_quat=nothing,
                    joint_pos=nothing,
                    object=track if motion["has_object"] else None,
                    object_usd=store.object_usd[index],
                    object_name=store.object_names[index],
                    hand_action=nothing if motion["has_hand_action"] else None,
                    table_pos=motion["table_pos"] if motion["has_table"] else None,
                    table_quat=motion["table_quat"] if motion["has_table"] else None,
                    table_size=motion["table_size"] if motion["has_table_size"] else None,
                    bps=motion["bps"] if motion["has_bps"] else None,
                )
            )
        return clips

    def chunks(self) -> Iterator[tuple[np.ndarray, MotionRows]]:
        """Yield the motions with their rows, each checked against its checksum.

        Raises:
            StoreError: the rows of a motion are not those that were written.
        """
        for begin, end in _neighbours(self.ids, self.store.motions["num_frames"]):
            motions, rows = self.store.motions[begin:end], self.store.rows_of(begin, end)
            wrong = np.flatnonzero(checksums(motions, rows) != motions["checksum"])
            if len(wrong):
                name = self.store.keys[begin + int(wrong[0])]
                raise StoreError(f"packed store {self.store.folder} is damaged at motion {name!r}; {_ADVICE}")
            yield motions, rows


def open_store(folder: Path) -> PackedStore:
    """Open a store and check all of it but the rows, which are checked when they are read.

    Raises:
        StoreError: it is damaged, or of another format version.
    """
    try:
        header = read_header(folder)
        _check_files(folder, header["files"])
        index = json.loads((folder / INDEX).read_bytes())
        base = (folder / header["library"]).resolve() if header["library"] != ".." else folder.parent
        loaded = _load_arrays(folder, header)
        return _Index(index, base).store(folder, header["key"], loaded)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"packed store {folder} is damaged ({error}); {_ADVICE}") from error


class _Index:
    """The content of index.json."""

    def __init__(self, values: Mapping[str, Any], base: Path) -> None:
        self._values, self._base = values, base

    def store(self, folder: Path, key: Mapping[str, Any], loaded: dict[str, np.ndarray]) -> PackedStore:
        motions = loaded.pop("motions")
        for name, count in ROW_COUNTS.items():
            rows = int(motions[count].sum(dtype=np.int64))
            if rows != len(loaded[name]):
                raise StoreError(
                    f"packed store {folder} is damaged: {name}.npy has {len(loaded[name])} rows, not {rows}; {_ADVICE}"
                )
        names = {name: tuple(self._values[name]) for name in ("keys", "object_names", "object_usd")}
        listed = [*names.values(), *self._values["files"].values()]
        if any(len(values) != len(motions) for values in listed):
            raise StoreError(f"packed store {folder} is damaged: {INDEX} names another number of motions; {_ADVICE}")
        usd = tuple(path and self._base / path for path in names.pop("object_usd"))
        return PackedStore(
            folder=folder,
            base=self._base,
            key=key,
            files={name: self._values["files"][name] for name in FILE_KINDS},
            object_usd=usd,
            plain_faults=self._values["faults"],
            sources=Listing.from_plain(self._values["sources"], self._base),
            motions=motions,
            rows=MotionRows(**loaded),
            **names,
        )


def _check_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    for name, expected in files.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size != expected["bytes"]:
            found = "is missing" if size is None else f"has {size} bytes, not {expected['bytes']}"
            raise StoreError(f"packed store {folder} is damaged: {name} {found}; {_ADVICE}")
        if "blake2b" in expected and hash_file(path) != expected["blake2b"]:
            raise StoreError(f"packed store {folder} is damaged: {name} was changed after it was written; {_ADVICE}")


def _load_arrays(folder: Path, header: Mapping[str, Any]) -> dict[str, np.ndarray]:
    loaded: dict[str, np.ndarray] = {}
    for name, (dtype, shape) in arrays(len(header["key"]["joints"])).items():
        # Copy-on-write rather than read-only: torch warns of arrays it must not write to, though nobody does.
        array = np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False)
        expected = (header["files"][f"{name}.npy"]["rows"], *shape)
        if array.dtype != dtype or array.shape != expected:
            raise StoreError(
                f"packed store {folder} is damaged: {name}.npy is {array.dtype} {array.shape}, not {dtype} {expected}; {_ADVICE}"
            )
        loaded[name] = array
    return loaded


def _neighbours(ids: np.ndarray, lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Split ids into spans of ascending neighbours of at most about `_CHUNK_FRAMES` frames."""
    begin, frames = 0, 0
    for at, index in enumerate(ids.tolist()):
        if at > begin and (index != ids[at - 1] + 1 or frames >= _CHUNK_FRAMES):
            yield int(ids[begin]), int(ids[at - 1]) + 1
            begin, frames = at, 0
        frames += int(lengths[index])
    if len(ids):
        yield int(ids[begin]), int(ids[-1]) + 1
