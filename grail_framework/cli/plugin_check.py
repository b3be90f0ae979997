"""`grail plugins check`: what an author wants to know before a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grail_framework.errors import GrailError
from grail_framework.plugins.records import PluginStatus

if TYPE_CHECKING:
    from grail_framework.plugins.records import PluginRecord
    from grail_framework.registry import Entry, Registry

# Tables and classes are data to the host; everything else it calls.
_NOT_CALLED = ("release_alias",)


def check_plugin(record: PluginRecord, registry: Registry) -> list[str]:
    """List what is wrong with a plugin: it is not active, its remarks, targets that do not import or are of the wrong kind."""
    if record.status is not PluginStatus.ACTIVE:
        return [record.explain(), *([record.hint] if record.hint else [])]
    faults = list(record.notes)
    if not record.api:
        faults.append('no API range: write grail_api = ">=1,<2" in the plugin module')
    for entry in registry.entries_of(record.name):
        faults += check_entry(entry)
    return faults


def check_entry(entry: Entry) -> list[str]:
    """Import a registered target and look at what it is; a task is built."""
    try:
        value = entry.load()
    except GrailError as error:
        return [str(error)]
    if entry.kind not in _NOT_CALLED and not callable(value):
        return [f"{entry.kind} {entry.qualified!r}: {entry.target} is a {type(value).__name__}, allowed: something callable"]
    return _check_task(entry, value) if entry.kind == "task" else []


def _check_task(entry: Entry, build: object) -> list[str]:
    from grail_framework.config import RunCfg

    try:
        cfg = build() if callable(build) else None
    except Exception as error:  # the author's code: whatever it raises is the finding
        return [f"task {entry.qualified!r}: building it raised {type(error).__name__}: {error}"]
    if not isinstance(cfg, RunCfg):
        return [f"task {entry.qualified!r}: {entry.target} returned {type(cfg).__name__}, allowed: RunCfg"]
    return []
