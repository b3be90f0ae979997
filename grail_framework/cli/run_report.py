"""What `grail run` and `grail demo` say when they are done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from grail_framework.cli.render import Row, show_table

if TYPE_CHECKING:
    from grail_framework.evaluation.score import Evaluation
    from grail_framework.runs.summary import RunSummary


class StageLine:
    """Says on stderr what a run is doing before its first iteration, with the seconds since it was made."""

    def __init__(self, *, silent: bool = False) -> None:
        self._began = time.perf_counter()
        self._silent = silent

    def __call__(self, what: str) -> None:
        """Write one line."""
        if not self._silent:
            click.echo(f"[{time.perf_counter() - self._began:5.1f} s] {what}", err=True)


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
