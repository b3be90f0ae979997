"""`grail checkpoints download`: the release's bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from grail_framework.runs.download import DownloadedFile

_EPILOG = """\
NAME is a bundle (`grail checkpoints list` shows them), a family (base, pnp_table, pnp_ground, terrain), or `sonic` for all of them, as
the release's download script calls them. That script's other switches, --skip-gem-smpl, --skip-gem-soma, --skip-foundationpose and
--skip-hunyuan3d, are accepted too: they leave out models that make data, which are never fetched here.

A download that was cut goes on where it stopped when the command is run again. Exits with 1 when something could not be fetched.
"""


def _skip[Command: Callable[..., None]](command: Command) -> Command:
    for flag, what in reversed(
        (
            ("sonic", "Leave out all bundles, as the release's script does."),
            ("base", "Leave out the frozen base."),
            ("pnp-table", "Leave out pick-up from a table."),
            ("pnp-ground", "Leave out pick-up from the ground."),
            ("terrain", "Leave out stairs and terrain."),
        )
    ):
        command = click.option(f"--skip-{flag}", "skip", flag_value=flag.replace("-", "_"), multiple=True, help=what)(command)
    return command


@click.command(epilog=_EPILOG, short_help="Fetch the release's bundles.")
@click.option("--only", multiple=True, metavar="NAME", help="Fetch this; repeatable.  [default: sonic, which is all]")
@_skip
@click.option(
    "--skip-gem-smpl",
    "--skip-gem-soma",
    "--skip-foundationpose",
    "--skip-hunyuan3d",
    is_flag=True,
    expose_value=False,
    hidden=True,
)
@click.option(
    "--revision", default="main", show_default=True, metavar="REV", help="Branch, tag or commit of the release's data set."
)
@click.option(
    "--endpoint", envvar="HF_ENDPOINT", show_envvar=True, metavar="URL", help="Address of the hub.  [default: the public one]"
)
@click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("models"),
    show_default=True,
    metavar="DIR",
    help="Where bundles go.",
)
@click.option("--force", is_flag=True, help="Fetch what is there too, and replace files that are not the release's.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def download(
    only: tuple[str, ...],
    skip: tuple[str, ...],
    revision: str,
    endpoint: str | None,
    models: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Fetch the release's checkpoint bundles into <DIR>/<bundle>/, each file compared with the checksum that the hub announces.

    What is there and whole is not fetched again.
    """
    from grail_framework.runs.bundle_catalogue import select_bundles
    from grail_framework.runs.download import download_bundles

    bundles = select_bundles(only, skip)
    found = download_bundles(
        bundles,
        models,
        revision=revision,
        endpoint=endpoint or None,
        force=force,
        tell=None if as_json else click.echo,
    )
    if as_json:
        click.echo(json.dumps([_plain(file) for file in found], indent=2))
        return
    _say(found, models)


def _say(found: list[DownloadedFile], models: Path) -> None:
    from grail_framework.runs.download import describe_size

    for file in found:
        for note in file.notes:
            click.echo(f"note: {file.path}: {note}", err=True)
    fetched = sum(file.state != "complete" for file in found)
    size = describe_size(sum(file.size for file in found))
    click.echo(f"{len(found)} files in {models}, {size}; {fetched} fetched" if found else "nothing is left to fetch")


def _plain(file: DownloadedFile) -> dict[str, Any]:
    import attrs

    return attrs.asdict(file) | {"path": str(file.path)}
