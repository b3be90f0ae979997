"""`grail data check`: every motion of a library read and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from grail_framework.cli.data.preparing import ProgressLine, load_readers
from grail_framework.errors import EXIT_RUN_FAILED

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState
    from grail_framework.runs.library_check import LibraryCheck

_EPILOG = """\
Exits with 0 when every motion can be used, with 1 when one cannot, and with 2 when DIR is no motion library. A fault keeps a motion
out of a run; a warning is something odd that is used as it is, or an assumption that was made.
"""


@click.command(epilog=_EPILOG, short_help="Check every motion of a library.")
@click.argument("folder", metavar="DIR")
@click.option("--task", metavar="NAME", help="Check what this task needs too: object, asset, table, hand actions.")
@click.option("--robot", metavar="NAME", help="The robot the motions are of.  [default: the task's, or g1_43dof]")
@click.option(
    "--only", multiple=True, metavar="KEY", help="Check these motions only: a stem or a regular expression. Repeatable."
)
@click.option(
    "--quat-order", type=click.Choice(["auto", "wxyz", "xyzw"]), help="Order of root quaternions, where files do not state it."
)
@click.option("--fps", type=click.FloatRange(min=0.0, min_open=True), metavar="HZ", help="Frame rate of files that state none.")
@click.option("--map-23dof", is_flag=True, help="Accept motions of the 23-joint G1, their missing joints at 0.")
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_obj
def check(
    state: CliState,
    folder: str,
    task: str | None,
    robot: str | None,
    strict: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Read and check every motion of the library DIR, its object assets, and the motions together."""
    import attrs

    from grail_framework.config.compose import RunOptions, compose
    from grail_framework.config.scene import MotionCfg, RobotCfg
    from grail_framework.motion.validate import Needs
    from grail_framework.robots.lookup import find_robot
    from grail_framework.runs.library_check import check_motion_library, task_needs

    registry = state.manager.registry
    motion, robot_cfg, needs, asset = MotionCfg(data=folder), RobotCfg(), Needs(), None
    if task is not None:
        cfg = compose(registry, task=task, options=RunOptions(data=folder)).cfg
        motion, robot_cfg, needs, asset = cfg.motion, cfg.robot, task_needs(cfg), cfg.scene.object
    found = check_motion_library(
        attrs.evolve(motion, **_changes(**reading)),
        find_robot(robot_cfg if robot is None else RobotCfg(name=robot), registry),
        load_readers(state),
        needs,
        task=task,
        asset=asset,
        progress=ProgressLine("checked", silent=as_json),
    )
    _show(found, as_json=as_json, strict=strict)


def _changes(*, only: tuple[str, ...], quat_order: str | None, fps: float | None, map_23dof: bool) -> dict[str, Any]:
    given = {
        "filter_motion_keys": only or None,
        "quat_order": quat_order,
        "source_fps": fps,
        "map_23dof": map_23dof or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _show(found: LibraryCheck, *, as_json: bool, strict: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps(found.document(strict=strict), indent=2))
    else:
        _show_table(found)
    if not found.ok(strict=strict):
        raise click.exceptions.Exit(EXIT_RUN_FAILED)


def _show_table(found: LibraryCheck) -> None:
    from grail_framework.cli.render import Row, show_table
    from grail_framework.runs.library_check import severity

    if found.findings:
        rows = [
            Row(
                (
                    fault.key,
                    _below(str(fault.path), str(found.folder)),
                    "" if fault.frame is None else str(fault.frame),
                    severity(fault),
                    fault.reason,
                ),
                fault.fatal,
            )
            for fault in found.findings
        ]
        show_table(("Motion", "File", "Frame", "Severity", "Reason"), rows)
        click.echo()
    needs = f", as {found.task} needs them" if found.task else ""
    click.echo(
        f"{found.folder} ({found.reader}): {found.num_usable} of {found.num_motions} motions can be used{needs}, "
        f"{found.num_frames} frames; {len(found.faults)} faults, {len(found.warnings)} warnings"
    )


def _below(path: str, folder: str) -> str:
    return path.removeprefix(folder.rstrip("/") + "/")
