"""`run.log`: what the framework logs, in the run directory."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOG_FILE = "run.log"
_FORMAT = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"


@contextmanager
def run_log(directory: Path, *, level: int = logging.INFO, logger: str = "grail_framework") -> Iterator[logging.Handler]:
    """Append records of `logger` to `<directory>/run.log` while entered."""
    handler = logging.FileHandler(directory / LOG_FILE, encoding="utf-8")
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter(_FORMAT))
    target = logging.getLogger(logger)
    before = target.level
    target.addHandler(handler)
    if target.getEffectiveLevel() > level:
        target.setLevel(level)
    try:
        yield handler
    finally:
        target.removeHandler(handler)
        target.setLevel(before)
        handler.close()
