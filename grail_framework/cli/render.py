"""Tables for people: rich on a terminal, plain columns with full cells anywhere else.

The only user of rich besides the run console. rich is imported on a terminal alone: in a pipe it would wrap cells, and it costs as
much as everything else that `grail plugins list` loads.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs
import click

if TYPE_CHECKING:
    from collections.abc import Sequence


@attrs.frozen
class Row:
    """One line of a table."""

    cells: tuple[str, ...]
    """One text per column."""
    problem: bool = False
    """Shown in red."""


def show_table(columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a table to stdout."""
    if sys.stdout.isatty():
        _show_rich(columns, rows)
    else:
        _show_plain(columns, rows)


def _show_plain(columns: Sequence[str], rows: Sequence[Row]) -> None:
    lines = [tuple(columns), *(row.cells for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _show_rich(columns: Sequence[str], rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, not str: cells hold messages of other people's code, which must not be read as markup.
        table.add_row(*(Text(cell) for cell in row.cells), style="red" if row.problem else None)
    Console().print(table)
