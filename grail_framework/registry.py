"""Named things that plugins provide, kept as import strings until somebody needs them.

An entry is (kind, name, plugin, target); the target `"package.module:attribute"` is imported once, on first use, and never by
listing. Names may be qualified (`rewards:grasp`); a plain name with two owners is an error that names both.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from grail_framework.errors import (
    NotFoundError,
    PluginConflictError,
    PluginLoadError,
    TaskNotFoundError,
    suggest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

KINDS: Final = (
    "task",
    "robot",
    "engine",
    "observation",
    "reward",
    "termination",
    "event",
    "curriculum",
    "action",
    "network",
    "metric",
    "motion_reader",
    "writer",
    "cli",
    "release_alias",
    "demo_library",
    "config_section",
)
"""Kinds of registered things, one per `grail_register_*` hook (`demo_library` and `config_section` have shorter hook names)."""

_TARGET = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")


@attrs.frozen(kw_only=True, order=False)
class Entry:
    """One registered thing: what it is called, who owns it and where it lives."""

    kind: str
    name: str
    plugin: str
    target: str
    summary: str = ""

    @property
    def qualified(self) -> str:
        """`plugin:name`, unique among the entries of a kind."""
        return f"{self.plugin}:{self.name}"

    def load(self) -> Any:
        """Import the target and return it.

        Raises:
            PluginLoadError: the module or the attribute is missing, or its import failed.
        """
        module_name, _, attribute = self.target.partition(":")
        try:
            value: Any = importlib.import_module(module_name)
            for part in attribute.split("."):
                value = getattr(value, part)
        except Exception as error:
            raise PluginLoadError(
                f"{self.kind} {self.qualified!r} cannot be loaded from {self.target!r}: {type(error).__name__}: {error}. "
                f"See `grail plugins show {self.plugin}`."
            ) from error
        return value


class Registry:
    """All entries of the active plugins, by kind."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = {kind: [] for kind in KINDS}
        self.missing_owners: dict[str, str] = {}
        """Plugins that did not load, with the reason: named in errors, since one of them may own what is missing."""
        self.mentions: Callable[[str, str], bool] = lambda plugin, name: False
        """Whether the source of a plugin that did not load contains a name as a string; set by the plugin manager."""

    def commit(self, entries: Iterable[Entry]) -> None:
        """Add a plugin's staged entries."""
        for entry in entries:
            self._entries[entry.kind].append(entry)

    def entries(self, kind: str, *, plugin: str | None = None) -> list[Entry]:
        """List the entries of a kind, sorted by name and plugin."""
        found = [e for e in self._entries[kind] if plugin is None or e.plugin == plugin]
        return sorted(found, key=lambda entry: (entry.name, entry.plugin))

    def entries_of(self, plugin: str) -> list[Entry]:
        """List all that a plugin provides, by kind and name."""
        return [entry for entry in self if entry.plugin == plugin]

    def __iter__(self) -> Iterator[Entry]:
        for kind in KINDS:
            yield from self.entries(kind)

    def find(self, kind: str, name: str) -> Entry:
        """Look up one entry by plain or qualified name.

        Raises:
            NotFoundError: nothing of this kind has the name (`TaskNotFoundError` for tasks); close matches are named.
            PluginConflictError: a plain name with several owners.
        """
        owner, colon, plain = name.rpartition(":")
        found = [e for e in self._entries[kind] if e.name == plain and (not colon or e.plugin == owner)]
        if len(found) == 1:
            return found[0]
        if found:
            owners = " and ".join(repr(entry.plugin) for entry in found)
            choices = " or ".join(entry.qualified for entry in found)
            raise PluginConflictError(f"{kind} {plain!r} is provided by the plugins {owners}; write {choices}")
        raise self._not_found(kind, name)

    def clashes(self) -> dict[tuple[str, str], list[Entry]]:
        """Map (kind, name) to its entries where a plain name has more than one owner."""
        grouped: dict[tuple[str, str], list[Entry]] = {}
        for entry in self:
            grouped.setdefault((entry.kind, entry.name), []).append(entry)
        return {key: found for key, found in grouped.items() if len(found) > 1}

    def _not_found(self, kind: str, name: str) -> Exception:
        entries = self._entries[kind]
        names = [e.name for e in entries] + ([e.qualified for e in entries] if ":" in name else [])
        message = f"no {kind} {name!r}: {suggest(name, names) or 'none is registered'}"
        owner, _, plain = name.rpartition(":")
        if not owner:
            owner = next((plugin for plugin in sorted(self.missing_owners) if self.mentions(plugin, plain)), "")
        if owner in self.missing_owners:
            # The plugin is there but not loaded, and it is the one asked for: its problem, not a typing error.
            return PluginLoadError(
                f"{kind} {name!r} belongs to the plugin {owner!r}, which is not loaded: {self.missing_owners[owner]}. "
                f"See `grail plugins show {owner}`."
            )
        if self.missing_owners:
            listed = "; ".join(f"{plugin} ({reason})" for plugin, reason in sorted(self.missing_owners.items()))
            message += f". Plugins that did not load and may own it: {listed}. See `grail plugins list`."
        return TaskNotFoundError(message) if kind == "task" else NotFoundError(message)


class Registrar:
    """What a registration hook gets: adds entries of one kind in the name of one plugin.

    Entries are staged in `staged` and committed by the host only when every registration hook of the plugin has succeeded.
    """

    def __init__(self, kind: str, plugin: str, staged: list[Entry]) -> None:
        self.kind = kind
        self.plugin = plugin
        self._staged = staged

    def add(self, name: str, target: str, *, summary: str = "") -> None:
        """Register `name` for the object at `target` (`"package.module:attribute"`).

        Raises:
            ValueError: the target is not an import string or the name is not usable in a config.
            PluginConflictError: this plugin already registered the name for this kind.
        """
        if not isinstance(target, str) or not _TARGET.match(target):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(
                f"{self.kind} {name!r}: target must be an import string 'package.module:attribute', got {target!r}"
            )
        if not isinstance(name, str) or not name or ":" in name or any(c.isspace() for c in name):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"{self.kind} name must be a string without spaces and colons, got {name!r}")
        if any(e.kind == self.kind and e.name == name for e in self._staged):
            raise PluginConflictError(f"plugin {self.plugin!r} registers the {self.kind} {name!r} twice")
        self._staged.append(Entry(kind=self.kind, name=name, plugin=self.plugin, target=target, summary=summary))

    def add_all(self, entries: Mapping[str, tuple[str, str]]) -> None:
        """Register a table of name -> (target, summary); raises as `add` does."""
        for name, (target, summary) in entries.items():
            self.add(name, target, summary=summary)
