"""What the commands that write libraries share: progress, the closing list, and option names in the release's spelling."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from grail_framework.errors import EXIT_RUN_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


_GRASP: Final = (
    click.option(
        "--lift-threshold",
        type=click.FloatRange(min=0.0),
        default=0.02,
        show_default=True,
        metavar="M",
        help="Rise above the first height that counts as lifted, in metres.",
    ),
    click.option(
        "--grasp-anticipation-frames",
        type=click.IntRange(min=0),
        default=10,
        show_default=True,
        metavar="N",
        help="Frames of the source by which a hand closes before the grasp.",
    ),
)
_WRITING: Final = (
    click.option(
        "--on-bad-clip",
        type=click.Choice(["stop", "skip"]),
        default="stop",
        show_default=True,
        help="Stop at a motion that cannot be used, or leave it out, report it and exit with 1.",
    ),
    click.option(
        "--overwrite", is_flag=True, help="Write into an OUT that is not empty; files of the same names are replaced."
    ),
    click.option("--robot", default="g1_43dof", show_default=True, metavar="NAME", help="The robot the motions are of."),
    click.option("--json", "as_json", is_flag=True, help="Write the outcome as JSON."),
)


def grasp_options[Command: Callable[..., Any]](command: Command) -> Command:
    """Add the options that say when an object counts as lifted and how early a hand closes."""
    return with_options(_GRASP, command)


def writing_options[Command: Callable[..., Any]](command: Command) -> Command:
    """Add the options of every command that writes a library: bad motions, an OUT that is there, the robot, the report."""
    return with_options(_WRITING, command)


def with_options[Command: Callable[..., Any]](options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    """Add options to a command, so that its help lists them in this order."""
    for option in reversed(options):
        command = option(command)
    return command


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
