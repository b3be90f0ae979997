"""`grail terms`: everything plugins provide, by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from grail_framework.registry import KINDS

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState


@click.group()
def terms() -> None:
    """List observations, rewards and all else that plugins provide."""


@terms.command("list")
@click.option("--kind", type=click.Choice(KINDS), metavar="KIND", help=f"One of: {', '.join(KINDS)}.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_obj
def list_terms(state: CliState, kind: str | None, as_json: bool) -> None:
    """List names that a configuration can use."""
    from grail_framework.cli.catalogue import show_entries

    registry = state.manager.registry
    entries = registry.entries(kind) if kind else list(registry)
    show_entries(registry, entries, as_json=as_json)
