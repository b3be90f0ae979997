"""What the commands share: the options given before the command, and the plugin manager made from them on first use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from grail_framework.plugins.manager import GrailPluginManager


class CliState:
    """Click's context object. Commands take it with `click.pass_obj` and read `manager`; one that needs no plugin pays for none."""

    def __init__(self, manager: GrailPluginManager | None = None) -> None:
        self._manager = manager
        self._own = manager is None
        self._warned = False
        self.disable: tuple[str, ...] = ()
        """Names given by `--no-plugin`."""
        self.plugin_files: tuple[str, ...] = ()
        """Paths given by `--plugin-file`."""

    @property
    def manager(self) -> GrailPluginManager:
        """The plugin manager, loaded; plugins that did not load are reported on stderr once, by the first process of a run.

        Raises:
            PluginLoadError: GRAIL_PLUGINS_STRICT is set and a plugin did not load.
        """
        manager = self.catalogue
        if self.strict:
            manager.require_all()
        if not self._warned and os.environ.get("RANK", "0") == "0":
            for line in manager.problem_lines():
                click.echo(f"warning: {line}", err=True)
        self._warned = True
        return manager

    @property
    def catalogue(self) -> GrailPluginManager:
        """The plugin manager, loaded, for commands that show broken plugins themselves: nothing is reported, nothing raises."""
        return self.unloaded.load()

    @property
    def unloaded(self) -> GrailPluginManager:
        """The plugin manager as it is, for commands that read metadata only."""
        if self._manager is None:
            from grail_framework.plugins.manager import GrailPluginManager

            self._manager = GrailPluginManager(disable=self.disable, plugin_files=self.plugin_files, strict=False)
        return self._manager

    @property
    def strict(self) -> bool:
        """Whether GRAIL_PLUGINS_STRICT turns a plugin that does not load into an error."""
        from grail_framework.plugins.manager import is_set

        return is_set(os.environ, "GRAIL_PLUGINS_STRICT")

    def set_options(self, disable: tuple[str, ...], plugin_files: tuple[str, ...]) -> None:
        """Take the options given before the command.

        Raises:
            click.UsageError: options for a manager that the caller has made already.
        """
        if not self._own and (disable or plugin_files):
            raise click.UsageError(
                "--no-plugin and --plugin-file cannot change the plugin manager this command line was built with"
            )
        self.disable, self.plugin_files = disable, plugin_files
