"""Writing files so that a reader, or the next process after a crash, finds the old content or the new one, never half of it."""

from __future__ import annotations

import contextlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PREFIX = ".partial-"


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes the place of `path` when the block ends well, after its bytes have reached the disk.

    Raises:
        OSError: the disk is full, read-only or gone; `path` is as it was.
    """
    partial = path.with_name(f"{_PREFIX}{os.getpid()}-{path.name}")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    sync(path.parent)  # without it a power cut may lose the rename


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a small file in one go.

    Raises:
        OSError: the disk is full, read-only or gone; `path` is as it was.
    """
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def link_atomically(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`, replacing what was there in one step.

    Raises:
        OSError: the file system refuses; `link` is as it was.
    """
    partial = link.with_name(f"{_PREFIX}{os.getpid()}-{link.name}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)
    os.symlink(target, partial)
    try:
        os.replace(partial, link)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    sync(link.parent)


def sync(path: Path) -> None:
    """Bring to the disk what any process has written to a file, or the entries of a directory.

    Raises:
        OSError: it is not there, or the disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(directory: Path) -> None:
    """Try out all that a run does in its directory: write a file, link to it, remove both.

    Raises:
        OSError: the file system refuses.
    """
    file, link = (directory / f"{_PREFIX}{os.getpid()}-{name}" for name in ("probe", "probe-link"))
    try:
        write_atomically(file, bytes(4096))
        link_atomically(link, file.name)
    finally:
        for made in (link, file):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(made)


def remove_partial_files(directory: Path) -> None:
    """Remove what a killed process left half written in a directory and the folders in it.

    Raises:
        OSError: the file system refuses.
    """
    for leftover in (*directory.glob(f"{_PREFIX}*"), *directory.glob(f"*/{_PREFIX}*")):
        leftover.unlink(missing_ok=True)
