"""`grail data info`: what a library holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grail_framework.cli.data.preparing import ProgressLine, load_readers, load_robot
from grail_framework.cli.data.reading import motion_cfg, reading_options

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState
    from grail_framework.motion.store.summary import LibrarySummary


@click.command(short_help="Show what a library holds.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, path_type=Path))
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_obj
def info(state: CliState, folder: Path, robot: str, as_json: bool, **given: Any) -> None:
    """Count what the motion library or packed store DIR holds; a library without a valid store is read."""
    from grail_framework.motion.store.summary import summarise

    progress = ProgressLine("read", silent=as_json)
    summary = summarise(motion_cfg(folder, **given), load_robot(state, robot), load_readers(state), progress=progress)
    if as_json:
        import attrs

        click.echo(json.dumps(attrs.asdict(summary), indent=2))
        return
    _show(summary)


def _show(summary: LibrarySummary) -> None:
    from grail_framework.cli.render import Row, show_table

    total = summary.motions
    rows = [
        ("motions", str(total)),
        ("cannot be used", str(summary.bad)),
        ("frames", f"{summary.frames} at {summary.fps:g} fps"),
        ("duration", f"{summary.hours:.3f} h"),
        ("longest", f"{summary.longest[0]} ({summary.longest[1]} frames)"),
        ("shortest", f"{summary.shortest[0]} ({summary.shortest[1]} frames)"),
        ("objects", f"{summary.with_object} of {total}, {summary.object_names} by name, {summary.with_usd} with asset"),
        ("hand actions", f"{summary.with_hand_action} of {total}"),
        ("contact labels", f"{summary.with_contact_labels} of {total}"),
        ("tables", f"{summary.with_table} of {total}"),
        ("basis point sets", f"{summary.with_bps} of {total}"),
        ("bytes per frame", f"{summary.bytes_per_frame:.1f}, {summary.bytes_per_frame / 144:.2f} times 36 floats"),
        ("packed store", f"{summary.store}{f': {summary.store_note}' if summary.store_note else ''}"),
    ]
    show_table(
        ("what", "how much"),
        [Row(cells, problem=cells[0] == "cannot be used" and summary.bad > 0) for cells in rows],
    )
