"""How plugin records are written: rows, JSON, requirements, and the full description of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grail_framework import PLUGIN_API, __version__
from grail_framework.cli.render import Row
from grail_framework.plugins.compat import format_version
from grail_framework.plugins.records import PluginStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_framework.plugins.manager import GrailPluginManager
    from grail_framework.plugins.records import PluginRecord
    from grail_framework.registry import Entry

SCHEMA_VERSION: Final = 1
"""Version of the JSON; `schemas/plugins_list.schema.json` describes it."""

COLUMNS: Final = ("Name", "Version", "Dist", "API", "Status", "Provides", "Hooks", "Remarks")


def as_rows(records: Sequence[PluginRecord]) -> list[Row]:
    """Make one row per plugin; the last column says why it is not active, or what is odd about it."""
    return [
        Row(
            (
                record.name,
                record.version,
                record.dist or f"({record.source})",
                record.api or "-",
                record.status.value,
                provides(record) or "-",
                str(len(record.hooks)) if record.hooks else "-",
                "; ".join(filter(None, (record.reason, *record.notes))),
            ),
            problem=record.status.is_problem,
        )
        for record in records
    ]


def provides(record: PluginRecord) -> str:
    """Count what a plugin provides, as `3 tasks, 7 rewards`."""
    return ", ".join(f"{count} {_words(kind, count)}" for kind, count in record.provides.items())


def footer(manager: GrailPluginManager, records: Sequence[PluginRecord]) -> list[str]:
    """Sum up a list: how many of each status, what switched plugins off, names that fit no plugin, what to do next."""
    counts = [f"{sum(r.status is status for r in records)} {status.value}" for status in PluginStatus]
    lines = [", ".join(count for count in counts if not count.startswith("0 ")) or "no plugins"]
    causes = sorted({r.reason for r in records if r.status is PluginStatus.DISABLED})
    if causes:
        lines.append("disabled by: " + ", ".join(causes))
    lines += [f"warning: {line}" for line in manager.unknown_names()]
    if any(r.status.is_problem for r in records):
        lines.append("`grail plugins show NAME` has the traceback and what to do")
    return lines


def as_requirements(records: Sequence[PluginRecord]) -> list[str]:
    """Write the active plugins as lines of a requirements file; what an index cannot give is a comment."""
    lines = {f"# plugin file: {r.location}" for r in records if r.source == "file" and r.status is PluginStatus.ACTIVE}
    for record in records:
        if record.dist and record.status is PluginStatus.ACTIVE:
            comment = f"  # editable install: {record.location}" if record.editable else ""
            lines.add(f"{record.dist}=={record.version}{comment}")
    return sorted(lines)


def as_json(manager: GrailPluginManager, records: Sequence[PluginRecord]) -> str:
    """Write records as JSON; equal input gives equal text."""
    import json

    document = {
        "schema_version": SCHEMA_VERSION,
        "grail_framework": __version__,
        "plugin_api": format_version(PLUGIN_API),
        "plugin_set_digest": manager.plugin_set_digest(),
        "plugins": [_as_dict(record) for record in records],
        "warnings": manager.unknown_names(),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def describe(record: PluginRecord, entries: Sequence[Entry]) -> str:
    """Write all that is known of one plugin."""
    lines = [f"{record.name}  {record.status.value}"]
    fields = {
        "reason": record.reason,
        "what to do": record.hint,
        "distribution": f"{record.dist} {record.version}" if record.dist else record.version,
        "target": record.target,
        "location": record.location + (" (editable)" if record.editable else ""),
        "plugin API": f"{record.api or 'none declared'} (this is {format_version(PLUGIN_API)})",
        "hooks": ", ".join(record.hooks),
    }
    lines += [f"  {key:13} {value}" for key, value in fields.items() if value]
    lines += [f"  {'note':13} {note}" for note in record.notes]
    for entry in entries:
        lines.append(f"  {entry.kind:13} {entry.name}  {entry.target}  {entry.summary}".rstrip())
    for title, text in (("printed while it was loaded", record.stdout), ("traceback", record.traceback)):
        if text:
            lines += [f"  {title}:", *(f"    {line}" for line in text.splitlines())]
    return "\n".join(lines)


def _as_dict(record: PluginRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "version": record.version,
        "dist": record.dist,
        "target": record.target,
        "source": record.source,
        "location": record.location,
        "editable": record.editable,
        "api": record.api,
        "status": record.status.value,
        "error": record.reason,
        "hint": record.hint,
        "notes": list(record.notes),
        "hooks": list(record.hooks),
        "provides": record.provides,
        "stdout": record.stdout,
    }


def _words(kind: str, count: int) -> str:
    word = {"cli": "command", "release_alias": "release alias", "demo_library": "demo library"}.get(
        kind, kind.replace("_", " ")
    )
    if count == 1:
        return word
    return word[:-1] + "ies" if word.endswith("y") else word + ("es" if word.endswith("s") else "s")
