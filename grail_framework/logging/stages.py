"""What a program is doing while it starts, told to whoever listens: a console line, a log, a benchmark."""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol

import attrs

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

WORTH_TELLING: Final = 1.0
"""A stage that took less needs no word about how long. [s]"""


class StageListener(Protocol):
    """Told what begins, in words, and again how many parts of it are done; an empty stage ends the last one."""

    def __call__(self, what: str, done: int = 0, total: int = 0, /) -> None:
        """Hear of a stage."""
        ...


@attrs.define
class _Told:
    """Who listens, and what was said last."""

    listener: StageListener
    what: str = ""


_told: Final[ContextVar[_Told | None]] = ContextVar("stages", default=None)


def stage(what: str) -> None:
    """Tell what begins now, in words; nothing happens where nobody listens."""
    told = _told.get()
    if told is not None:
        told.what = what
        told.listener(what)


def count(done: int, total: int) -> None:
    """Tell how many parts of the present stage are done."""
    told = _told.get()
    if told is not None:
        told.listener(told.what, done, total)


@contextmanager
def listening(listener: StageListener | None) -> Iterator[None]:
    """Hand every `stage` told within the context to the listener."""
    token = _told.set(None if listener is None else _Told(listener))
    try:
        yield
    finally:
        _told.reset(token)


class StageLog:
    """Writes stages to a log, and how long those took that were worth telling; passes them on."""

    def __init__(self, log: logging.Logger, listener: StageListener | None = None) -> None:
        self._log = log
        self._listener = listener
        self._what = ""
        self._began = 0.0

    def __call__(self, what: str, done: int = 0, total: int = 0, /) -> None:
        """Hear of a stage."""
        if what != self._what:
            took = time.perf_counter() - self._began
            if self._what and took >= WORTH_TELLING:
                self._log.info("%s took %.1f s", self._what, took)
            if what:
                self._log.info("%s", what)
            self._what, self._began = what, time.perf_counter()
        if self._listener is not None:
            self._listener(what, done, total)
