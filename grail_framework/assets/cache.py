"""Results that are dear to compute, kept in the user's cache folder: arrays in .npz files, named by what they were made from.

An entry appears whole or not at all, and holds no pickles. A damaged one is as good as none.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_log: Final = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the folder of this program below the user's cache folder (XDG_CACHE_HOME, else ~/.cache); it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grail_framework"


def content_key(parts: Iterable[object]) -> str:
    """Return a name for arrays (by type, shape and bytes) and other values (by their representation)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def load_entry(path: Path) -> dict[str, NDArray[np.float64]] | None:
    """Read an entry's arrays; None where there is none, or where it is damaged, which is logged."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as entry:
            return {name: entry[name] for name in entry.files}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        _log.warning("%s is damaged (%s): computing it anew", path, error)
        return None


def store_entry(path: Path, arrays: dict[str, NDArray[np.float64]]) -> None:
    """Write an entry. Where the folder cannot be written, the result is not kept, which is logged."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".partial-", delete=False) as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(file.name, path)
    except OSError as error:
        _log.warning("%s cannot be written (%s): it will be computed again next time", path, error)
