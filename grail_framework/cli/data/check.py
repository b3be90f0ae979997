"""`grail data check`: every motion of a library read and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from grail_framework.cli.data.preparing import ProgressLine, load_readers
from grail_framework.errors import EXIT_RUN_FAILED

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState
    from grail_framework.config import RunCfg
    from grail_framework.robots.spec import RobotSpec
    from grail_framework.runs.library_check import LibraryCheck
    from grail_framework.runs.motion_check import MotionsOfTask

_EPILOG = """\
Exits with 0 when every motion can be used, with 1 when one cannot, and with 2 when DIR is no motion library. A fault keeps a motion
out of a run; a warning is something odd that is used as it is, or an assumption that was made.
"""


@click.command(epilog=_EPILOG, short_help="Check every motion of a library.")
@click.argument("folder", metavar="DIR")
@click.option(
    "--task",
    metavar="NAME",
    help="Check what a run of this task asks for too: object, asset, table, hand actions, contact labels, shapes.",
)
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

    from grail_framework.config.scene import MotionCfg, RobotCfg
    from grail_framework.motion.validate import Needs
    from grail_framework.robots.lookup import find_robot
    from grail_framework.runs.library_check import check_motion_library, task_needs

    cfg = None if task is None else _task_config(state, task, folder)
    robot_cfg = RobotCfg() if cfg is None else cfg.robot
    spec = find_robot(robot_cfg if robot is None else RobotCfg(name=robot), state.manager.registry)
    found = check_motion_library(
        attrs.evolve(MotionCfg(data=folder) if cfg is None else cfg.motion, **_changes(**reading)),
        spec,
        load_readers(state),
        Needs() if cfg is None else task_needs(cfg),
        task=task,
        asset=None if cfg is None else cfg.scene.object,
        together=None if cfg is None else _together(state, cfg, spec),
        progress=ProgressLine("checked", silent=as_json),
    )
    _show(found, as_json=as_json, strict=strict)


def _task_config(state: CliState, task: str, folder: str) -> RunCfg:
    """Compose a run of the task as `grail run` does, but for what is settled last, which is not about motions."""
    from grail_framework.config.compose import RunOptions, compose

    manager = state.manager
    return compose(manager.registry, task=task, options=RunOptions(data=folder), edits=[manager.configure_run]).cfg


def _together(state: CliState, cfg: RunCfg, robot: RobotSpec) -> MotionsOfTask:
    from functools import partial

    from grail_framework.runs.motion_check import MotionsOfTask

    manager = state.manager
    labeler = manager.contact_labels if manager.labels_contacts else None
    return MotionsOfTask(cfg, robot, check=partial(manager.check_motions, cfg), labeler=labeler)


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
