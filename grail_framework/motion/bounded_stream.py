"""Reading of plain or compressed files whose expansion is bounded.

A few kilobytes can expand to terabytes. Here memory follows the bytes that are really there, and their sum has an upper bound.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING, Protocol

from grail_framework.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LZMA_MEMORY = 256 << 20
"""Dictionary memory [bytes] an lzma header may ask for; the strongest preset (9) needs 65 MiB."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_BY_MAGIC: tuple[tuple[bytes, Callable[[], _Decompressor]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(31)),
    (b"\x78", lambda: zlib.decompressobj(15)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
    (b"]\x00\x00", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
)
_UNREAD_MAGIC = {b"\x04\x22\x4d\x18": "lz4", b"ZF": "the compressed format of joblib before 0.10"}


def read_decompressed(path: Path, max_bytes: int) -> bytearray:
    """Read a file into memory; zlib, gzip, bz2, lzma and xz are told by their first bytes and expanded.

    Raises:
        DataError: the content is larger than `max_bytes`, of a compression that is not read, or its compressed data end early.
        OSError, zlib.error, lzma.LZMAError: the file cannot be read, or its compressed data are damaged.
    """
    if path.stat().st_size > max_bytes:
        raise _too_large(path, max_bytes)
    content = path.read_bytes()
    for magic, what in _UNREAD_MAGIC.items():
        if content.startswith(magic):
            raise DataError(
                f"{path}: compressed with {what}, which is not read; save it again with joblib.dump(..., compress=3)"
            )
    for magic, make in _BY_MAGIC:
        if content.startswith(magic):
            return _expanded(content, make(), path, max_bytes)
    return bytearray(content)


def _expanded(content: bytes, decompressor: _Decompressor, path: Path, max_bytes: int) -> bytearray:
    expanded = decompressor.decompress(content, max_bytes + 1)
    if len(expanded) > max_bytes:
        raise _too_large(path, max_bytes)
    if not decompressor.eof:
        raise DataError(f"{path}: its compressed data end early; the file is truncated, so copy or make it again")
    return bytearray(expanded)


def _too_large(path: Path, max_bytes: int) -> DataError:
    return DataError(
        f"{path}: holds more than {max_bytes} bytes of data, which no motion file needs; the file is damaged or made to exhaust "
        "memory, or it holds many motions and should be split into one file per motion"
    )
