"""The public release's launch lines: Hydra paths of another configuration tree, told apart from our own and translated.

The core and each plugin register tables of `ReleaseAlias` (registry kind `release_alias`): a plugin owns its own paths.
"""

from __future__ import annotations

import copy
import importlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from grail_framework.config.grammar import Override
from grail_framework.errors import ConfigError, GrailError, PluginLoadError, suggest

if TYPE_CHECKING:
    from grail_framework.registry import Registry

EXPERIMENT_KEY: Final = "exp"
"""The release's config group that selects an experiment, as `+exp=manager/...`."""


@attrs.frozen(kw_only=True)
class ReleaseAlias:
    """What one path of the release's configuration means here; exactly one of the fields after `pattern` is set.

    `pattern` is a dotted path; `{name}` stands for (part of) one key and may be used in `path` again, `**` at the end for any rest.
    """

    pattern: str
    path: str | None = None
    """Our path: the value is taken over as it is."""
    convert: str | None = None
    """Import string of a `Converter`, where the value or the path depends on the value or on the configuration."""
    note: str | None = None
    """The path is accepted and has no effect; one sentence on what became of it. `{engine}` is replaced by the engine's name."""
    refuse: str | None = None
    """The path is an error; one sentence on what to do instead."""

    def __attrs_post_init__(self) -> None:
        given = [name for name in ("path", "convert", "note", "refuse") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"release alias {self.pattern!r}: got {given}, allowed: exactly one of path, convert, note, refuse"
            )

    def match(self, key: str) -> dict[str, str] | None:
        """Compare with a dotted path; the parts the wildcards stand for, or None."""
        found = _regex(self.pattern).fullmatch(key)
        return None if found is None else found.groupdict()


@attrs.frozen(kw_only=True)
class ReleaseExperiment:
    """A value of the release's `exp` group and the task it selects."""

    experiment: str
    """As in `+exp=manager/universal_token/hoi/pnp_table`."""
    task: str
    """Name of the task."""


@attrs.frozen(kw_only=True)
class Conversion:
    """What a converter makes of one override."""

    edits: tuple[tuple[str, Any], ...] = ()
    """Our paths and their values; None removes a term."""
    note: str | None = None
    """One sentence for the user; None: nothing to say."""


type Converter = Callable[[Any, Mapping[str, str], Mapping[str, Any]], Conversion]
"""Called with the value, the wildcards' parts, and the plain configuration as the release's overrides before this one left it."""


@attrs.frozen(kw_only=True)
class Translation:
    """Overrides in our own paths, and what to tell the user."""

    overrides: tuple[Override, ...]
    notes: tuple[str, ...]


class ReleaseTable:
    """All release paths of the active plugins."""

    def __init__(self, entries: Iterable[ReleaseAlias | ReleaseExperiment], broken: Sequence[str] = ()) -> None:
        entries = list(entries)
        self.experiments = {e.experiment: e.task for e in entries if isinstance(e, ReleaseExperiment)}
        aliases = [e for e in entries if isinstance(e, ReleaseAlias)]
        # The most specific pattern wins: `params.gate_with_contact_label` before `params.{param}`.
        self._aliases = sorted(aliases, key=lambda a: (a.pattern.endswith("**"), a.pattern.count("{")))
        self._roots = {a.pattern.partition(".")[0] for a in aliases if "." in a.pattern}
        self._broken = tuple(broken)

    @classmethod
    def load(cls, registry: Registry) -> ReleaseTable:
        """Import the tables of all plugins; one that does not load is named if a path then stays unknown."""
        entries: list[ReleaseAlias | ReleaseExperiment] = []
        broken: list[str] = []
        for entry in registry.entries("release_alias"):
            try:
                entries.extend(entry.load())
            except PluginLoadError as error:
                broken.append(str(error))
        return cls(entries, broken)

    def task_of(self, overrides: Iterable[Override]) -> tuple[str | None, list[Override]]:
        """Take `+exp=...` out of the overrides and return its task.

        Raises:
            ConfigError: an unknown experiment, or two different ones.
        """
        rest: list[Override] = []
        chosen: Override | None = None
        for override in overrides:
            if override.key != EXPERIMENT_KEY:
                rest.append(override)
            elif override.value not in self.experiments:
                hint = suggest(str(override.value), self.experiments) or "none is registered"
                raise ConfigError(f"{override.text}: unknown experiment of the release; {hint}{self._broken_note()}")
            elif chosen is not None and chosen.value != override.value:
                raise ConfigError(f"{chosen.text} and {override.text} select two experiments; leave one out")
            else:
                chosen = override
        return (None if chosen is None else self.experiments[chosen.value]), rest

    def translate(self, overrides: Iterable[Override], tree: Mapping[str, Any]) -> Translation:
        """Put release paths into our own; those of our own configuration pass.

        Args:
            overrides: parsed overrides without `exp`.
            tree: the task's configuration as a plain tree.

        Raises:
            ConfigError: a path that neither configuration has, or one that `grail run` does not do, with what to do instead.
        """
        done: list[Override] = []
        notes: dict[str, list[str]] = {}
        changed = copy.deepcopy(dict(tree))
        for override in overrides:
            found = self._find(override.key)
            if found is None:
                self._check_root(override, tree)
                done.append(override)
                continue
            alias, parts = found
            if alias.refuse is not None:
                raise ConfigError(f"{override.text}: {alias.refuse}")
            conversion = _convert(alias, override, parts, changed)
            if conversion.note is not None:
                notes.setdefault(conversion.note, []).append(override.text)
            for path, value in conversion.edits:
                done.append(_moved(override, path, value))
                _put(changed, path.split("."), value)
        listed = tuple(f"{', '.join(texts)}: {note}" for note, texts in notes.items())
        return Translation(overrides=tuple(done), notes=listed)

    def _find(self, key: str) -> tuple[ReleaseAlias, dict[str, str]] | None:
        for alias in self._aliases:
            parts = alias.match(key)
            if parts is not None:
                return alias, parts
        return None

    def _check_root(self, override: Override, tree: Mapping[str, Any]) -> None:
        """Answer for a path that begins like one of the release's; other unknown paths are answered when they are applied."""
        root = override.path[0]
        if root in tree:
            return
        patterns = {_filled(alias.pattern, override.path) for alias in self._aliases}
        if root in self._roots:
            close = suggest(override.key, [p for p in patterns if p.startswith(root)])
            raise ConfigError(f"{override.text}: unknown path of the release's configuration; {close}{self._broken_note()}")
        close = get_close_matches(override.key, patterns, n=2, cutoff=0.75)
        if close:
            meant = " or ".join(map(repr, close))
            raise ConfigError(f"{override.text}: there is no {override.key!r}: did you mean {meant}?{self._broken_note()}")

    def _broken_note(self) -> str:
        return "".join(f" Not loaded: {reason}" for reason in self._broken)


def _convert(alias: ReleaseAlias, override: Override, parts: dict[str, str], tree: Mapping[str, Any]) -> Conversion:
    if alias.note is not None:
        return Conversion(note=alias.note)
    if alias.path is not None:
        return Conversion(edits=((alias.path.format(**parts), override.value),))
    try:
        return _converter(cast("str", alias.convert))(override.value, parts, tree)
    except ConfigError as error:
        raise ConfigError(f"{override.text}: {error}") from error
    except GrailError:
        raise
    except Exception as error:
        raise PluginLoadError(
            f"{override.text}: the release alias {alias.pattern!r} failed in {alias.convert}: {type(error).__name__}: {error}"
        ) from error


@cache
def _converter(target: str) -> Converter:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Write a value into a plain tree; a path that is not there is answered when the overrides are applied."""
    for key in path[:-1]:
        below = tree.get(key)
        if not isinstance(below, dict):
            return
        tree = cast("dict[str, Any]", below)
    tree[path[-1]] = value


def _moved(override: Override, path: str, value: Any) -> Override:
    # The release writes `++` in front of everything; here a term it names must exist, or a typing error would make a new one.
    return attrs.evolve(
        override,
        action="delete" if override.action == "delete" else "set",
        path=tuple(path.split(".")),
        value=value,
        raw=override.raw if value == override.value else None,
    )


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    rest = pattern.endswith(".**")
    text = re.escape(pattern.removesuffix(".**"))
    text = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^.]+)", text)
    return re.compile(text + (r"(\..+)?" if rest else ""))


def _filled(pattern: str, path: tuple[str, ...]) -> str:
    """The pattern with the user's own keys where it has wildcards, so that only the rest is compared."""
    keys = pattern.split(".")
    return ".".join(
        path[i] if i < len(path) and ("{" in key or key == "**") else key
        for i, key in enumerate(keys)
        if key != "**" or i < len(path)
    )
