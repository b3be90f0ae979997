"""The group `grail checkpoints`: its commands as import strings, imported when they are called."""

from __future__ import annotations

from typing import Final

import click

from grail_framework.cli.lazy_commands import LazyCommands

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "list": ("grail_framework.cli.checkpoints.list:list_checkpoints", "List the release's bundles and your own checkpoints."),
    "download": ("grail_framework.cli.checkpoints.download:download", "Fetch the release's bundles."),
    "inspect": ("grail_framework.cli.checkpoints.inspect:inspect", "Show what a checkpoint holds, without executing it."),
    "convert": ("grail_framework.cli.checkpoints.convert:convert", "Write a checkpoint in the release's format or in ours."),
}
"""Name -> (import target, one line for --help)."""


@click.group(cls=LazyCommands, table=COMMANDS)
def checkpoints() -> None:
    """List, fetch, look into and convert checkpoints."""
