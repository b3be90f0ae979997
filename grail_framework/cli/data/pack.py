"""`grail data pack`: a library as a packed store, which loads in an instant."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grail_framework.cli.data.preparing import ProgressLine, load_readers, load_robot
from grail_framework.cli.data.reading import motion_cfg, reading_options

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState
    from grail_framework.motion.faults import ClipFault
    from grail_framework.motion.store.building import PackReport

_EPILOG = """\
`grail run --data DIR` loads the store while it is as new as the files of DIR; a store elsewhere is given as --data STORE. The paths
and format options a run sets must be those the store was built with. Motions that cannot be used are left out, listed here, and
reported again by every run.
"""
_SHOWN = 20


@click.command(epilog=_EPILOG, short_help="Build the packed store that loads in an instant.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="STORE", help="The store's folder.  [default: DIR/packed]")
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Write the outcome as JSON.")
@click.pass_obj
def pack(state: CliState, folder: Path, out: Path | None, robot: str, as_json: bool, **given: Any) -> None:
    """Read the motion library DIR once and write all of it to a packed store: root and joints at the target rate."""
    from grail_framework.motion.store.building import pack_library
    from grail_framework.motion.store.finding import find_reader
    from grail_framework.motion.store.format import STORE_FOLDER
    from grail_framework.motion.store.sources import library_base
    from grail_framework.motion.validate import Needs

    cfg = motion_cfg(folder, **given)
    began = time.perf_counter()
    report = pack_library(
        cfg,
        load_robot(state, robot),
        find_reader(cfg, load_readers(state)),
        out or library_base(cfg) / STORE_FOLDER,
        progress=ProgressLine("packed", silent=as_json),
    )
    faults = report.faults_for(Needs())
    if as_json:
        click.echo(json.dumps(_document(report, faults), indent=2))
        return
    for fault in faults[:_SHOWN]:
        click.echo(f"{'left out' if fault.fatal else 'used, but check'}: {fault}")
    if len(faults) > _SHOWN:
        click.echo(f"... and {len(faults) - _SHOWN} more; --json lists all")
    size = sum(path.stat().st_size for path in report.folder.iterdir())
    click.echo(
        f"{report.motions} motions, {report.frames} frames in {report.folder}: {size / 2**20:.1f} MiB, "
        f"{time.perf_counter() - began:.1f} s"
    )


def _document(report: PackReport, faults: list[ClipFault]) -> dict[str, Any]:
    listed = [
        {"key": fault.key, "path": str(fault.path), "frame": fault.frame, "reason": fault.reason, "fatal": fault.fatal}
        for fault in faults
    ]
    return {"store": str(report.folder), "motions": report.motions, "frames": report.frames, "faults": listed}
