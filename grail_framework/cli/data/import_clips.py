"""`grail data import`: clips of other formats turned into a motion library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grail_framework.cli.data.preparing import (
    ProgressLine,
    grasp_options,
    load_readers,
    load_robot,
    show_report,
    writing_options,
)

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState

_EPILOG = """\
Contact points: a hand is in contact where its palm's centre is nearer to the object's surface than --contact-distance; the points are
those of the surface closest to the palm and to each finger link, in the object's frame. The surface is the convex hull of the mesh,
or the mesh itself with --object-approximation convexDecomposition: what the simulation collides with.

Motions are called like their files. SRC is never written to. Exits with 1 when a clip was left out.

Example: grail data import walk.npz my_library --object-mesh box.obj --object-mass 0.5
"""
_MESH = "FILE|DIR"
_METRES = click.FloatRange(min=0.0, min_open=True)


@click.command(name="import", epilog=_EPILOG, short_help="Turn npz and CSV clips into a library.")
@click.argument("src", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--name", metavar="STEM", help="Name of the motion, where SRC is one.  [default: the file's name]")
@click.option("--fps", type=_METRES, metavar="HZ", help="Frame rate of files that do not state theirs, in 1/s.  [default: 30]")
@click.option(
    "--quat-order",
    type=click.Choice(["auto", "wxyz", "xyzw"]),
    default="auto",
    show_default=True,
    help="Order of the root's quaternions in the files; auto: the one in which the pelvis stands upright.",
)
@click.option("--map-23dof", is_flag=True, help="Use motions of the 23-joint G1, their missing joints at 0.")
@click.option(
    "--object-mesh",
    type=click.Path(path_type=Path),
    metavar=_MESH,
    help="The object: .obj, .stl, .ply, or a USD file, which is taken as it is; a folder has one file per motion stem.",
)
@click.option(
    "--object-scale", type=_METRES, default=1.0, show_default=True, metavar="M", help="Metres per unit of the object's mesh."
)
@click.option("--object-mass", type=_METRES, metavar="KG", help="Mass of the object.  [default: not stated, the task decides]")
@click.option(
    "--object-approximation",
    type=click.Choice(["convexHull", "convexDecomposition"]),
    default="convexHull",
    show_default=True,
    help="Collision shape of the object: its hull, or convex pieces for a concave one.",
)
@click.option("--object-name", default="", metavar="NAME", help="Name of the object.  [default: the mesh file's stem]")
@click.option(
    "--terrain",
    type=click.Path(path_type=Path),
    metavar=_MESH,
    help="Mesh of the terrain in the motions' world frame, static; a folder has one file per motion stem.",
)
@click.option(
    "--terrain-scale", type=_METRES, default=1.0, show_default=True, metavar="M", help="Metres per unit of the terrain's mesh."
)
@click.option("--table-size", type=_METRES, nargs=3, metavar="X Y Z", help="Size of a table in metres.  [default: no table]")
@click.option("--table-pos", type=float, nargs=3, metavar="X Y Z", help="Centre of the table in metres; it stands level.")
@click.option(
    "--contact-distance",
    type=_METRES,
    default=0.12,
    show_default=True,
    metavar="M",
    help="Between the palm's centre and the object's surface, in metres.",
)
@click.option(
    "--contact-from-lift/--contact-from-touch",
    default=True,
    show_default=True,
    help="Contacts count from the lift of the object on, as processed libraries have it, or from the first touch on.",
)
@grasp_options
@writing_options
@click.pass_obj
def import_clips(state: CliState, src: Path, out: Path, robot: str, as_json: bool, **given: Any) -> None:
    """Turn the clips of SRC, a file or a folder of any registered motion format, into the library OUT.

    With --object-mesh the object's contacts, the hands' commands and the basis point set are derived; with --terrain the mesh becomes
    the static ground of the motions.
    """
    from grail_framework.config.scene import MotionCfg
    from grail_framework.motion.loading import open_source
    from grail_framework.motion.preparation import import_clips as importing

    cfg = MotionCfg(
        data=str(src), source_fps=given.pop("fps"), quat_order=given.pop("quat_order"), map_23dof=given.pop("map_23dof")
    )
    report = importing.import_clips(
        open_source(cfg, load_readers(state)),
        src,
        out,
        load_robot(state, robot),
        on_bad_clip=given.pop("on_bad_clip"),
        overwrite=given.pop("overwrite"),
        options=_options(given),
        progress=ProgressLine("imported", silent=as_json),
    )
    show_report(report, as_json=as_json)


def _options(given: dict[str, Any]) -> Any:
    from grail_framework.motion.preparation.import_clips import ImportOptions
    from grail_framework.motion.preparation.object_source import ObjectOptions

    names = ("scale", "mass", "approximation")
    return ImportOptions(object=ObjectOptions(**{name: given.pop(f"object_{name}") for name in names}), **given)
