"""`grail data demo`: make a library of demonstration motions for a task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState


@click.command(short_help="Make a demonstration library for a task.")
@click.option("--task", required=True, help="Task whose library to make; the task itself need not be installed.")
@click.option("--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder to make.")
@click.option("--motions", type=click.IntRange(min=1), metavar="N", help="How many.  [default: the library's own number]")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Varies all but what is always the same."
)
@click.option(
    "--set",
    "sizes",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Fix a number that the library draws otherwise, as step_height=0.12 of terrain_tracking; may be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Replace DIR if it exists and is not empty.")
@click.pass_obj
def demo(
    state: CliState, task: str, out: Path, motions: int | None, seed: int, sizes: tuple[str, ...], overwrite: bool
) -> None:
    """Make motions for a task by inverse kinematics and write them in the GRAIL layout.

    The same task, number, seed and sizes give the same files.
    """
    entry = state.manager.registry.find("demo_library", task)

    from grail_framework.runs.demo_library import make_library

    made = make_library(
        entry,
        out,
        motions=motions,
        seed=seed,
        sizes=dict(map(_size, sizes)),
        overwrite=overwrite,
        on_progress=click.echo,
    )
    click.echo(f"{made} {'motion' if made == 1 else 'motions'} of {entry.qualified} in {out}")


def _size(text: str) -> tuple[str, float]:
    """Split `NAME=NUMBER`."""
    name, _, number = text.partition("=")
    try:
        return name, int(number) if number.lstrip("-").isdecimal() else float(number)
    except ValueError:
        raise click.BadParameter(f"got {text!r}, allowed: NAME=NUMBER, as in step_height=0.12", param_hint="--set") from None
