"""The program as a whole: help, lazy commands, exit codes, what is loaded."""

import subprocess
import sys

import click
import pytest

from grail_framework import __version__, hookimpl
from grail_framework.cli.data.group import COMMANDS as DATA_COMMANDS
from grail_framework.cli.data.group import data
from grail_framework.cli.main import COMMANDS, build_cli
from grail_framework.errors import RunStoppedError
from grail_framework.testing import HEAVY_MODULES

MODULE_PROBE = """
import sys
from grail_framework.cli.main import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def modules_after(*arguments):
    """Run `grail` in a process of its own, with all installed plugins, and return what it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", MODULE_PROBE, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def test_help_lists_every_command_and_loads_click_alone():
    loaded = modules_after("--help")
    assert not loaded & {*HEAVY_MODULES, "pluggy", "attrs", "attr", "rich", "importlib.metadata", "yaml", "json", "logging"}
    assert {name for name in loaded if name.startswith("grail_framework.")} <= {
        "grail_framework.cli",
        "grail_framework.cli.main",
        "grail_framework.cli.state",
        "grail_framework.errors",
    }


@pytest.mark.parametrize("command", [("plugins", "list"), ("plugins", "list", "--json"), ("tasks", "list"), ("terms", "list")])
def test_catalogue_commands_load_nothing_heavy(command):
    loaded = modules_after(*command)
    assert not loaded & {*HEAVY_MODULES, "rich", "yaml", "asyncio", "email.parser"}
    assert {"grail_hoi.plugin", "grail_rewards.plugin", "grail_terrain.plugin"} <= loaded


def test_help_text(grail_cli):
    done = grail_cli("--help")
    assert done.exit_code == 0
    assert all(f"  {name} " in done.output and summary in done.output for name, (_, summary) in COMMANDS.items())
    assert "grail plugins list --kind cli" in done.output


@pytest.mark.parametrize(("group", "table"), [(build_cli(), COMMANDS), (data, DATA_COMMANDS)])
def test_summaries_are_those_of_the_commands(group, table):
    with click.Context(group) as ctx:
        for name, (_, summary) in table.items():
            command = group.get_command(ctx, name)
            assert command is not None
            assert command.name == name
            assert command.get_short_help_str(limit=200).rstrip(".") == summary.rstrip(".")


def test_version(grail_cli):
    assert grail_cli("--version").output == f"grail, version {__version__}\n"


def test_unknown_command_suggests(grail_cli):
    done = grail_cli("plugin")
    assert done.exit_code == 2
    assert "no command 'plugin'; did you mean 'plugins'?" in done.stderr


def test_command_of_a_plugin(grail_cli, register_plugin):
    @hookimpl
    def grail_register_cli(registry):
        registry.add("greet", f"{__name__}:greet", summary="Say hello")

    assert register_plugin(grail_register_cli, name="polite").status.value == "active"
    assert grail_cli("greet", "--name", "G1").output == "hello G1\n"
    assert "did you mean 'greet'?" in grail_cli("gret").stderr
    assert "greet" in grail_cli("terms", "list", "--kind", "cli").output


@click.command()
@click.option("--name")
def greet(name):
    """Say hello."""
    click.echo(f"hello {name}")


@click.command()
def stopped():
    """Stop."""
    raise RunStoppedError("stopped, checkpoint saved")


def test_command_of_a_plugin_that_cannot_be_imported(grail_cli, register_plugin):
    @hookimpl
    def grail_register_cli(registry):
        registry.add("ghost", "no_such_module:command")

    register_plugin(grail_register_cli, name="haunted")
    done = grail_cli("ghost")
    assert done.exit_code == 3
    assert "cli 'haunted:ghost' cannot be loaded from 'no_such_module:command'" in done.stderr


def test_exit_code_is_that_of_the_error(grail_cli, register_plugin):
    @hookimpl
    def grail_register_cli(registry):
        registry.add("stopped", f"{__name__}:stopped")

    register_plugin(grail_register_cli, name="stopper")
    done = grail_cli("stopped")
    assert (done.exit_code, done.stderr) == (4, "Error: stopped, checkpoint saved\n")
    assert "Traceback" in grail_cli("stopped", env={"GRAIL_DEBUG": "1"}).stderr


def test_options_do_not_fit_a_given_manager(grail_cli):
    done = grail_cli("--no-plugin", "hoi", "tasks", "list")
    assert done.exit_code == 2
    assert "cannot change the plugin manager" in done.stderr
