"""What `grail run` and `grail demo` say when they are done."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Final

import attrs
import click

from grail_framework.cli.render import Row, show_table
from grail_framework.logging.stages import WORTH_TELLING

if TYPE_CHECKING:
    from typing import Self

    from grail_framework.evaluation.score import Evaluation
    from grail_framework.runs.summary import RunSummary


_TICK: Final = 0.5
"""How often the seconds on a terminal move on. [s]"""
_REMIND: Final = 15.0
"""How often a stage that takes long says how far it is, where there is no terminal. [s]"""
_INDENT: Final = " " * 12


class StageLine:
    """Says on stderr what a run is doing before its first iteration, with the seconds since it was made.

    As a context it also shows, on a terminal, how long the present stage has taken; elsewhere it says so now and then where a stage
    counts its parts.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._began = time.perf_counter()
        self._silent = silent
        self._terminal = not silent and sys.stderr.isatty()
        self._stage = _Stage(what="", began=self._began)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._clock: threading.Thread | None = None

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        """Hear of a stage, or of how many parts of the present one are done; an empty one ends the last."""
        if self._silent:
            return
        with self._lock:
            if what != self._stage.what:
                self._end()
                self._stage = _Stage(what=what, began=time.perf_counter())
                if what:
                    click.echo(f"[{self._stage.began - self._began:5.1f} s] {what}", err=True)
            elif total:
                self._stage.done, self._stage.total = done, total
                self._remind()

    def __enter__(self) -> Self:
        if self._terminal:
            self._clock = threading.Thread(target=self._tick, name="stage clock", daemon=True)
            self._clock.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        if self._clock is not None:
            self._clock.join()
        self("")

    def _tick(self) -> None:
        while not self._over.wait(_TICK):
            with self._lock:
                stage = self._stage
                if stage.what and stage.seconds >= WORTH_TELLING:
                    # The cursor stays at the line's start: whoever writes next writes over it.
                    click.echo(f"\r\x1b[K{_INDENT}{stage.progress}\r", nl=False, err=True)
                    stage.drawn = True

    def _remind(self) -> None:
        """Say how far a stage is that takes long, where there is no terminal to show it on."""
        stage = self._stage
        if not self._terminal and stage.seconds >= stage.remind_at:
            stage.remind_at = stage.seconds + _REMIND
            click.echo(f"{_INDENT}{stage.progress}", err=True)

    def _end(self) -> None:
        stage = self._stage
        if stage.drawn:
            click.echo("\r\x1b[K", nl=False, err=True)
        if stage.what and stage.seconds >= WORTH_TELLING:
            click.echo(f"{_INDENT}took {stage.seconds:.1f} s", err=True)


@attrs.define(kw_only=True)
class _Stage:
    """What is told about the present stage."""

    what: str
    began: float
    done: int = 0
    total: int = 0
    remind_at: float = _REMIND
    drawn: bool = False

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    @property
    def progress(self) -> str:
        parts = f"{self.done} of {self.total}, " if self.total else ""
        return f"{parts}{self.seconds:.0f} s"


def show_summary(summary: RunSummary) -> None:
    """Write what was trained and what came of it to stdout."""
    rows = [
        Row(("task", summary.task)),
        Row(("plugins", ", ".join(summary.plugins))),
        Row(("engine", summary.engine)),
        Row(("environments", f"{summary.num_envs} on {summary.num_motions} motions")),
        Row(("iterations", str(summary.iterations))),
        Row(("samples/s", f"{summary.samples_per_second:,.0f}")),
        Row(("training time", f"{summary.duration_s:.0f} s")),
    ]
    show_table(("trained", ""), rows)
    evaluations = (("zero action", summary.zero_action), ("at the start", summary.at_start), ("at the end", summary.at_end))
    shown = [_evaluation(name, result) for name, result in evaluations if result is not None]
    if shown:
        click.echo()
        show_table(("deterministic policy, from frame 0", "tracked fraction", "mean reward", "object error", "ended by"), shown)
    click.echo(f"\nrun directory: {summary.run_dir}")


def _evaluation(name: str, result: Evaluation) -> Row:
    error = result.mean("obj_pos_error")
    shown = "-" if error is None else f"{error:.3f} m"
    ended = ", ".join(f"{cause} {count}" for cause, count in result.causes.items())
    return Row((name, f"{result.tracked_fraction:.3f}", f"{result.mean_reward:.4f}", shown, ended))
