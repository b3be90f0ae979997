"""Read pickles and joblib dumps that hold plain values and numpy arrays, and refuse all others.

A pickle is a program. This reader runs only the opcodes that build plain values, resolves a global name to a stand-in of its own
and never to the named object, checks the arguments of every stand-in, and checks the finished value once more. joblib is not
imported: its array wrapper is a stand-in too, and the raw bytes behind it are read here.

Format: the `pickle` module (protocols 0-5) and joblib's numpy_pickle (0.10 and later; plain, zlib, gzip, bz2, lzma, xz).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from grail_framework.errors import DataError, UnsafePickleError
from grail_framework.motion.bounded_stream import read_decompressed
from grail_framework.motion.pickle_machine import name_of, run
from grail_framework.motion.pickle_values import RefusedError

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_BYTES: Final = 4 << 30
"""Default bound of the decompressed size of a file. [bytes]"""
_LEAVES: Final = frozenset((type(None), bool, int, float, str, bytes, bytearray, np.ndarray))
_CONTAINERS: Final = frozenset((dict, list, tuple, set, frozenset))


def load_safe(path: str | Path, *, max_bytes: int = MAX_BYTES) -> object:
    """Read a pickle or a joblib dump of plain values and numpy arrays, compressed or not, without executing anything.

    Arrays come in native byte order; they may be views of one buffer with the file's content. Nothing from the file is imported
    or called.

    Raises:
        UnsafePickleError: the file asks for anything else; the message names the file and what it asked for.
        DataError: the file is missing, truncated, damaged, of an unknown compression, or larger than `max_bytes` decompressed.
    """
    path = Path(path)
    try:
        data = read_decompressed(path, max_bytes)
        if data.startswith(b"PK\x03\x04"):
            raise RefusedError("it is a zip archive (as torch.save writes), which can hold code")
        value = run(data)
        _check_plain(value)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except RefusedError as refusal:
        raise UnsafePickleError(
            f"{path}: refused, since {refusal}. Motion files hold plain values and numpy arrays only; save the file again from "
            "such values, and do not load it elsewhere unless you trust its source."
        ) from None
    except DataError:
        raise
    # A damaged pickle is a program of random bytes: what it raises cannot be listed, and all of it means the same.
    except Exception as error:
        raise DataError(
            f"{path}: no readable pickle or joblib file, or a damaged one ({type(error).__name__}: {error})"
        ) from error
    return value


def _check_plain(root: object) -> None:
    """Refuse a finished value that holds anything but plain values and arrays."""
    seen: set[int] = set()
    pending: list[object] = [root]
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind in _LEAVES or isinstance(value, np.generic):
            continue
        if kind not in _CONTAINERS:
            raise RefusedError(f"the pickle holds {name_of(value)} in place of a value")
        if id(value) not in seen:
            seen.add(id(value))
            if kind is dict:
                _add_pending(pending, cast("dict[object, object]", value).keys())
                _add_pending(pending, cast("dict[object, object]", value).values())
            else:
                _add_pending(pending, cast("Collection[object]", value))


def _add_pending(pending: list[object], values: Collection[object]) -> None:
    if not _LEAVES.issuperset(map(type, values)):
        pending.extend(values)
