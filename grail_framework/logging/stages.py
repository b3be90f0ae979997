"""What a program is doing while it starts, told to whoever listens: a console line, a benchmark."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_listener: Final[ContextVar[Callable[[str], None] | None]] = ContextVar("stage_listener", default=None)


def stage(what: str) -> None:
    """Tell what begins now, in words; nothing happens where nobody listens."""
    listener = _listener.get()
    if listener is not None:
        listener(what)


@contextmanager
def listening(listener: Callable[[str], None] | None) -> Iterator[None]:
    """Hand every `stage` told within the context to the listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
