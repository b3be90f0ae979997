"""`grail demo`: make a small motion library, train on it for about a minute, show what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState

TASK: Final = "core:motion_tracking"
PRESET: Final = "laptop"


@click.command(short_help="Train for about a minute on a motion of its own.")
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, show_default=True, help="How long to train.")
@click.option("--num-envs", type=click.IntRange(min=4), default=64, show_default=True, help="Environments.")
@click.option("--experiment-dir", type=click.Path(), help="The run directory.  [default: below logs_rl/]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.pass_obj
def demo(state: CliState, seconds: float, num_envs: int, experiment_dir: str | None, seed: int) -> None:
    """Make a motion, train `motion_tracking` on it for about a minute, and draw the curves.

    The settings are those of the preset `laptop`; they are printed.
    """
    from grail_framework.cli.run_report import StageLine, show_summary
    from grail_framework.config.compose import RunOptions, compose

    options = RunOptions(num_envs=num_envs, experiment_dir=experiment_dir, seed=seed, engine="mujoco")
    composed = compose(state.manager.registry, task=TASK, options=options, preset=PRESET, overrides=["logging.console=plain"])
    click.echo(f"task {TASK}; preset {PRESET}: {'  '.join(composed.preset_changes)}")

    from grail_framework.runs.curves import draw_curves
    from grail_framework.runs.launch import launch

    with StageLine() as stage:
        summary = launch(composed.cfg, state.manager, time_budget_s=seconds, on_stage=stage)
    zero_action = None if summary.zero_action is None else summary.zero_action.tracked_fraction
    picture = draw_curves(summary.run_dir / "metrics.jsonl", summary.run_dir / "curves.png", zero_action=zero_action)
    click.echo()
    show_summary(summary)
    click.echo(f"curves:        {picture}")
