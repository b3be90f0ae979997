"""The group `grail data`: its commands as import strings, imported when they are called."""

from __future__ import annotations

from typing import Final

import click

from grail_framework.cli.lazy_commands import LazyCommands

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "check": ("grail_framework.cli.data.check:check", "Check every motion of a library."),
    "info": ("grail_framework.cli.data.info:info", "Show what a library holds."),
    "process": ("grail_framework.cli.data.process:process", "Make a retargeted library ready for training."),
    "bps": ("grail_framework.cli.data.bps:bps", "Compute the basis point sets of the objects."),
    "import": ("grail_framework.cli.data.import_clips:import_clips", "Turn npz and CSV clips into a library."),
    "pack": ("grail_framework.cli.data.pack:pack", "Build the packed store that loads in an instant."),
    "demo": ("grail_framework.cli.data.demo:demo", "Make a demonstration library for a task."),
}
"""Name -> (import target, one line for --help)."""


@click.group(cls=LazyCommands, table=COMMANDS)
def data() -> None:
    """Check, prepare, import and make motion libraries."""
