"""Which plugins are there: entry points of installed distributions and plugin files. Imports none of them and never raises.

Only distributions whose `entry_points.txt` names our group are looked at closely, and their two header lines are read without the
e-mail parser behind `importlib.metadata`: that keeps `grail plugins list` as fast as the scan itself.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution, distributions
from typing import TYPE_CHECKING, Final

import attrs

from grail_framework.errors import suggest
from grail_framework.plugins.markers import ENTRY_POINT_GROUP
from grail_framework.plugins.records import PluginRecord, PluginStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.metadata import Distribution
    from pathlib import Path

_EDITABLE: Final = re.compile(r'"editable"\s*:\s*true')
_SEPARATORS: Final = re.compile(r"[\s,]+")


def find_plugins() -> list[PluginRecord]:
    """List the plugins of installed distributions, not loaded, sorted by distribution and entry point.

    The order decides the order hooks are called in, so it must not be that of the file system.
    """
    records: list[PluginRecord] = []
    seen: set[str] = set()
    for found in distributions():
        if ENTRY_POINT_GROUP not in (found.read_text("entry_points.txt") or ""):
            continue
        name = _header(found, "Name") or "unknown"
        if normalise(name) in seen:
            continue
        seen.add(normalise(name))
        records += _records_of(_first_on_path(name, found), name)
    return sorted(records, key=lambda record: (normalise(record.dist), record.name))


def file_plugin(path: Path) -> PluginRecord:
    """Describe a plugin file, not loaded; its version is the digest of its content, so that a resume notices an edit."""
    path = path.expanduser().absolute()
    record = PluginRecord(
        name=path.stem, dist="", version="", target=path.name, source="file", location=str(path), editable=True
    )
    if not path.is_file():
        return attrs.evolve(
            record,
            status=PluginStatus.FAILED,
            reason=f"no such file: {path}",
            hint="give --plugin-file the path of a Python file",
        )
    from hashlib import sha256

    return attrs.evolve(record, version="sha256:" + sha256(path.read_bytes()).hexdigest()[:12])


def normalise(name: str) -> str:
    """Write a plugin's or distribution's name in the one form that names are compared in."""
    return re.sub(r"[-_.]+", "-", name).lower()


@attrs.frozen(kw_only=True)
class Selection:
    """Which plugins are wanted, by plugin or distribution name: options before environment variables before all."""

    disable: frozenset[str] = frozenset()
    """Names given by `--no-plugin`."""
    allow: frozenset[str] | None = None
    """Names given by the caller as the only ones; None: no such list."""
    env_disable: frozenset[str] = frozenset()
    """Names in GRAIL_DISABLE_PLUGINS."""
    env_allow: frozenset[str] | None = None
    """Names in GRAIL_PLUGINS, where empty means none; None: not set."""

    @classmethod
    def make(cls, disable: Iterable[str], allow: Iterable[str] | None, environ: Mapping[str, str]) -> Selection:
        """Put together what the options and the environment say."""
        only = environ.get("GRAIL_PLUGINS")
        return cls(
            disable=frozenset(map(normalise, disable)),
            allow=None if allow is None else frozenset(map(normalise, allow)),
            env_disable=_names(environ.get("GRAIL_DISABLE_PLUGINS", "")),
            env_allow=None if only is None else _names(only),
        )

    def refusal(self, record: PluginRecord) -> str:
        """Say why a plugin is left out; empty when it is wanted."""
        names = {normalise(record.name), normalise(record.dist)} - {""}
        if names & self.disable:
            return "--no-plugin"
        if self.allow is not None:
            return "" if names & self.allow else "not in the list of allowed plugins"
        if record.source == "file":
            return ""  # named on the command line, which counts more than the environment
        if names & self.env_disable:
            return "GRAIL_DISABLE_PLUGINS"
        if self.env_allow is not None and not names & self.env_allow:
            return "not in GRAIL_PLUGINS"
        return ""

    def named(self) -> dict[str, frozenset[str]]:
        """Map where a name was given to the names given there."""
        return {
            "--no-plugin": self.disable,
            "the list of allowed plugins": self.allow or frozenset(),
            "GRAIL_DISABLE_PLUGINS": self.env_disable,
            "GRAIL_PLUGINS": self.env_allow or frozenset(),
        }

    def unknown_names(self, records: Iterable[PluginRecord]) -> list[str]:
        """Report names that fit no plugin: a misspelt `--no-plugin` must not pass in silence."""
        known = {normalise(name) for record in records for name in (record.name, record.dist) if name}
        return [
            f"{where}: no plugin or distribution {name!r} is installed; {suggest(name, known)}"
            for where, names in self.named().items()
            for name in sorted(names - known)
        ]


def _names(text: str) -> frozenset[str]:
    return frozenset(normalise(name) for name in _SEPARATORS.split(text) if name)


def _records_of(dist: Distribution, dist_name: str) -> list[PluginRecord]:
    base = PluginRecord(
        name=dist_name,
        dist=dist_name,
        version=_header(dist, "Version") or "unknown",
        target="",
        location=str(dist.locate_file("")),
        editable=_EDITABLE.search(dist.read_text("direct_url.json") or "") is not None,
    )
    try:
        found = [(point.name, point.value) for point in dist.entry_points if point.group == ENTRY_POINT_GROUP]
    except Exception as error:
        return [
            attrs.evolve(
                base,
                status=PluginStatus.FAILED,
                reason=f"entry_points.txt cannot be read: {type(error).__name__}: {error}",
                hint=f"reinstall {dist_name}",
            )
        ]
    return [attrs.evolve(base, name=name, target=value) for name, value in found]


def _first_on_path(name: str, found: Distribution) -> Distribution:
    """Prefer the distribution that an import would use when several folders hold the same one."""
    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):
        return found


def _header(dist: Distribution, key: str) -> str:
    text = dist.read_text("METADATA") or dist.read_text("PKG-INFO") or ""
    match = re.search(rf"^{key}:[ \t]*(\S+)", text, re.MULTILINE)
    return match.group(1) if match else ""
