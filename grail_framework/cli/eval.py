"""`grail eval`: follow every motion with the deterministic policy of a checkpoint, and measure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState
    from grail_framework.config import RunCfg
    from grail_framework.config.compose import RunOptions
    from grail_framework.plugins.manager import GrailPluginManager

RESULT_FILE = "metrics_eval.json"


@click.command("eval", short_help="Measure how well a checkpoint follows motions.")
@click.option("--checkpoint", required=True, metavar="PATH", help="Run directory, or a checkpoint in one.")
@click.option("--task", metavar="NAME", help="For a checkpoint without a config.yaml beside it: what it was trained for.")
@click.option("--data", metavar="DIR", help="Motion library. Default: the one it was trained on.")
@click.option("--engine", metavar="NAME", help="auto, mujoco, isaaclab, or one of a plugin. Default: the run's.")
@click.option(
    "--physics", type=click.Choice(["newton", "physx", "ovphysx"]), help="Physics of the engine isaaclab. Default: the run's."
)
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where the environment lives. Default: the run's.")
@click.option(
    "--motions", multiple=True, metavar="PATTERN", help="Stem or regular expression of stems; repeatable. Default: all."
)
@click.option("--num-envs", type=click.IntRange(min=1), metavar="N", help="Motions followed at a time.")
@click.option("--baseline", is_flag=True, help="Follow them with zero action too.")
@click.option(
    "--output", type=click.Path(dir_okay=False), metavar="FILE", help=f"Default: {RESULT_FILE} beside the checkpoint."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout instead of tables.")
@click.argument("overrides", nargs=-1, metavar="[OVERRIDES]...")
@click.pass_obj
def evaluate(
    state: CliState,
    checkpoint: str,
    task: str | None,
    data: str | None,
    engine: str | None,
    physics: str | None,
    device: str | None,
    motions: tuple[str, ...],
    num_envs: int | None,
    baseline: bool,
    output: str | None,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Follow every motion once, from its first frame, with the deterministic policy of a checkpoint.

    Configuration and terminations are those of the checkpoint's run; OVERRIDES change it as in `grail run`. The result is written
    to metrics_eval.json in the run directory.
    """
    from grail_framework.config.compose import RunOptions
    from grail_framework.runs.preflight import resolve_checkpoint

    manager = state.manager
    file = resolve_checkpoint(checkpoint)
    options = RunOptions(data=data, engine=engine, physics=physics, device=device, num_envs=num_envs)
    cfg = _configuration(manager, file, task, options, motions, overrides)
    target = Path(output) if output is not None else file.parent / RESULT_FILE
    _check_writable(target)

    from grail_framework.cli.run_report import StageLine
    from grail_framework.logging.stages import listening

    with StageLine() as stage, listening(stage):
        stage("loading PyTorch")
        from grail_framework.evaluation.checkpoints import evaluate_checkpoint

        result = evaluate_checkpoint(cfg, file, manager, baseline=baseline, on_stage=stage)

    import json

    from grail_framework.cli.eval_report import show_evaluation
    from grail_framework.runs.atomic import write_atomically

    document = json.dumps(result.as_plain(), indent=2)
    write_atomically(target, document + "\n")
    if as_json:
        click.echo(document)
    else:
        show_evaluation(result)
        click.echo(f"\nwritten to {target}")


def _configuration(
    manager: GrailPluginManager,
    checkpoint: Path,
    task: str | None,
    options: RunOptions,
    motions: tuple[str, ...],
    overrides: tuple[str, ...],
) -> RunCfg:
    """Compose the configuration of the checkpoint's run with what the command line changes, and check its data and terms."""
    from grail_framework.config.compose import compose
    from grail_framework.config.hardware import runs_on_cpu
    from grail_framework.runs.data_check import check_data
    from grail_framework.runs.demo_library import with_demo_library
    from grail_framework.runs.engine_check import check_engine
    from grail_framework.runs.robot_check import check_robot
    from grail_framework.runs.term_check import check_terms

    saved = _saved_config(manager, checkpoint, task)
    composed = compose(
        manager.registry,
        task=task if saved is None else None,
        options=options,
        overrides=overrides,
        settle=manager.settle_run,
        saved=saved,
    )
    cfg = composed.cfg
    check_robot(cfg, manager.registry)
    doubts = check_engine(cfg.engine, manager.registry)
    if options.num_envs is None and runs_on_cpu(cfg.engine):
        cfg = attrs.evolve(cfg, num_envs=cfg.num_envs_cpu)
    cfg = with_demo_library(_select(cfg, motions, other_data=options.data is not None), manager.registry)
    for warning in (*composed.warnings, *doubts, *check_data(cfg, manager.registry)):
        click.echo(f"warning: {warning}", err=True)
    check_terms(cfg, manager.registry)
    return cfg


def _select(cfg: RunCfg, motions: tuple[str, ...], *, other_data: bool) -> RunCfg:
    """Drop the run's selection of motions where others are asked for: it names motions of its own library."""
    if not motions and not other_data:
        return cfg
    motion = attrs.evolve(cfg.motion, filter_motion_keys=motions or None, remove_motion_keys=(), max_unique_motions=None)
    if other_data:  # parts of the run's library must not be mixed with the one that is named
        motion = attrs.evolve(motion, robot_dir=None, object_dir=None, object_usd=None, meta_dir=None, bps_dir=None)
    return attrs.evolve(cfg, motion=motion)


def _saved_config(manager: GrailPluginManager, checkpoint: Path, task: str | None) -> RunCfg | None:
    """Read the configuration beside a checkpoint; None where there is none, or the release's, and a task is named.

    Raises:
        CheckpointError: there is none and no task is named, or it is of another task than the one named.
    """
    from grail_framework.config.compose import section_classes
    from grail_framework.config.files import is_release_config, load_config
    from grail_framework.errors import CheckpointError

    path = checkpoint.parent / "config.yaml"
    there = path.is_file()
    if not there or is_release_config(path):
        if task is None:
            what = "has the config.yaml of the GRAIL release" if there else "has no config.yaml"
            raise CheckpointError(
                f"--checkpoint: {checkpoint.parent} {what}, so what {checkpoint.name} was trained for is not known. "
                "Add --task NAME, with the overrides it was trained with"
            )
        return None
    saved = load_config(path, sections=section_classes(manager.registry))
    if task is not None and manager.registry.find("task", task).qualified != saved.task:
        raise CheckpointError(
            f"--checkpoint: {checkpoint} was trained for the task {saved.task}, and --task says {task}. Leave out --task, or name "
            "a checkpoint of that task"
        )
    return saved


def _check_writable(target: Path) -> None:
    import os

    from grail_framework.errors import ConfigError

    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise ConfigError(f"{target} cannot be written: {target.parent} is no folder that is writable; use --output FILE")
