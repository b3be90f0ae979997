"""What `grail eval` shows: a row per motion, then all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from grail_framework.cli.render import Row, show_table

if TYPE_CHECKING:
    from grail_framework.evaluation.checkpoints import CheckpointEvaluation
    from grail_framework.evaluation.score import Evaluation, MotionScore

_COLUMNS: Final = ("mpjpe_g", "mpjpe_l", "mpjpe_pa", "obj_pos_error", "obj_ori_error", "success_paper")
"""Metrics with a column of their own where they have a value; the file holds all."""


def show_evaluation(result: CheckpointEvaluation) -> None:
    """Write the scores of every motion and the totals to stdout."""
    evaluation = result.policy
    trained = "" if result.iteration is None else f", iteration {result.iteration}"
    click.echo(f"{result.checkpoint}{trained}: {result.task} on {result.engine}, deterministic policy, from frame 0\n")
    columns = [name for name in _COLUMNS if evaluation.mean(name) is not None]
    heads = [f"{name} [{unit}]" if (unit := evaluation.metrics[name].unit) != "-" else name for name in columns]
    rows = [_motion(score, columns) for score in evaluation.motions]
    show_table(("motion", "frames", "tracked", "ended by", *heads), rows)
    click.echo()
    evaluations = [("policy", evaluation)]
    if result.zero_action is not None:
        evaluations.append(("zero action", result.zero_action))
    show_table(("total", *(name for name, _ in evaluations)), _totals([each for _, each in evaluations]))
    if result.skipped:
        click.echo(f"\nleft out as unusable: {', '.join(result.skipped)}")


def _motion(score: MotionScore, columns: list[str]) -> Row:
    cells = [_number(score.values.get(name)) for name in columns]
    return Row(
        (score.key, str(score.num_frames), f"{score.tracked_fraction:.3f}", score.cause, *cells), problem=not score.success
    )


def _totals(evaluations: list[Evaluation]) -> list[Row]:
    first = evaluations[0]
    rows = [
        ("motions", [str(len(each.motions)) for each in evaluations]),
        ("tracked fraction", [f"{each.tracked_fraction:.3f}" for each in evaluations]),
        ("success rate (no failure)", [f"{each.success_rate:.3f}" for each in evaluations]),
        ("mean reward per control step", [f"{each.mean_reward:.4f}" for each in evaluations]),
    ]
    for name, metric in first.metrics.items():
        values = [each.mean(name) for each in evaluations]
        if any(value is not None for value in values):
            unit = "" if metric.unit == "-" else f" [{metric.unit}]"
            rows.append((f"{name}{unit}", [_number(value) for value in values]))
    rows.append(("ended by", [", ".join(f"{cause} {n}" for cause, n in each.causes.items()) for each in evaluations]))
    return [Row((label, *cells)) for label, cells in rows]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
