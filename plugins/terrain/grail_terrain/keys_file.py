"""The list of a process's motions: a file in the run directory, mirrored where the GRAIL release keeps it, for tools that look there.

Nothing reads the mirror here, so two runs on one machine cannot mislead each other; and the mirror of a run that still goes on is left to
it. A file takes the place of the mirror by renaming: a link that somebody put there is replaced, never followed.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_log: Final = logging.getLogger("grail_framework.plugins.terrain")
_held: Final[dict[Path, int]] = {}
"""Run directory -> descriptor of its mirror, locked while the run goes on."""


def file_name(rank: int) -> str:
    """Return what the file of a process is called."""
    return f"rank_{rank}_motion_keys.txt"


def write_keys(run_dir: Path, rank: int, keys: Sequence[str], mirror_dir: Path | None) -> None:
    """Write the keys, one a line, into the run directory, and into `mirror_dir` unless another run holds the file there.

    The mirror is held until `release` or the end of the process.

    Raises:
        OSError: the run directory cannot be written. What keeps the mirror from being written is logged.
    """
    content = "".join(f"{key}\n" for key in keys).encode()
    run_dir.mkdir(parents=True, exist_ok=True)
    own = run_dir / file_name(rank)
    os.close(_replace(own, content, held=False))
    if mirror_dir is None:
        return
    mirror = mirror_dir / file_name(rank)
    release(run_dir)
    try:
        if _is_held(mirror):
            _log.info("%s belongs to another run that goes on; the motions of this one are listed in %s", mirror, own)
            return
        _held[run_dir] = _replace(mirror, content, held=True)
        _log.info("the motions of rank %d are listed in %s and %s", rank, own, mirror)
    except OSError as error:
        _log.warning("%s cannot be written (%s); the motions of this run are listed in %s", mirror, error.strerror, own)


def release(run_dir: Path) -> None:
    """Let another run have the mirror; the file stays."""
    descriptor = _held.pop(run_dir, None)
    if descriptor is not None:
        os.close(descriptor)


def _replace(path: Path, content: bytes, *, held: bool) -> int:
    """Put a new file in the place of `path` in one step and return it, open; `held`: locked against other runs."""
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        if held:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(descriptor, 0o644)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
        os.replace(partial, path)
    except BaseException:
        os.close(descriptor)
        Path(partial).unlink(missing_ok=True)
        raise
    return descriptor


def _is_held(path: Path) -> bool:
    """Say whether a living process holds the file; links, which are not followed, and other things are nobody's."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
