"""Reading of plain or compressed files whose expansion and read count are bounded.

A few kilobytes can expand to terabytes, and a length field can ask for an allocation that no data backs. Here memory follows the
bytes that are really there, and both their sum and the number of reads have an upper bound.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from typing import TYPE_CHECKING, Protocol

from grail_framework.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

_CHUNK = 1 << 20
_LZMA_MEMORY = 256 << 20
"""Dictionary memory [bytes] an lzma header may ask for; the strongest preset (9) needs 65 MiB."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Zlib:
    """zlib and gzip behind the interface that bz2 and lzma share."""

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


_BY_MAGIC: tuple[tuple[bytes, Callable[[], _Decompressor]], ...] = (
    (b"\x1f\x8b", lambda: _Zlib(31)),
    (b"\x78", lambda: _Zlib(15)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
    (b"]\x00\x00", lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)),
)
_UNREAD_MAGIC = {b"\x04\x22\x4d\x18": "lz4", b"ZF": "the compressed format of joblib before 0.10"}


class _Inflated(io.RawIOBase):
    """The decompressed content of a stream, produced as it is read."""

    def __init__(self, raw: BinaryIO, decompressor: _Decompressor) -> None:
        self._raw = raw
        self._decompressor = decompressor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview | bytearray) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        while not self._decompressor.eof:
            fresh = self._raw.read(_CHUNK) if self._decompressor.needs_input else b""
            starved = self._decompressor.needs_input and not fresh
            data = self._decompressor.decompress(fresh, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            if starved:
                return 0
        return 0


class BoundedStream:
    """A readable byte stream that refuses to give more than `max_bytes` bytes or to serve more than `max_reads` reads."""

    def __init__(self, raw: BinaryIO, path: Path, *, max_bytes: int, max_reads: int) -> None:
        self._file = _open_decompressed(raw, path)
        self._path = path
        self._max_bytes = max_bytes
        self._left = max_bytes
        self._reads_left = max_reads

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes, fewer only at the end of the stream.

        Raises:
            DataError: a bound is exceeded.
        """
        self._count(size)
        if size <= _CHUNK:
            return self._file.read(size)
        parts: list[bytes] = []
        while size > 0 and (part := self._file.read(min(size, _CHUNK))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def readline(self) -> bytes:
        """Read up to and including the next newline.

        Raises:
            DataError: a bound is exceeded.
        """
        line = self._file.readline(self._left + 1)
        self._count(len(line))
        return line

    def _count(self, size: int) -> None:
        self._left -= size
        self._reads_left -= 1
        if self._left < 0 or size < 0:
            raise DataError(
                f"{self._path}: asks for more than {self._max_bytes} bytes of data, which no motion file needs; the file is "
                "damaged or made to exhaust memory"
            )
        if self._reads_left < 0:
            raise DataError(f"{self._path}: holds more items than a motion file can; split the file into one per motion")


def _open_decompressed(raw: BinaryIO, path: Path) -> BinaryIO:
    head = raw.read(8)
    raw.seek(0)
    for magic, what in _UNREAD_MAGIC.items():
        if head.startswith(magic):
            raise DataError(
                f"{path}: compressed with {what}, which is not read; save it again with joblib.dump(..., compress=3)"
            )
    for magic, make in _BY_MAGIC:
        if head.startswith(magic):
            return io.BufferedReader(_Inflated(raw, make()), _CHUNK)
    return raw
