"""`grail checkpoints list`: bundles of the release and checkpoints of one's own runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState
    from grail_framework.runs.checkpoint_list import BundleEntry, RunEntry

_SHORT = 12


@click.command("list", short_help="List the release's bundles and your own checkpoints.")
@click.option(
    "--models",
    type=click.Path(path_type=Path),
    default=Path("models"),
    show_default=True,
    metavar="DIR",
    help="Where bundles are.",
)
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("logs_rl"), show_default=True, metavar="DIR", help="Where runs are."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_obj
def list_checkpoints(state: CliState, models: Path, runs: Path, as_json: bool) -> None:
    """List the release's bundles with what is there of them, other folders with checkpoints beside them, and the checkpoints of runs."""
    import attrs

    from grail_framework.runs.checkpoint_list import list_bundles, list_runs

    bundles = list_bundles(models, state.manager.checkpoint_formats())
    found = list_runs(runs)
    if as_json:
        document = {"bundles": [attrs.asdict(entry) for entry in bundles], "runs": [attrs.asdict(entry) for entry in found]}
        click.echo(json.dumps(document, indent=2))
        return
    _show_bundles(bundles)
    click.echo()
    _show_runs(found, runs)


def _show_bundles(bundles: list[BundleEntry]) -> None:
    from grail_framework.cli.render import Row, show_table
    from grail_framework.runs.download import describe_size

    rows: list[Row] = []
    for entry in bundles:
        checkpoints = [file for file in entry.files if file.format is not None]
        state = [entry.state]
        if entry.missing and entry.state != "absent":
            state.append(f"without {' and '.join(entry.missing)}")
        if entry.partial:
            state.append(f"{describe_size(entry.partial)} of a download")
        rows.append(
            Row(
                (
                    entry.name,
                    ", ".join(state),
                    describe_size(entry.size) if entry.files else "",
                    ", ".join(f"{file.name}: {file.format}" for file in checkpoints),
                    ", ".join(file.sha256[:_SHORT] for file in checkpoints),
                    entry.about,
                ),
                problem=any(file.format == "damaged" for file in checkpoints),
            )
        )
    show_table(("Bundle", "State", "Size", "Format", "SHA-256", "For"), rows)


def _show_runs(found: list[RunEntry], root: Path) -> None:
    from grail_framework.cli.render import Row, show_table
    from grail_framework.runs.download import describe_size

    if not found:
        click.echo(f"no checkpoints of runs below {root}")
        return
    rows = [
        Row(
            (
                run.path,
                run.task or "",
                str(run.iteration),
                str(run.checkpoints),
                describe_size(run.size),
                "yes" if run.bundle else "",
            )
        )
        for run in found
    ]
    show_table(("Run", "Task", "Newest", "Checkpoints", "Size", "Bundle"), rows)
