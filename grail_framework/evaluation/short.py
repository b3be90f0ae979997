"""The short evaluation of a run: a few core metrics, and an end as soon as every motion has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grail_framework.evaluation.metrics import load_metrics
from grail_framework.evaluation.rollout import evaluate

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.evaluation.rollout import Policy
    from grail_framework.evaluation.score import Evaluation
    from grail_framework.registry import Registry

OBJECT_ERROR: Final = "obj_pos_error"
METRICS: Final = ("core:mpjpe_l", f"core:{OBJECT_ERROR}")


def evaluate_short(env: TrackingEnv, policy: Policy, registry: Registry) -> Evaluation:
    """Follow the motions of an environment until each has failed or ended; see `evaluate`."""
    return evaluate(env, policy, load_metrics(registry, METRICS))


def headline(evaluation: Evaluation) -> dict[str, float]:
    """Return what a run reports of an evaluation among its metrics."""
    totals = {f"eval/all/{name}": value for name, value in evaluation.totals().items()}
    return {
        "eval/tracked_fraction": evaluation.tracked_fraction,
        "eval/success/success_rate": evaluation.success_rate,
        "eval/mean_reward": evaluation.mean_reward,
        **totals,
    }
