"""Writing of packed stores, a few motions at a time; a store appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

import attrs
import numpy as np

from grail_framework.errors import DataError
from grail_framework.motion.compact import FILE_KINDS, MotionRows
from grail_framework.motion.store.format import FORMAT, HEADER, INDEX, VERSION, arrays, hash_file, is_store, seal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grail_framework.motion.compact import CompactMotions, MotionFiles
    from grail_framework.motion.examine import FoundFault
    from grail_framework.motion.store.format import StoreKey
    from grail_framework.motion.store.sources import Listing

_HASHED: Final = (INDEX, "motions.npy")
"""Files that are read whole when a store is opened. Each motion's rows have a checksum in their record."""


class StoreWriter:
    """Writes a store: `append` motions in the order of their keys, then `finish`. Without `finish` nothing is left behind."""

    def __init__(self, folder: Path, key: StoreKey) -> None:
        """Begin beside the final place.

        Raises:
            DataError: `folder` exists and is no packed store.
            OSError: the place cannot be written to.
        """
        if folder.exists() and not is_store(folder) and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder} exists and is no packed store; name another place with --out, or remove it")
        self.folder = folder
        self._key = key
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._fresh = Path(tempfile.mkdtemp(prefix=".packing-", dir=folder.parent))
        self._arrays = {
            name: _GrowingArray(self._fresh / f"{name}.npy", dtype, shape)
            for name, (dtype, shape) in arrays(len(key.joints)).items()
        }
        self._keys: list[str] = []
        self._files: list[MotionFiles] = []
        self._object_names: list[str] = []
        self._object_usd: list[Path | None] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for array in self._arrays.values():
            array.file.close()
        shutil.rmtree(self._fresh, ignore_errors=True)

    def append(self, motions: CompactMotions) -> None:
        """Add motions behind those that are there.

        Raises:
            OSError: the disk is full.
        """
        self._keys += motions.keys
        self._files += motions.files
        self._object_names += motions.object_names
        self._object_usd += motions.object_usd
        self._arrays["motions"].append(motions.motions)
        for field in attrs.fields(MotionRows):
            self._arrays[field.name].append(getattr(motions.rows, field.name))

    def finish(self, sources: Listing, faults: Iterable[FoundFault] = ()) -> Path:
        """Write names, faults and sources, and put the store in its place.

        Args:
            sources: the files the motions were read from, with the hashes of their content.
            faults: what was found wrong with them.

        Returns:
            The folder of the store.

        Raises:
            DataError: there is no motion.
            OSError: the disk is full, or the place cannot be written to.
        """
        if not self._keys:
            raise DataError(f"no motion of {sources.base} can be packed")
        index = {
            "keys": self._keys,
            "files": {name: self._relative(name, sources.base) for name in FILE_KINDS},
            "object_names": self._object_names,
            "object_usd": [path and relative_to(path, sources.base) for path in self._object_usd],
            "faults": _plain_faults(faults, sources.base),
            "sources": sources.to_plain(),
        }
        _write(self._fresh / INDEX, json.dumps(index, separators=(",", ":"), ensure_ascii=False))
        for array in self._arrays.values():
            array.close()
        _write(self._fresh / HEADER, seal(self._header(sources.base)))
        _put(self._fresh, self.folder)
        return self.folder

    def _relative(self, kind: str, base: Path) -> list[str | None]:
        paths: list[Path | None] = [getattr(files, kind) for files in self._files]
        return [path and relative_to(path, base) for path in paths]

    def _header(self, base: Path) -> dict[str, Any]:
        files: dict[str, dict[str, Any]] = {INDEX: {"bytes": (self._fresh / INDEX).stat().st_size}}
        for name, array in self._arrays.items():
            files[f"{name}.npy"] = {"bytes": array.path.stat().st_size, "rows": array.rows}
        for name in _HASHED:
            files[name]["blake2b"] = hash_file(self._fresh / name)
        # A store inside its library may move with it; one elsewhere has to know where that is.
        inside = self.folder.resolve().parent == base.resolve()
        return {
            "format": FORMAT,
            "version": VERSION,
            "library": ".." if inside else str(base.resolve()),
            "key": self._key.to_plain(),
            "files": files,
        }


class _GrowingArray:
    """A .npy file that rows are appended to; its header is written last."""

    def __init__(self, path: Path, dtype: np.dtype, row_shape: tuple[int, ...]) -> None:
        self.path, self.rows = path, 0
        self._dtype, self._row_shape = dtype, row_shape
        self.file: BinaryIO = open(path, "wb")  # noqa: SIM115  closed by `close`, or by the writer that is left early
        self._write_header()
        self._data_start = self.file.tell()

    def append(self, rows: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(rows, dtype=self._dtype).tobytes())
        self.rows += len(rows)

    def close(self) -> None:
        self.file.seek(0)
        self._write_header()
        assert self.file.tell() == self._data_start, "numpy leaves room in the header for a growing first axis"
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def _write_header(self) -> None:
        description: dict[str, Any] = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self.file, description | {"shape": (self.rows, *self._row_shape)})


def relative_to(path: Path, base: Path) -> str:
    """Return a path as seen from a folder, with `/`."""
    return Path(os.path.relpath(path, base)).as_posix()


def _plain_faults(faults: Iterable[FoundFault], base: Path) -> dict[str, list[dict[str, Any]]]:
    """Return faults as plain values, by the need that makes them one; those of every task under an empty name."""
    plain: dict[str, list[dict[str, Any]]] = {"": []}
    for found in faults:
        fault = {**attrs.asdict(found.fault), "path": relative_to(found.fault.path, base)}
        plain.setdefault(found.need or "", []).append(fault)
    return plain


def _write(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _put(fresh: Path, folder: Path) -> None:
    """Put a finished folder in its place; what stood there is moved aside first, since a folder cannot replace another."""
    fresh.chmod(0o755)
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=".packing-", dir=folder.parent))
        folder.rename(old / "old")
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        fresh.rename(folder)
