"""Motions for a run that names none: the task's demo library, made once and kept in the user's cache."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from grail_framework import __version__

if TYPE_CHECKING:
    from grail_framework.config import RunCfg
    from grail_framework.registry import Registry

_log = logging.getLogger(__name__)


def with_demo_library(cfg: RunCfg, registry: Registry) -> RunCfg:
    """Return the configuration with the task's demo library as data where it names no motions.

    Raises:
        NotFoundError: the task has no demo library.
    """
    if cfg.motion.data is not None or cfg.motion.robot_dir is not None:
        return cfg
    owner, _, task = cfg.task.rpartition(":")
    entry = registry.find("demo_library", f"{owner}:{task}" if owner else task)
    folder = _cache() / "demo" / f"{entry.plugin}_{entry.name}-{__version__}"
    if not folder.is_dir():
        _log.info("no motions are named: making the demo library of %s in %s", entry.qualified, folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
        try:
            entry.load()(fresh)
            # Renamed when it is whole; another process that was faster made the same one.
            if not folder.is_dir():
                fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return attrs.evolve(cfg, motion=attrs.evolve(cfg.motion, data=str(folder)))


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grail_framework"
