"""A wish to stop, taken from SIGTERM and SIGINT."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_log = logging.getLogger(__name__)


class StopRequest:
    """While entered, the first SIGTERM or SIGINT sets `requested`; a second one acts as it did before.

    Python delivers signals to the main thread alone; entered in another thread it takes none and `requested` can be set by hand.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._restore()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        self._restore()
        _log.warning(
            "%s received: finishing this iteration, then saving; once more to stop at once", signal.Signals(number).name
        )

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
