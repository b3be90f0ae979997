"""What a writer of metrics is, what it is built from, and how one that fails is kept from stopping a run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from grail_framework.config import LoggingCfg

_log = logging.getLogger(__name__)


class Writer(Protocol):
    """Takes the metrics of each iteration; built on the main process only, and torch-free."""

    def write(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Take the metrics of the iteration that ended as the `iteration`-th, counted from 1."""
        ...

    def close(self) -> None:
        """Flush and release everything."""
        ...


@attrs.frozen(kw_only=True)
class WriterContext:
    """What a writer is built from: `factory(context) -> Writer` is what the registry kind `writer` names."""

    directory: Path
    """The run directory."""
    run_name: str
    """Last part of the run directory."""
    project: str
    """The run's project."""
    logging: LoggingCfg
    """The run's logging section."""
    config: dict[str, Any] = attrs.field(factory=dict)
    """The resolved configuration, as plain values."""
    total_iterations: int
    """Where training ends. [iterations]"""
    start_iteration: int = 0
    """Iterations already done; above 0 the run continues one that may have logged later ones. [iterations]"""
    time_budget_s: float | None = None
    """Training ends when this is over, where that is earlier; None: only `total_iterations` says. [s]"""
    known: dict[str, float] = attrs.field(factory=dict)
    """Metrics measured before the first iteration, as the evaluation of the policy the run starts with."""


class MultiWriter:
    """Passes everything on to several writers; what one of them raises is logged once per spell and reaches neither run nor others."""

    def __init__(self, writers: Mapping[str, Writer]) -> None:
        self._writers = dict(writers)
        self._failing: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the writers, in order."""
        return tuple(self._writers)

    def write(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Pass on the metrics of an iteration."""
        for name, writer in self._writers.items():
            try:
                writer.write(iteration, metrics)
            except Exception as error:
                if name not in self._failing:
                    self._failing.add(name)
                    _log.error(
                        "writer %r failed (%s: %s); training goes on, and it is tried again every iteration",
                        name,
                        type(error).__name__,
                        error,
                    )
            else:
                if name in self._failing:
                    self._failing.discard(name)
                    _log.warning("writer %r works again", name)

    def close(self) -> None:
        """Close all writers."""
        for name, writer in self._writers.items():
            try:
                writer.close()
            except Exception as error:
                _log.error("writer %r was not closed in order (%s: %s)", name, type(error).__name__, error)


def build_writers(context: WriterContext, extra: Iterable[tuple[str, Callable[[WriterContext], Writer]]] = ()) -> MultiWriter:
    """Build the writers the configuration asks for, jsonl always; `extra` are (name, factory) of `LoggingCfg.writers`.

    A writer that cannot be built is left out with an error in the log.
    """
    writers: dict[str, Writer] = {}
    for name, factory in [*_built_in(context.logging), *extra]:
        try:
            writers[name] = factory(context)
        except Exception as error:
            _log.error("writer %r is left out: %s: %s", name, type(error).__name__, error)
    return MultiWriter(writers)


def _built_in(cfg: LoggingCfg) -> Sequence[tuple[str, Callable[[WriterContext], Writer]]]:
    from grail_framework.logging.console import make_console
    from grail_framework.logging.jsonl import JsonlWriter
    from grail_framework.logging.tensorboard import TensorboardWriter, tensorboard_installed
    from grail_framework.logging.wandb import WandbWriter

    chosen: list[tuple[str, Callable[[WriterContext], Writer]]] = [("jsonl", JsonlWriter)]
    if cfg.tensorboard and tensorboard_installed():
        chosen.append(("tensorboard", TensorboardWriter))
    elif cfg.tensorboard:
        _log.info(
            "tensorboard is not installed: no event files (install the extra `tensorboard`, or logging.tensorboard=false)"
        )
    if cfg.wandb:
        chosen.append(("wandb", WandbWriter))
    if cfg.console != "off":
        chosen.append(("console", make_console))
    return chosen
