"""The group `grail checkpoints`: its commands as import strings, imported when they are called."""

from __future__ import annotations

import importlib
from typing import Final

import click

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "list": ("grail_framework.cli.checkpoints.list:list_checkpoints", "List the release's bundles and your own checkpoints."),
    "download": ("grail_framework.cli.checkpoints.download:download", "Fetch the release's bundles."),
    "inspect": ("grail_framework.cli.checkpoints.inspect:inspect", "Show what a checkpoint holds, without executing it."),
    "convert": ("grail_framework.cli.checkpoints.convert:convert", "Write a checkpoint in the release's format or in ours."),
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
def checkpoints() -> None:
    """List, fetch, look into and convert checkpoints."""
