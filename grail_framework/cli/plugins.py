"""`grail plugins`: what is installed, what became of it, what it provides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from grail_framework.errors import EXIT_PLUGIN, suggest
from grail_framework.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grail_framework.cli.state import CliState
    from grail_framework.plugins.manager import GrailPluginManager
    from grail_framework.plugins.records import PluginRecord


@click.group()
def plugins() -> None:
    """List, show, check and create plugins."""


@plugins.command("list")
@click.option("--all", "show_all", is_flag=True, help="Show the framework's own plugin too.")
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option("--format", "form", type=click.Choice(["table", "json", "requirements"]), default="table", show_default=True)
@click.option("--kind", type=click.Choice(KINDS), metavar="KIND", help=f"Only plugins that provide one of: {', '.join(KINDS)}.")
@click.option("--hook", metavar="NAME", help="Only plugins that implement this hook.")
@click.option("--no-load", is_flag=True, help="Read metadata only, import no plugin.")
@click.option("--strict", is_flag=True, help="Exit with 3 when a plugin does not load or a name has several owners.")
@click.pass_obj
def list_plugins(
    state: CliState, show_all: bool, as_json: bool, form: str, kind: str | None, hook: str | None, no_load: bool, strict: bool
) -> None:
    """List plugins, with status and what they provide."""
    if no_load and (kind or hook):
        raise click.UsageError("--kind and --hook need the plugins loaded; leave out --no-load")
    manager = state.unloaded
    records = manager.discover() if no_load else state.catalogue.records
    if hook is not None:
        _check_hook(manager, hook)
    chosen = [
        record
        for record in records
        if (show_all or record.source != "builtin")
        and (kind is None or kind in record.provides)
        and (hook is None or hook in record.hooks)
    ]
    _write(manager, chosen, "json" if as_json else form)
    if (strict or state.strict) and (manager.problems() or manager.registry.clashes()):
        raise click.exceptions.Exit(EXIT_PLUGIN)


@plugins.command()
@click.argument("name")
@click.pass_obj
def show(state: CliState, name: str) -> None:
    """Show all that is known of the plugin or distribution NAME."""
    from grail_framework.cli.plugin_report import describe

    for record in _find(state.catalogue, name):
        click.echo(describe(record, state.catalogue.registry.entries_of(record.name)))


@plugins.command()
@click.argument("name", required=False)
@click.pass_obj
def check(state: CliState, name: str | None) -> None:
    """Import everything the plugin NAME registers (default: all but the framework's own) and exit with 3 when something is wrong."""
    from grail_framework.cli.plugin_check import check_plugin

    manager = state.catalogue
    records = _find(manager, name) if name else [record for record in manager.records if record.source != "builtin"]
    failed = 0
    for record in records:
        faults = check_plugin(record, manager.registry)
        failed += bool(faults)
        click.echo(f"{'FAILED' if faults else 'ok':6}  {record.name}")
        for fault in faults:
            click.echo(f"        {fault}")
    if failed:
        raise click.exceptions.Exit(EXIT_PLUGIN)


@plugins.command()
@click.argument("name")
@click.option(
    "--dir", "parent", type=click.Path(file_okay=False), default=".", show_default=True, help="Where to put the folder."
)
@click.pass_obj
def new(state: CliState, name: str, parent: str) -> None:
    """Create the package grail-NAME: a reward, a task, tests."""
    from pathlib import Path

    from grail_framework.cli.scaffold import create_plugin

    folder = create_plugin(name, Path(parent), taken=[record.name for record in state.unloaded.discover()])
    click.echo(f"created {folder}")
    click.echo(f"next: pip install -e {folder} && pytest {folder} && grail plugins check {name}")


def _write(manager: GrailPluginManager, records: list[PluginRecord], form: str) -> None:
    from grail_framework.cli import plugin_report

    if form == "json":
        click.echo(plugin_report.as_json(manager, records))
    elif form == "requirements":
        for line in plugin_report.as_requirements(records):
            click.echo(line)
    else:
        from grail_framework.cli.render import show_table

        show_table(plugin_report.COLUMNS, plugin_report.as_rows(records))
        click.echo()
        for line in plugin_report.footer(manager, records):
            click.echo(line)


def _check_hook(manager: GrailPluginManager, hook: str) -> None:
    names: Iterable[str] = manager.hook_names()
    if hook not in names:
        raise click.UsageError(f"no hook {hook!r}; {suggest(hook, names)}")


def _find(manager: GrailPluginManager, name: str) -> list[PluginRecord]:
    found = manager.find_records(name)
    if not found:
        known = [record.name for record in manager.records]
        raise click.UsageError(f"no plugin or distribution {name!r}; {suggest(name, known)}")
    return found
