"""`grail demo`: make a small motion library, train on it for about a minute, show what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState

TASK: Final = "core:motion_tracking"
PRESET: Final = (
    "algorithm.schedule=fixed",
    "algorithm.learning_rate=1e-3",
    "algorithm.max_grad_norm=1.0",
    "algorithm.init_noise_std=0.3",
    "algorithm.entropy_coef=0.0",
    "algorithm.gamma=0.95",
    "~observations.policy.terms.command_multi_future",
    "~observations.critic.terms.command_multi_future",
    "network.params.actor_hidden_dims=[128,64]",
    "network.params.critic_hidden_dims=[128,64]",
    "network.params.normalize_actor=true",
    "network.params.normalize_critic=true",
)
"""For a minute on two cores; the task's own values are those of a run of hours on many GPUs."""


@click.command(short_help="Train for about a minute on a motion of its own.")
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, show_default=True, help="How long to train.")
@click.option("--num-envs", type=click.IntRange(min=4), default=32, show_default=True, help="Environments.")
@click.option("--experiment-dir", type=click.Path(), help="The run directory.  [default: below logs_rl/]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.pass_obj
def demo(state: CliState, seconds: float, num_envs: int, experiment_dir: str | None, seed: int) -> None:
    """Make a motion, train `motion_tracking` on it for about a minute, and draw the curves.

    The settings differ from the task's where a minute on two cores asks for it; they are printed.
    """
    from grail_framework.cli.run_report import StageLine, show_summary
    from grail_framework.config.compose import RunOptions, compose

    options = RunOptions(num_envs=num_envs, experiment_dir=experiment_dir, seed=seed, engine="mujoco")
    composed = compose(state.manager.registry, task=TASK, options=options, overrides=[*PRESET, "logging.console=plain"])
    click.echo(f"task {TASK}; settings of the demo: {'  '.join(PRESET)}")

    from grail_framework.runs.curves import draw_curves
    from grail_framework.runs.launch import launch

    summary = launch(composed.cfg, state.manager, time_budget_s=seconds, on_stage=StageLine())
    picture = draw_curves(summary.run_dir / "metrics.jsonl", summary.run_dir / "curves.png")
    click.echo()
    show_summary(summary)
    click.echo(f"curves:        {picture}")
