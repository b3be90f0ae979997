"""Lists of registered things."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from grail_framework.cli.render import Row, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_framework.registry import Entry, Registry


def show_entries(registry: Registry, entries: Sequence[Entry], *, as_json: bool) -> None:
    """Write entries as a table or as JSON; a name with several owners is written qualified."""
    clashes = registry.clashes()
    names = [entry.qualified if (entry.kind, entry.name) in clashes else entry.name for entry in entries]
    if as_json:
        import json

        keys = ("kind", "name", "plugin", "target", "summary")
        listed = [{key: getattr(entry, key) for key in keys} for entry in entries]
        click.echo(json.dumps({"schema_version": 1, "entries": listed}, indent=2, ensure_ascii=False))
        return
    if not entries:
        click.echo("nothing is registered; see `grail plugins list`")
        return
    rows = [
        Row((entry.kind, name, entry.plugin, entry.target, entry.summary)) for entry, name in zip(entries, names, strict=True)
    ]
    show_table(("Kind", "Name", "Plugin", "Target", "Summary"), rows)
