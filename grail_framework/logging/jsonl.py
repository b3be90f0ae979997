"""`metrics.jsonl`: one JSON object per iteration, whole lines only."""

from __future__ import annotations

import json
import math
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.logging.writer import WriterContext

METRICS_FILE = "metrics.jsonl"


class JsonlWriter:
    """Appends `{"iteration": i, "time": unix seconds, name: value, ...}`; a number that is not finite becomes null.

    A line that could not be written whole is taken back, so that the file always parses.
    """

    def __init__(self, context: WriterContext) -> None:
        path = context.directory / METRICS_FILE
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115  (closed by close)
        self._whole = self._file.tell()

    def write(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Append a line.

        Raises:
            OSError: the disk is full or gone; the file is as it was.
        """
        finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        line = json.dumps({"iteration": iteration, "time": round(time.time(), 3), **finite}).encode() + b"\n"
        try:
            written = self._file.write(line)
        except OSError:
            os.ftruncate(self._file.fileno(), self._whole)
            raise
        if written != len(line):
            os.ftruncate(self._file.fileno(), self._whole)
            raise OSError(f"{self._file.name}: only {written} of {len(line)} bytes could be written; is the disk full?")
        self._whole += len(line)

    def close(self) -> None:
        """Bring the file to the disk and close it."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()
