"""`grail data bps`: the shapes of a library's objects as basis point sets."""

from __future__ import annotations

from pathlib import Path

import click

from grail_framework.cli.data.preparing import RELEASE_SPELLING, ProgressLine, show_report

_EPILOG = """\
Values are those of the GRAIL release but for meshes of more than --n-surface vertices, of which random points are drawn: the release
seeds once per folder, so that a mesh's values depend on the files before it; here every mesh starts from --seed.

An asset without mesh geometry is named and left out, the others are written, and the command exits with 1.
"""


@click.command(epilog=_EPILOG, context_settings=RELEASE_SPELLING, short_help="Compute the basis point sets of the objects.")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--object-usd-dir", type=click.Path(path_type=Path), hidden=True)
@click.option(
    "--out", "--output-dir", "out", type=click.Path(path_type=Path), metavar="DIR", help="Folder to write.  [default: DIR/bps]"
)
@click.option("--num-basis", type=click.IntRange(min=1), default=10, show_default=True, help="Basis points; training reads 10.")
@click.option(
    "--n-surface",
    type=click.IntRange(min=1),
    default=2048,
    show_default=True,
    help="Vertices up to which the vertices themselves count; beyond, as many random points of the surface.",
)
@click.option("--seed", type=click.IntRange(min=0, max=2**32 - 1), default=42, show_default=True, help="Of the random points.")
@click.option("--json", "as_json", is_flag=True, help="Write the outcome as JSON.")
def bps(
    folder: Path | None,
    object_usd_dir: Path | None,
    out: Path | None,
    num_basis: int,
    n_surface: int,
    seed: int,
    as_json: bool,
) -> None:
    """Compute the basis point sets of all object assets of the library DIR.

    A set is the distances from points around an object, centred and scaled to the unit ball, to its nearest mesh points. Transforms
    and scales of the prims are ignored. Assets are looked for in DIR/object_usd, or in DIR itself.
    """
    given = object_usd_dir or folder
    if given is None:
        raise click.UsageError("a folder is needed: `grail data bps DIR`")

    from grail_framework.motion.preparation.bps_library import find_object_usd, write_bps_library

    assets = find_object_usd(given)
    # Of a folder called object_usd the library is one up; a link is not followed, its library keeps its own sets.
    library = given if assets != given else given.absolute().parent
    report = write_bps_library(
        assets,
        out or library / "bps",
        num_basis=num_basis,
        num_samples=n_surface,
        seed=seed,
        progress=ProgressLine("computed", silent=as_json),
    )
    show_report(report, as_json=as_json)
