"""TensorBoard event files, written with tensorboard's own writer: torch is not needed for it."""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.logging.writer import WriterContext


def tensorboard_installed() -> bool:
    """Tell whether event files can be written."""
    return importlib.util.find_spec("tensorboard") is not None


class TensorboardWriter:
    """Writes one scalar per metric and iteration; on a resume the steps after the checkpoint are marked as void."""

    def __init__(self, context: WriterContext) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._events: Any = event_pb2
        self._summaries: Any = summary_pb2
        self._writer = EventFileWriter(str(context.directory))
        if context.start_iteration > 0:
            start = self._events.SessionLog(status=self._events.SessionLog.START)
            self._add(context.start_iteration + 1, session_log=start)

    def write(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Write an iteration's scalars."""
        values = [self._summaries.Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._add(iteration, summary=self._summaries.Summary(value=values))

    def _add(self, step: int, **content: Any) -> None:
        self._writer.add_event(self._events.Event(wall_time=time.time(), step=step, **content))

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()
