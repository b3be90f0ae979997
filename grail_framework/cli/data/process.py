"""`grail data process`: a retargeted library made ready for training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grail_framework.cli.data.preparing import (
    RELEASE_SPELLING,
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
The defaults are what the GRAIL release's own wrapper passes. Its spelling with underscores and its --input and --output work too.

RAW is never written to. OUT/object_usd becomes a relative link to RAW/object_usd; call OUT like RAW with _ha behind it and the basis
point sets of RAW are found from there. Exits with 1 when a motion was left out that no option says to leave out, or when the stems
of the written files do not fit together.
"""


@click.command(epilog=_EPILOG, context_settings=RELEASE_SPELLING, short_help="Make a retargeted library ready for training.")
@click.argument("raw", required=False, type=click.Path(path_type=Path))
@click.argument("out", required=False, type=click.Path(path_type=Path))
@click.option("--input", "-i", "raw_option", type=click.Path(path_type=Path), hidden=True)
@click.option("--output", "-o", "out_option", type=click.Path(path_type=Path), hidden=True)
@click.option("--meta-pkl", type=click.Path(), hidden=True, help="Not needed: the skeleton is the robot's table.")
@click.option(
    "--include-contact-points/--no-include-contact-points",
    default=True,
    show_default=True,
    help="Keep the contact points, those from the lift on. Both hands' keys must be there.",
)
@click.option(
    "--grasp-from-lift/--grasp-from-contact",
    default=True,
    show_default=True,
    help="The grasp is the lift of the object, or the first contact.",
)
@grasp_options
@click.option(
    "--skip-no-lift/--no-skip-no-lift",
    default=True,
    show_default=True,
    help="Leave out motions whose object is never lifted; otherwise they are bad motions.",
)
@click.option(
    "--per-object/--monolithic",
    default=True,
    show_default=True,
    help="One file per motion in robot/, objects/ and meta/, or three files for all motions.",
)
@click.option(
    "--treat-hands-equally",
    is_flag=True,
    help="Keep both arms and close each hand for its own contacts. Otherwise the left arm rests and the right hand grasps.",
)
@click.option(
    "--table-size",
    type=click.FloatRange(min=0.0, min_open=True),
    nargs=3,
    default=(1.5, 0.7, 0.04),
    show_default=True,
    metavar="X Y Z",
    help="Size of the table in metres, written to every meta file with a table.",
)
@click.option(
    "--shoulder-first-frame-blend",
    is_flag=True,
    help="Turn the right shoulder's roll by -20 degrees at the first frame, fading out over 4 s.",
)
@click.option(
    "--right-hand-closed-until-seconds",
    type=click.FloatRange(min=0.0),
    metavar="S",
    help="Close the right hand during the first S seconds.  [default: no]",
)
@click.option("--right-hand-closed-until-frame", type=click.IntRange(min=0), hidden=True, help="The same in frames of 1/50 s.")
@click.option(
    "--right-hand-closed-until-first-close-margin-seconds",
    type=click.FloatRange(min=0.0),
    metavar="S",
    help="Close the right hand from the start until S seconds before it closes by itself; goes before the above.  [default: no]",
)
@click.option("--zero-out-wrist", is_flag=True, help="Set all wrist joints to 0 first, as for terrain and seats.")
@click.option("--z-correction", is_flag=True, help="Raise the object by 25 mm and move the table by 50 mm along -y.")
@click.option(
    "--processed-input-passthrough",
    is_flag=True,
    help="RAW is processed already: only wrists, shoulder and the right hand's closing are edited.",
)
@writing_options
@click.pass_obj
def process(
    state: CliState,
    raw: Path | None,
    out: Path | None,
    raw_option: Path | None,
    out_option: Path | None,
    meta_pkl: str | None,
    robot: str,
    as_json: bool,
    **given: Any,
) -> None:
    """Make the retargeted library RAW ready for training and write it to OUT.

    Each motion is raised out of the ground with its object and table, the table is moved off the legs, the lift of the object is
    found, and the hands' commands and contact points are derived from it.
    """
    source, target = raw_option or raw, out_option or out
    if source is None or target is None:
        raise click.UsageError("two folders are needed: `grail data process RAW OUT`")
    if meta_pkl is not None:
        click.echo(f"note: --meta-pkl {meta_pkl} is not read; the skeleton is that of --robot {robot}", err=True)

    from grail_framework.motion.preparation.process_library import process_library

    report = process_library(
        source,
        target,
        load_robot(state, robot),
        readers=load_readers(state),
        per_object=given.pop("per_object"),
        skip_no_lift=given.pop("skip_no_lift"),
        on_bad_clip=given.pop("on_bad_clip"),
        overwrite=given.pop("overwrite"),
        options=_options(given),
        progress=ProgressLine("processed", silent=as_json),
    )
    show_report(report, as_json=as_json)


def _options(given: dict[str, Any]) -> Any:
    from grail_framework.motion.preparation.process import ProcessOptions

    frame, seconds = given.pop("right_hand_closed_until_frame"), given["right_hand_closed_until_seconds"]
    if frame is not None and seconds is not None:
        raise click.UsageError(
            "--right-hand-closed-until-seconds and --right-hand-closed-until-frame say the same; give one of them"
        )
    if frame is not None:
        given["right_hand_closed_until_seconds"] = frame / 50.0
    return ProcessOptions(robot_edits_only=given.pop("processed_input_passthrough"), **given)
