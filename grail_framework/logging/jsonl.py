"""`metrics.jsonl`: one JSON object per iteration, whole lines only."""

from __future__ import annotations

import json
import logging
import math
import time
from typing import TYPE_CHECKING

from grail_framework.logging.append import AppendedFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.logging.writer import WriterContext

METRICS_FILE = "metrics.jsonl"
_log = logging.getLogger(__name__)


class JsonlWriter:
    """Appends `{"iteration": i, "time": unix seconds, name: value, ...}`; a number that is not finite becomes null.

    Lines are written whole. Those that a full or read-only disk does not take wait in memory and follow, in order, as soon as it does;
    a process that ends before takes them with it.
    """

    def __init__(self, context: WriterContext) -> None:
        self._file = AppendedFile(context.directory / METRICS_FILE)

    def write(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Append a line.

        Raises:
            OSError: the disk is full, read-only or gone; the line waits for the next call.
        """
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        line = json.dumps({"iteration": iteration, "time": round(time.time(), 3), **finite}).encode() + b"\n"
        self._file.append(line)
        if self._file.lost:
            _log.warning("%s: %d lines are lost; too many waited for the disk", self._file.path, self._file.lost)
            self._file.lost = 0

    def close(self) -> None:
        """Bring the file to the disk and close it.

        Raises:
            OSError: the disk does not take what waits; the message says how many lines are lost.
        """
        self._file.close()
