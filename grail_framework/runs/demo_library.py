"""The demo libraries of tasks: made on request, or once for a run that names no motions and kept in the user's cache."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import logging
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from grail_framework import __version__
from grail_framework.errors import ConfigError, DataError, suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from grail_framework.config import RunCfg
    from grail_framework.registry import Entry, Registry

_log = logging.getLogger(__name__)

_LAYOUT: Final = frozenset({"robot", "objects", "object_usd", "meta", "bps", "common", "packed", "flat_placeholder.usd"})
"""What a folder of the GRAIL layout holds, one of motions on terrain too, and the store that `grail data pack` puts beside it."""


def with_demo_library(cfg: RunCfg, registry: Registry) -> RunCfg:
    """Return the configuration with the task's demo library as data where it names no motions.

    Raises:
        NotFoundError: the task has no demo library.
    """
    if cfg.motion.data is not None or cfg.motion.robot_dir is not None:
        return cfg
    owner, _, task = cfg.task.rpartition(":")
    entry = registry.find("demo_library", f"{owner}:{task}" if owner else task)
    folder = _cache() / "demo" / f"{entry.plugin}_{entry.name}-{__version__}-{_recipe(entry)}"
    if not folder.is_dir():
        _log.info("no motions are named: making the demo library of %s in %s", entry.qualified, folder)
        with _made_beside(folder) as fresh:
            entry.load()(fresh)
            # Renamed when it is whole; another process that was faster made the same one.
            if not folder.is_dir():
                fresh.rename(folder)
    return attrs.evolve(cfg, motion=attrs.evolve(cfg.motion, data=str(folder)))


def _recipe(entry: Entry) -> str:
    """Hash the modules beside the one that makes a library: what an older recipe made is not what is asked for.

    A robot or a solver that changed is not seen; `grail data demo` makes a library anew in any case.
    """
    spec = importlib.util.find_spec(entry.target.partition(":")[0])
    if spec is None or spec.origin is None:
        return "built-in"
    sources = sorted(Path(spec.origin).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def make_library(
    entry: Entry,
    out: Path,
    *,
    motions: int | None = None,
    seed: int = 0,
    sizes: Mapping[str, float] | None = None,
    overwrite: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> int:
    """Make a registered demo library in a folder, which appears when it is whole; return how many motions it holds.

    Args:
        entry: the registered library.
        out: the folder; it may exist when it is empty or, with `overwrite`, holds a motion library and nothing else.
        motions: how many, at least 1; None: the library's own number.
        seed: varies the motions, at least 0.
        sizes: numbers to fix that the library draws otherwise, by the names of its function's further parameters.
        overwrite: replace a motion library.
        on_progress: told in words what has been done.

    Raises:
        ConfigError: the library has no such number, or it is out of range.
        DataError: the folder is in the way, or a motion could not be made.
        PluginLoadError: the library's code cannot be imported.
    """
    _check_free(out, overwrite)
    make = entry.load()
    _check_sizes(entry, make, sizes or {})
    options = {"seed": seed, **({} if motions is None else {"motions": motions}), **(sizes or {})}
    with _made_beside(out) as fresh, _progress(on_progress):
        make(fresh, **options)
        _check_free(out, overwrite)
        if out.exists():
            shutil.rmtree(out)
        fresh.rename(out)
    return len(list((out / "robot").glob("*.pkl")))


def _check_sizes(entry: Entry, make: Callable[..., object], sizes: Mapping[str, float]) -> None:
    known = [name for name in inspect.signature(make).parameters if name not in ("out", "motions", "seed")]
    for name in sizes:
        if name not in known:
            what = suggest(name, known) if known else "it has no numbers to set"
            raise ConfigError(f"the demo library of {entry.qualified} has no {name!r}; {what}")


def _check_free(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out} is a file; name a folder for the library")
    held = sorted(path.name for path in out.iterdir())
    if held and not overwrite:
        raise DataError(f"{out} exists and is not empty; name another folder, or replace its motions with --overwrite")
    foreign = [name for name in held if name not in _LAYOUT]
    if foreign:
        raise DataError(
            f"{out} holds {foreign[0]!r}, which is no part of a motion library; move it away or name another folder"
        )


@contextmanager
def _made_beside(folder: Path) -> Iterator[Path]:
    """Give an empty folder on the same file system, removed afterwards unless it was renamed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    # Private by default; the library is as open as any folder its user makes.
    mask = os.umask(0)
    os.umask(mask)
    fresh.chmod(0o777 & ~mask)
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def _progress(tell: Callable[[str], None] | None) -> Iterator[None]:
    """Pass on what the framework logs meanwhile."""
    if tell is None:
        yield
        return
    handler = _Teller(tell)
    logger = logging.getLogger("grail_framework")
    before = logger.level
    logger.addHandler(handler)
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Teller(logging.Handler):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on a record's message."""
        self._tell(record.getMessage())


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grail_framework"
