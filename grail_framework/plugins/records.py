"""What is known of each plugin, loaded or not: failures are data here, not log lines."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class PluginStatus(Enum):
    """How loading a plugin ended."""

    ACTIVE = "active"
    """Loaded; its hooks are called."""
    DISABLED = "disabled"
    """Left out by an option, an environment variable or an allow-list."""
    FAILED = "failed"
    """Its import, its hooks or its registration raised."""
    INCOMPATIBLE = "incompatible"
    """It asks for another version of the plugin API."""
    SHADOWED = "shadowed"
    """Another distribution already has a plugin of this name."""
    NOT_LOADED = "not loaded"
    """Only its metadata was read (`--no-load`)."""

    @property
    def is_problem(self) -> bool:
        """Whether somebody should look at it; a plugin disabled on purpose is no problem."""
        return self in (PluginStatus.FAILED, PluginStatus.INCOMPATIBLE, PluginStatus.SHADOWED)


@attrs.frozen(kw_only=True)
class PluginRecord:
    """One plugin: where it comes from, what became of it and what it provides."""

    name: str
    """Entry-point name, or stem of the plugin file."""
    dist: str
    """Distribution it was installed by; empty for a plugin file."""
    version: str
    """Version of the distribution; for a plugin file the digest of its content."""
    target: str
    """What the entry point names: a module, or `module:attribute`."""
    source: str = "entry point"
    """builtin, entry point, file or inline."""
    location: str = ""
    """File of the module, or folder of the distribution while it is not loaded."""
    editable: bool = False
    """Whether the distribution is an editable install."""
    status: PluginStatus = PluginStatus.NOT_LOADED
    """How loading ended."""
    reason: str = ""
    """One line on why it is not active."""
    hint: str = ""
    """One line on what to do about it."""
    notes: tuple[str, ...] = ()
    """Remarks on an active plugin: prints at import, clashes of names, functions without the marker."""
    api: str = ""
    """Range of plugin API versions it declares; empty: none declared."""
    hooks: tuple[str, ...] = ()
    """Hooks it implements, sorted."""
    provides: dict[str, int] = attrs.field(factory=dict)
    """Number of registered things by kind."""
    stdout: str = ""
    """What it printed while it was loaded."""
    traceback: str = ""
    """Traceback of the failure."""

    @property
    def origin(self) -> str:
        """Distribution, version and entry point, for messages."""
        if self.source == "file":
            return f"file {self.location}"
        if not self.dist:
            return self.target
        return f"{self.dist} {self.version}, entry point {self.name} = {self.target}"

    def explain(self) -> str:
        """Say in one line why the plugin is not active."""
        return f"{self.status.value}: {self.reason} ({self.origin})"


def plugin_set(records: Iterable[PluginRecord]) -> list[dict[str, str]]:
    """List name, version, dist and target of the active plugins, sorted: plain values for manifests and checkpoints."""
    active = [
        {"name": r.name, "version": r.version, "dist": r.dist, "target": r.target}
        for r in records
        if r.status is PluginStatus.ACTIVE
    ]
    return sorted(active, key=lambda item: (item["name"], item["dist"]))


def plugin_set_digest(plugins: Sequence[dict[str, str]]) -> str:
    """Hash a plugin set (first 16 hex digits of SHA-256), to compare processes and runs."""
    from hashlib import sha256  # loads OpenSSL, which listing plugins does not need

    text = "\n".join("\t".join(item[key] for key in ("name", "version", "dist", "target")) for item in plugins)
    return sha256(text.encode()).hexdigest()[:16]


def compare_plugin_sets(saved: Sequence[dict[str, Any]], current: Sequence[dict[str, Any]]) -> list[str]:
    """List what differs from a saved plugin set, one line each: missing and added plugins, other versions or targets."""
    before, now = ({str(item["name"]): item for item in plugins} for plugins in (saved, current))
    lines = missing_plugins(saved, current)
    for name in sorted(before.keys() & now.keys()):
        for key in ("version", "dist", "target"):
            if before[name].get(key) != now[name].get(key):
                lines.append(f"plugin {name!r}: {key} was {before[name].get(key)!r}, is {now[name].get(key)!r}")
    lines += [f"plugin {name!r} ({_origin(now[name])}) was not there" for name in sorted(now.keys() - before.keys())]
    return lines


def missing_plugins(saved: Sequence[dict[str, Any]], current: Sequence[dict[str, Any]]) -> list[str]:
    """Say, for every plugin of a saved set that is not active now, what is missing and how to get it: texts for an error."""
    now = {item["name"] for item in current}
    return [
        f"plugin {item['name']!r} ({_origin(item)}) is missing; install it, or see `grail plugins list` if it is installed"
        for item in sorted(saved, key=lambda item: str(item["name"]))
        if item["name"] not in now
    ]


def _origin(item: dict[str, Any]) -> str:
    return f"{item['dist']} {item['version']}" if item.get("dist") else f"{item.get('target')} {item.get('version')}"
