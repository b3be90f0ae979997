"""`grail checkpoints convert`: between the framework's checkpoints and the release's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState

_EPILOG = """\
Examples:

\b
  grail checkpoints convert logs_rl/GRAIL/base/run-1 models/my_base --to release
  grail checkpoints convert models/pnp_table_release weights.pt --to native
  grail run --task pnp_table --checkpoint weights.pt
"""


@click.command(epilog=_EPILOG, short_help="Write a checkpoint in the release's format or in ours.")
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.argument("destination", metavar="DST", type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Choice(["release", "native"]),
    required=True,
    help="release: DST becomes a folder with last.pt and model_config.yaml; native: DST is a .pt file for --checkpoint.",
)
@click.option("--force", is_flag=True, help="Replace what is at DST.")
@click.option("--json", "as_json", is_flag=True, help="Write the outcome as JSON.")
@click.pass_obj
def convert(state: CliState, source: Path, destination: Path, to: Any, force: bool, as_json: bool) -> None:
    """Read the checkpoint SRC, a file, a bundle's folder or a run directory of any known format, and write it as DST.

    Networks, moments of the optimiser, learning rate and iteration come along. Nothing in SRC is executed, and it is not changed.
    """
    from grail_framework.runs.convert import convert_checkpoint

    done = convert_checkpoint(source, destination, to=to, overwrite=force, formats=state.manager.checkpoint_formats())
    if as_json:
        import attrs

        click.echo(
            json.dumps(attrs.asdict(done) | {"source": str(done.source), "destination": str(done.destination)}, indent=2)
        )
        return
    click.echo(
        f"{done.destination}: {done.parameters} tensors of {done.source} ({done.source_format}), moments of {done.moments} parameters, "
        f"iteration {'unknown' if done.iteration is None else done.iteration}"
    )
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
