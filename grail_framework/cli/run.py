"""`grail run`: train a task. Options and overrides become one configuration, which is checked before anything heavy is imported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState
    from grail_framework.config import RunCfg
    from grail_framework.plugins.manager import GrailPluginManager

_EPILOG = """\
OVERRIDES are in Hydra's grammar: a.b=1 sets, +a.b=1 adds, ~a.b removes, terminations.x=null switches off. The release's launch
lines work as they are: +exp=manager/... in place of --task, ++manager_env.... and the rest.
"""


@click.command(epilog=_EPILOG)
@click.option("--task", metavar="NAME", help="What to train; `grail tasks list` shows all. A resume knows its own.")
@click.option(
    "--preset",
    metavar="NAME",
    help="Learning values; laptop: a few processor cores and minutes; scratch: a GPU, and no policy to start from.",
)
@click.option("--data", metavar="DIR", help="Motion library, the folder with robot/. Default: the task's demo library.")
@click.option("--bps", metavar="DIR", help="Basis point sets. Default: DIR/bps, then the sibling folder without _ha.")
@click.option("--engine", metavar="NAME", help="auto, mujoco, isaaclab, or one of a plugin. Default: auto.")
@click.option(
    "--physics", type=click.Choice(["newton", "physx", "ovphysx"]), help="Physics of the engine isaaclab. Default: newton."
)
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where the environment lives. Default: auto.")
@click.option("--num-envs", type=click.IntRange(min=1), metavar="N", help="Environments per process.")
@click.option("--iterations", type=click.IntRange(min=1), metavar="N", help="Total number of iterations, a resume included.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), metavar="T", help="Stop training after this time.")
@click.option("--checkpoint", metavar="PATH", help="Checkpoint or run directory to start from: its weights.")
@click.option("--resume", is_flag=True, help="Restore the optimiser too; in the same run directory, everything.")
@click.option("--experiment-dir", metavar="DIR", help="The run directory. Default: below logs_rl/.")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Seed of all random generators.")
@click.option("--on-bad-clip", type=click.Choice(["stop", "skip"]), help="What to do with a motion that cannot be used.")
@click.option("--dry-run", is_flag=True, help="Print the resolved configuration and stop.")
@click.argument("overrides", nargs=-1, metavar="[OVERRIDES]...")
@click.pass_obj
def run(
    state: CliState,
    task: str | None,
    preset: str | None,
    minutes: float | None,
    dry_run: bool,
    overrides: tuple[str, ...],
    **options: Any,
) -> None:
    """Train a task."""
    from grail_framework.config.compose import RunOptions, compose
    from grail_framework.runs.preflight import preflight

    manager = state.manager
    composed = compose(
        manager.registry,
        task=task,
        preset=preset,
        options=RunOptions(**options),
        overrides=overrides,
        edits=[manager.configure_run],
        settle=manager.settle_run,
        saved=_saved_config(manager, task, options),
    )
    edited = [f"the plugin {name!r} changed the configuration" for name in manager.config_edits]
    _warn([*edited, *composed.warnings, *preflight(composed.cfg, manager.registry)])
    if composed.preset_changes and _is_first_process():
        click.echo(f"preset {preset}: {'  '.join(composed.preset_changes)}", err=dry_run)
    if dry_run:
        from grail_framework.config.files import to_yaml

        click.echo(to_yaml(composed.cfg), nl=False)
        return
    from grail_framework.cli.run_report import StageLine, show_summary

    with StageLine(silent=not _is_first_process()) as stage:
        stage("loading PyTorch")
        from grail_framework.runs.launch import launch

        summary = launch(composed.cfg, manager, time_budget_s=None if minutes is None else 60.0 * minutes, on_stage=stage)
    if _is_first_process():
        click.echo()
        show_summary(summary)


def _saved_config(manager: GrailPluginManager, task: str | None, options: dict[str, Any]) -> RunCfg | None:
    """Read the configuration of the run that `--resume --experiment-dir DIR` continues; None where a task is named."""
    if task is not None or not options["resume"] or not options["experiment_dir"]:
        return None
    from pathlib import Path

    path = Path(options["experiment_dir"]).expanduser() / "config.yaml"
    from grail_framework.config.compose import section_classes
    from grail_framework.config.files import is_release_config, load_config

    if not path.is_file() or is_release_config(path):
        return None
    return load_config(path, sections=section_classes(manager.registry))


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _warn(warnings: list[str]) -> None:
    if _is_first_process():
        for warning in warnings:
            click.echo(f"warning: {warning}", err=True)
