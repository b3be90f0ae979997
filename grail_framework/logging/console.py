"""The run console: a live panel on a terminal, else one plain line per iteration. The only user of rich beside the command line."""

from __future__ import annotations

import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from grail_framework.logging.writer import Writer, WriterContext

_HEADLINE = (
    ("perf/samples_per_second", "samples/s", "{:,.0f}"),
    ("eval/tracked_fraction", "tracked fraction", "{:.3f}"),
    ("train/mean_reward", "reward/step", "{:.4f}"),
    ("episode/reward", "episode reward", "{:.3f}"),
    ("episode/length", "episode length", "{:.1f}"),
    ("policy/kl", "kl", "{:.4f}"),
    ("policy/learning_rate", "lr", "{:.2e}"),
)
_SPLIT = ("engine", "environment", "inference", "learning")
"""Parts of an iteration, `perf/<part>_time` each; the rest is waiting and bookkeeping."""
_EVALUATION = "eval/"
"""Metrics of this group are measured now and then; the last ones stay shown."""
_COLUMNS = (("reward", "curriculum"), ("termination", "env", "metric", "eval"))
"""Groups of metrics in the left and middle column of the panel; the right one has the others."""


def format_duration(seconds: float) -> str:
    """Write a duration as `[d-]hh:mm:ss`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours:02d}:{minutes:02d}:{rest:02d}"
    return f"{days}-{clock}" if days else clock


class _Progress:
    """How far the run is and when it will be done, from the iterations this process made."""

    def __init__(self, context: WriterContext) -> None:
        self.total = context.total_iterations
        self._start = context.start_iteration
        self._budget = math.inf if context.time_budget_s is None else context.time_budget_s
        self._began = time.perf_counter()

    def elapsed(self) -> float:
        return time.perf_counter() - self._began

    def remaining(self, iteration: int) -> float:
        done = max(iteration - self._start, 1)
        return min(self.elapsed() / done * max(self.total - iteration, 0), max(self._budget - self.elapsed(), 0.0))


def time_split(metrics: Mapping[str, float]) -> str:
    """Say which share of an iteration each part took; empty where it was not measured."""
    whole = metrics.get("perf/iteration_time", 0.0)
    shares = [(part, metrics[f"perf/{part}_time"] / whole) for part in _SPLIT if whole and f"perf/{part}_time" in metrics]
    return ", ".join(f"{part} {share:.0%}" for part, share in shares)


class PlainConsole:
    """Prints one line per iteration."""

    def __init__(self, context: WriterContext, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._progress = _Progress(context)

    def write(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Print an iteration's line."""
        split = time_split(metrics)
        parts = [f"iteration {iteration}/{self._progress.total}"]
        for name, label, form in _HEADLINE:
            if name in metrics:
                parts.append(f"{label} {form.format(metrics[name])}")
                parts += [f"({split})"] if split and name == "perf/samples_per_second" else []
        parts.append(f"eta {format_duration(self._progress.remaining(iteration))}")
        print("  ".join(parts), file=self._stream, flush=True)

    def close(self) -> None:
        """Leave the stream open: it is not ours."""


class LiveConsole:
    """Redraws a panel: progress and speed above, reward terms, terminations and everything else in columns."""

    def __init__(self, context: WriterContext, console: Console | None = None) -> None:
        from rich.console import Console as RichConsole
        from rich.live import Live

        self._title = context.run_name
        self._progress = _Progress(context)
        self._evaluated = {name: value for name, value in context.known.items() if name.startswith(_EVALUATION)}
        self._live = Live(console=console or RichConsole(), auto_refresh=False, transient=False, vertical_overflow="crop")
        self._live.start()

    def write(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Redraw with an iteration's metrics."""
        self._evaluated |= {name: value for name, value in metrics.items() if name.startswith(_EVALUATION)}
        self._live.update(self._panel(iteration, {**metrics, **self._evaluated}), refresh=True)

    def close(self) -> None:
        """Leave the last panel on the terminal."""
        self._live.stop()

    def _panel(self, iteration: int, metrics: Mapping[str, float]) -> Any:
        from rich.console import Group
        from rich.panel import Panel
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        progress = self._progress
        head = Text(
            f"iteration {iteration}/{progress.total}   elapsed {format_duration(progress.elapsed())}   "
            f"eta {format_duration(progress.remaining(iteration))}"
        )
        speed = Text("   ".join(filter(None, (_labelled(metrics, _HEADLINE[0]), time_split(metrics)))))
        tracked = Text(_labelled(metrics, _HEADLINE[1]), style="bold")
        bar = Table.grid(expand=True)  # alone the bar would not end its line where there is no colour
        bar.add_row(ProgressBar(total=max(progress.total, 1), completed=iteration))
        columns = Table.grid(padding=(0, 3))
        left, middle, right = _columns(metrics)
        columns.add_row(_table(left), _table(middle), _table(right))
        return Panel(Group(head, bar, speed, tracked, columns), title=Text(self._title))


def _labelled(metrics: Mapping[str, float], line: tuple[str, str, str]) -> str:
    name, label, form = line
    return f"{label} {form.format(metrics[name])}" if name in metrics else ""


def _columns(metrics: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Split metrics by the part of their name before the first slash."""
    left, middle, right = {}, {}, {}
    for name, value in metrics.items():
        group = name.partition("/")[0]
        column = left if group in _COLUMNS[0] else middle if group in _COLUMNS[1] else right
        column[name] = value
    return left, middle, right


def _table(metrics: Mapping[str, float]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    formats = {name: form for name, _, form in _HEADLINE}
    group_before = None
    for name, value in sorted(metrics.items(), key=lambda item: item[0].rpartition("/")[0]):
        group, _, rest = name.rpartition("/")
        if group != group_before:
            table.add_row(Text(group, style="bold"))
        table.add_row(Text(f"  {rest}"), Text(formats.get(name, "{:.5g}").format(value)))
        group_before = group
    return table


def make_console(context: WriterContext) -> Writer:
    """Build the console that `LoggingCfg.console` asks for; `auto` is live on a terminal that can be redrawn, else plain."""
    mode = context.logging.console
    if mode == "auto":
        mode = "live" if sys.stdout.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown") else "plain"
    return LiveConsole(context) if mode == "live" else PlainConsole(context)
