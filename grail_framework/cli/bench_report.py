"""How `grail bench` shows a report: one JSON document, or a table with what it ran on above and details below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import click

from grail_framework.cli.render import Row as TableRow
from grail_framework.cli.render import show_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grail_framework.bench.record import Report, Row, Samples

_COLUMNS: Final = ("measured", "figure", "reference", "ratio", "goal", "met")
_TOLD: Final = {"num_envs": "{} envs", "caches": "{}"}
"""Conditions that tell the rows of one report apart."""


def show_report(report: Report, *, as_json: bool) -> None:
    """Write a report to stdout; what was left out goes to stderr as well where stdout is JSON."""
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    if as_json:
        import json

        click.echo(json.dumps(report.as_plain(), indent=2))
        return
    click.echo(", ".join(f"{name} {value}" for name, value in report.machine.items()))
    click.echo(", ".join(f"{name} {value}" for name, value in report.settings.items() if value not in (None, [])))
    click.echo()
    show_table(_COLUMNS, [_cells(row) for row in report.rows])
    for row in report.rows:
        if row.details:
            click.echo(f"\n{_title(row)}")
            for name, value in _flat(row.details):
                click.echo(f"  {name:60} {_number(value)}")


def _cells(row: Row) -> TableRow:
    ratio, spread = row.ratio, row.ratio_spread
    shown = "-" if ratio is None else _number(ratio)
    if spread is not None and len(row.figure.values) > 1:
        shown += f" ({_number(spread[0])} to {_number(spread[1])})"
    reference = "-" if row.reference is None else f"{_value(row.reference, row.unit)} {row.reference.name}"
    goal = "-" if row.goal is None else f"{row.goal}{f' {row.unit}' if row.goal.of_figure else ''}"
    met = "-" if row.met is None else "yes" if row.met else "no"
    return TableRow((_title(row), _value(row.figure, row.unit), reference, shown, goal, met))


def _title(row: Row) -> str:
    told = [form.format(row.conditions[name]) for name, form in _TOLD.items() if name in row.conditions]
    return ", ".join([row.figure.name, *told])


def _value(samples: Samples, unit: str) -> str:
    text = f"{_number(samples.median)} {unit}"
    if len(samples.values) == 1:
        return text
    return f"{text} ({_number(min(samples.values))} to {_number(max(samples.values))})"


def _flat(details: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in details.items():
        if isinstance(value, dict):
            yield from ((f"{name}: {part}", share) for part, share in cast("dict[str, Any]", value).items())
        else:
            yield name, value


def _number(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
