"""The group `grail data`: its commands as import strings, imported when they are called."""

from __future__ import annotations

import importlib
from typing import Final

import click

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


class _LazyCommands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=_LazyCommands)
def data() -> None:
    """Check, prepare, import and make motion libraries."""
