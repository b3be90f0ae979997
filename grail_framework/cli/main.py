"""The program `grail`: global options, the table of commands, exit codes. Importing it loads click and nothing else."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, Final

import click

from grail_framework import __version__
from grail_framework.cli.state import CliState

if TYPE_CHECKING:
    from grail_framework.errors import GrailError
    from grail_framework.plugins.manager import GrailPluginManager

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "run": ("grail_framework.cli.run:run", "Train a task."),
    "eval": ("grail_framework.cli.eval:evaluate", "Measure how well a checkpoint follows motions."),
    "demo": ("grail_framework.cli.demo:demo", "Train for about a minute on a motion of its own."),
    "data": ("grail_framework.cli.data.group:data", "Check, prepare, import and make motion libraries."),
    "checkpoints": ("grail_framework.cli.checkpoints.group:checkpoints", "List, fetch, look into and convert checkpoints."),
    "plugins": ("grail_framework.cli.plugins:plugins", "List, show, check and create plugins."),
    "tasks": ("grail_framework.cli.tasks:tasks", "List tasks, show the values of one."),
    "terms": ("grail_framework.cli.terms:terms", "List observations, rewards and all else that plugins provide."),
    "replay-nan": ("grail_framework.cli.replay_nan:replay_nan", "Say how an environment became invalid."),
    "warmup": ("grail_framework.cli.warmup:warmup", "Compile what a run of a task will need."),
    "bench": ("grail_framework.cli.bench:bench", "Measure speeds beside their references."),
    "doctor": ("grail_framework.cli.doctor:doctor", "Check this installation."),
}
"""Name -> (import target, one line for --help); imported when it is called."""


class LazyGroup(click.Group):
    """A group that knows its commands as import strings, and asks the plugins for a name it does not know."""

    manager: GrailPluginManager | None = None
    """The manager the command line was built with."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the global options; click looks up the command before it calls the group, so the state is made here."""
        rest = super().parse_args(ctx, args)
        ctx.obj = CliState(self.manager)
        ctx.obj.set_options(ctx.params["no_plugin"], ctx.params["plugin_file"])
        return rest

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the core's commands; those of plugins would cost loading the plugins."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None when neither the core nor a plugin has it."""
        if cmd_name in COMMANDS:
            module, _, attribute = COMMANDS[cmd_name][0].partition(":")
            return getattr(importlib.import_module(module), attribute)
        return None if ctx.resilient_parsing else self._plugin_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])
        formatter.write_paragraph()
        formatter.write_text("Plugins may add commands: `grail plugins list --kind cli`.")

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an expected error becomes a message and its exit code."""
        from grail_framework.errors import GrailError

        try:
            return super().invoke(ctx)
        except GrailError as error:
            raise _Reported(error) from error

    def _plugin_command(self, ctx: click.Context, name: str) -> click.Command:
        from grail_framework.errors import NotFoundError, suggest

        state: CliState = ctx.obj
        registry = state.manager.registry
        try:
            return registry.find("cli", name).load()
        except NotFoundError as error:
            known = [*COMMANDS, *(entry.name for entry in registry.entries("cli"))]
            missing = ". Plugins that did not load and may own it: " + ", ".join(sorted(registry.missing_owners))
            raise click.UsageError(
                f"no command {name!r}; {suggest(name, known)}" + (missing if registry.missing_owners else ""), ctx
            ) from error


class _Reported(click.ClickException):
    """A GrailError on its way out: message on stderr (traceback too with GRAIL_DEBUG=1), its own exit code."""

    def __init__(self, error: GrailError) -> None:
        super().__init__("\n".join([str(error), *getattr(error, "__notes__", [])]))
        self.exit_code = error.exit_code  # pyright: ignore[reportAttributeAccessIssue]  # click reads it from the instance
        self.error = error

    def show(self, file: Any = None) -> None:
        """Write the message, after the traceback where one is wanted."""
        if os.environ.get("GRAIL_DEBUG", "") not in ("", "0"):
            from traceback import format_exception

            click.echo("".join(format_exception(self.error)), err=True, file=file)
        super().show(file)


def build_cli(manager: GrailPluginManager | None = None) -> click.Group:
    """Build the command line; without a manager one is made, from the global options, by the first command that needs plugins."""

    @click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
    @click.option(
        "--no-plugin", "no_plugin", multiple=True, metavar="NAME", help="Leave out a plugin or distribution; repeatable."
    )
    @click.option(
        "--plugin-file",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False),
        metavar="PATH",
        help="Load an unpackaged plugin from a Python file; repeatable.",
    )
    @click.version_option(__version__, prog_name="grail")
    def grail(**_options: object) -> None:
        """Train task-general, physics-based humanoid policies."""

    grail.manager = manager
    return grail


def main() -> None:
    """Run `grail`. Exit codes: 0 done, 1 run failed, 2 usage, 3 plugin problem, 4 stopped by a signal with a checkpoint saved."""
    build_cli().main(prog_name="grail")
