"""TensorBoard event files, written with tensorboard's own records: torch is not needed for it."""

from __future__ import annotations

import importlib.util
import io
import itertools
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from grail_framework.logging.append import AppendedFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.logging.writer import WriterContext

_opened = itertools.count()
"""Tells apart the event files that a process opens within a second."""


def tensorboard_installed() -> bool:
    """Tell whether event files can be written."""
    return importlib.util.find_spec("tensorboard") is not None


class TensorboardWriter:
    """Writes one scalar per metric and iteration; on a resume the steps after the checkpoint are marked as void.

    Events are written as they come, not by tensorboard's background thread, which the first error of the disk would end.
    """

    def __init__(self, context: WriterContext) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._events: Any = event_pb2
        self._summaries: Any = summary_pb2
        self._record_writer: Any = RecordWriter
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_opened)}"
        self._file = AppendedFile(context.directory / name)
        self._first: list[dict[str, Any]] = [{"file_version": "brain.Event:2"}]
        if context.start_iteration > 0:
            start = self._events.SessionLog(status=self._events.SessionLog.START)
            self._first.append({"step": context.start_iteration + 1, "session_log": start})

    def write(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Write an iteration's scalars.

        Raises:
            OSError: the disk is full, read-only or gone; they wait for the next call.
        """
        values = [self._summaries.Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        buffer = io.BytesIO()
        records = self._record_writer(buffer)
        for content in (*self._first, {"step": iteration, "summary": self._summaries.Summary(value=values)}):
            records.write(self._events.Event(wall_time=time.time(), **content).SerializeToString())
        self._first = []
        self._file.append(buffer.getvalue())

    def close(self) -> None:
        """Bring the event file to the disk and close it.

        Raises:
            OSError: the disk does not take what waits.
        """
        self._file.close()
