"""Which packed store stands in for a library's files: the library's own, or one in the user's cache, if it is as new as they are."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from grail_framework import __version__
from grail_framework.errors import DataError
from grail_framework.motion.store.format import STORE_FOLDER, StoreError, StoreKey, is_store
from grail_framework.motion.store.reading import PackedStore, open_store
from grail_framework.motion.store.sources import Listing, library_base, list_sources, reading_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_framework.config.scene import MotionCfg
    from grail_framework.motion.readers.protocol import MotionReader
    from grail_framework.robots.spec import RobotSpec

_log = logging.getLogger(__name__)
_SHOWN = 3


def named_store(cfg: MotionCfg) -> Path | None:
    """Return the folder given as library where it is itself a packed store."""
    folder = Path(cfg.data).expanduser() if cfg.data is not None and cfg.robot_dir is None else None
    return folder if folder is not None and is_store(folder) else None


def key_of(cfg: MotionCfg, robot: RobotSpec, reader: MotionReader) -> StoreKey:
    """Return the key a store must have to stand in for the files of a configuration."""
    return StoreKey.of(robot, fps=cfg.target_fps, reader=reader.name, options=reading_options(cfg))


def cache_folder(cfg: MotionCfg, key: StoreKey) -> Path:
    """Return where the user's cache keeps the store of a library."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    text = json.dumps([__version__, str(library_base(cfg).resolve()), key.to_plain()], sort_keys=True)
    return root / "grail_framework" / "packed" / hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def open_named_store(cfg: MotionCfg, folder: Path, robot: RobotSpec) -> PackedStore:
    """Open a store that was given as the library itself.

    Raises:
        StoreError: it is damaged, stale, or for another robot or rate.
    """
    store = open_store(folder)
    key = StoreKey.of(robot, fps=cfg.target_fps, reader="", options={})
    different = key.differences(store.key, ignore=("reader", "options"))
    if different:
        raise StoreError(f"packed store {folder} differs in {' and '.join(different)}; build one with `grail data pack`")
    changes = changes_since(store, cfg)
    if changes is None:
        _log.info("the library %s that %s was made from is not here: not compared", store.base, folder)
    elif changes:
        raise StoreError(
            f"packed store {folder} is stale: {shown(changes)}; build it again with `grail data pack`, or use {store.base}"
        )
    return store


def find_store(cfg: MotionCfg, robot: RobotSpec, reader: MotionReader) -> PackedStore | None:
    """Return the store that can stand in for the files of a configuration; what speaks against one is logged."""
    key = key_of(cfg, robot, reader)
    now: Listing | None = None
    for folder, own in ((library_base(cfg) / STORE_FOLDER, True), (cache_folder(cfg, key), False)):
        if not is_store(folder):
            continue
        try:
            store = open_store(folder)
        except StoreError as error:
            _log.warning("%s; the motion files are read instead", error)
            continue
        different = key.differences(store.key)
        if different:
            _log.info("packed store %s differs in %s: not used", folder, " and ".join(different))
            continue
        now = now or try_listing(cfg)
        if now is None:
            return None
        changes = store.sources.changes(now)
        if not changes:
            return store
        # A stale store of the library was made on purpose; one in the cache is simply made again.
        level = logging.WARNING if own else logging.INFO
        _log.log(level, "packed store %s is stale: %s; the motion files are read instead", folder, shown(changes))
    return None


def try_listing(cfg: MotionCfg) -> Listing | None:
    """List the files of a library; None, with a warning, where a folder cannot be read, so that no store can be compared."""
    try:
        return list_sources(cfg)
    except OSError as error:
        _log.warning("packed stores are not used, since the library's files cannot be listed: %s", error)
        return None


def changes_since(store: PackedStore, cfg: MotionCfg) -> list[str] | None:
    """Say in which files the library of a store has changed; None where it is not there any more."""
    options = store.key["options"]
    paths = {
        name: _absolute(options.get(name), store.base) for name in ("data", "robot_dir", "object_dir", "meta_dir", "bps_dir")
    }
    usd = _absolute(options.get("object_usd"), store.base)
    if not any(Path(path).exists() for path in (paths["data"], paths["robot_dir"]) if path):
        return None
    return store.sources.changes(list_sources(attrs.evolve(cfg, **paths, object_usd=usd)))


def shown(changes: Sequence[str]) -> str:
    """Return the first few changes as a clause."""
    more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    return ", ".join(changes[:_SHOWN]) + more


def find_reader(cfg: MotionCfg, readers: Sequence[MotionReader]) -> MotionReader:
    """Return the first reader that recognises a library.

    Raises:
        DataError: the folder does not exist, or no reader recognises it.
    """
    where = cfg.robot_dir or cfg.data
    if where is None:
        raise DataError("no motion library is given: name its folder with --data DIR")
    path = Path(where).expanduser()
    if not path.exists():
        raise DataError(f"motion library {path} does not exist; check --data")
    for reader in readers:
        if reader.detect(cfg):
            return reader
    known = "; ".join(f"{reader.name}: {reader.layout}" for reader in readers) or "none is registered"
    raise DataError(f"{path} is no motion library that a reader recognises. Readers: {known}")


def _absolute(value: Any, base: Path) -> Any:
    if value is None:
        return None
    return tuple(str(base / part) for part in value) if isinstance(value, list) else str(base / value)
