"""A file that only grows, record by record; a disk that takes nothing for a while costs none of them."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MAX_WAITING: Final = 10_000
"""Records kept in memory while the disk takes none; a day of iterations of ten seconds each."""


class AppendedFile:
    """Appends records, each of them whole or, for now, not at all.

    What the disk does not take waits in memory, in order, and is written with the next record that it takes. Of more than
    `max_waiting` records the oldest are given up and counted in `lost`. After an error the file is opened anew, because it may have
    been removed to make room, or its file system mounted again.
    """

    def __init__(self, path: Path, *, max_waiting: int = MAX_WAITING) -> None:
        self.path = path
        self.lost = 0
        self._waiting: deque[bytes] = deque()
        self._max_waiting = max_waiting
        self._descriptor: int | None = None
        self._torn_at: int | None = None
        """Where a record begins that was neither finished nor taken back."""

    def append(self, record: bytes) -> None:
        """Write a record, and before it those that wait.

        Raises:
            OSError: the disk is full, read-only or gone; the record waits, and the file ends with a whole one.
        """
        self._waiting.append(record)
        if len(self._waiting) > self._max_waiting:
            self._waiting.popleft()
            self.lost += 1
        self._write_waiting()

    def open(self) -> None:
        """Open the file now instead of with the first record, to find out whether it can be.

        Raises:
            OSError: it cannot be opened for writing.
        """
        if self._descriptor is None:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            self._descriptor = descriptor
            if self._torn_at is not None:
                self._take_back(descriptor, self._torn_at)

    def close(self) -> None:
        """Write what waits, bring the file to the disk and close it.

        Raises:
            OSError: the disk does not take it; what still waits is lost, and the message says how much that is.
        """
        try:
            self._write_waiting()
            if self._descriptor is not None and _is_regular(self._descriptor):
                os.fsync(self._descriptor)
        except OSError as error:
            gone = f"; {len(self._waiting)} records are lost" if self._waiting else ""
            raise OSError(error.errno, f"{error.strerror}{gone}", str(self.path)) from error
        finally:
            self._waiting.clear()
            self._release()

    def _write_waiting(self) -> None:
        try:
            while self._waiting:
                self.open()
                self._write(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            self._release()
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def _write(self, record: bytes) -> None:
        descriptor = self._descriptor
        assert descriptor is not None
        begin, written = os.fstat(descriptor).st_size, 0
        try:
            while written < len(record):
                written += os.write(descriptor, record[written:])
        except OSError:
            if written:
                self._torn_at = begin
                with contextlib.suppress(OSError):  # then it is taken back when the file is opened again
                    self._take_back(descriptor, begin)
            raise

    def _take_back(self, descriptor: int, size: int) -> None:
        if _is_regular(descriptor) and os.fstat(descriptor).st_size > size:
            os.ftruncate(descriptor, size)
        self._torn_at = None

    def _release(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # what was written has been reported already
                os.close(self._descriptor)
            self._descriptor = None


def _is_regular(descriptor: int) -> bool:
    """Tell a file from a device or a pipe, which can neither be cut nor be brought to a disk."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)
