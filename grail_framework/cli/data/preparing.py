"""What the commands that write libraries share: progress, the closing list, and option names in the release's spelling."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from grail_framework.errors import EXIT_RUN_FAILED

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState
    from grail_framework.motion.preparation.report import PrepareReport
    from grail_framework.motion.readers.protocol import MotionReader
    from grail_framework.robots.spec import RobotSpec

_EVERY: Final = 50
_MANY: Final = 20


def _dashes(name: str) -> str:
    return name.replace("_", "-")


RELEASE_SPELLING: Final[dict[str, Any]] = {"token_normalize_func": _dashes}
"""Context settings that accept --like_this wherever --like-this is an option."""


class ProgressLine:
    """Says on stderr how far a command is: one line that is rewritten on a terminal, every 50th file anywhere else."""

    def __init__(self, what: str, *, silent: bool = False) -> None:
        self._what = what
        self._silent = silent
        self._tty = sys.stderr.isatty()

    def __call__(self, done: int, total: int, key: str) -> None:
        """Report that `done` of `total` are through, the last being `key`."""
        if self._silent:
            return
        if self._tty:
            click.echo(f"\r\x1b[K{self._what} {done}/{total} {key}", err=True, nl=done == total)
        elif done % _EVERY == 0 or done == total:
            click.echo(f"{self._what} {done}/{total}", err=True)


def show_report(report: PrepareReport, *, as_json: bool) -> None:
    """Write what was done, and exit with 1 when something was left out unasked or does not fit together.

    Raises:
        click.exceptions.Exit: the report is not ok.
    """
    if as_json:
        document = {
            "out": str(report.out),
            "written": list(report.written),
            "skipped": [{"key": item.key, "reason": item.reason, "asked": item.asked} for item in report.skipped],
            "notes": [{"key": key, "note": note} for key, note in report.notes],
            "problems": list(report.problems),
            "remarks": list(report.remarks),
            "ok": report.ok,
        }
        click.echo(json.dumps(document, indent=2))
    else:
        _show_lines(report)
    if not report.ok:
        raise click.exceptions.Exit(EXIT_RUN_FAILED)


def load_robot(state: CliState, name: str) -> RobotSpec:
    """Build a registered robot.

    Raises:
        NotFoundError: no plugin provides it.
    """
    return state.manager.registry.find("robot", name).load()()


def load_readers(state: CliState) -> list[MotionReader]:
    """Make the registered motion readers."""
    return [entry.load()() for entry in state.manager.registry.entries("motion_reader")]


def _show_lines(report: PrepareReport) -> None:
    for key, note in report.notes[:_MANY]:
        click.echo(f"  {key}: {note}")
    if len(report.notes) > _MANY:
        click.echo(f"  ... and {len(report.notes) - _MANY} more notes; --json lists all")
    click.echo(f"written: {len(report.written)} to {report.out}")
    for line in report.remarks:
        click.echo(f"  {line}")
    if report.skipped:
        click.echo(f"skipped: {len(report.skipped)}")
        for item in report.skipped:
            click.echo(f"  SKIP {item.key}: {item.reason}")
    for problem in report.problems:
        click.echo(f"problem: {problem}", err=True)
