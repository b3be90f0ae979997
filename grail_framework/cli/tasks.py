"""`grail tasks`: what can be trained, and with which values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState
    from grail_framework.registry import Entry


@click.group()
def tasks() -> None:
    """List tasks, show the values of one."""


@tasks.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_obj
def list_tasks(state: CliState, as_json: bool) -> None:
    """List tasks and the plugins that own them."""
    from grail_framework.cli.catalogue import show_entries

    registry = state.manager.registry
    show_entries(registry, registry.entries("task"), as_json=as_json)


@tasks.command()
@click.argument("name")
@click.pass_obj
def show(state: CliState, name: str) -> None:
    """Print every value of the task NAME, with unit and meaning."""
    from grail_framework.cli.cfg_report import describe_cfg

    registry = state.manager.registry
    entry = registry.find("task", name)
    click.echo(f"# {entry.qualified}: {entry.summary}" if entry.summary else f"# {entry.qualified}")
    for line in describe_cfg(_build(entry), registry):
        click.echo(line)


def _build(entry: Entry) -> object:
    from grail_framework.config import RunCfg
    from grail_framework.errors import GrailError, PluginLoadError

    build = entry.load()
    try:
        cfg = build()
    except GrailError:
        raise
    except Exception as error:
        raise PluginLoadError(
            f"task {entry.qualified!r}: building it raised {type(error).__name__}: {error}. "
            f"See `grail plugins show {entry.plugin}`."
        ) from error
    if not isinstance(cfg, RunCfg):
        raise PluginLoadError(f"task {entry.qualified!r}: {entry.target} returned {type(cfg).__name__}, allowed: RunCfg")
    return cfg
