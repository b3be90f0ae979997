"""What a metric is. Plugins register theirs with `grail_register_metrics`; `grail eval` measures all of them.

Two kinds. A `FrameMetric` is measured in every frame and averaged over those of each motion; its function takes the environment and
returns one value per environment, (num_envs,), not finite where there is none. It sees the simulated state (`env.state`, `env.view`)
and the reference (`env.reference`) of one instant: after a control step, the reference one frame further. A class in place of the
function is made once as `cls(env)` and called as `instance(env)`, for what depends on earlier frames. A `MotionMetric` is computed from
the score of a finished motion, frame metrics included.

    @frame_metric(unit="N", applies=has_object)
    def hand_force(env):
        return env.state.contact_forces["right_hand"].norm(dim=-1).sum(-1)


    @motion_metric(unit="-")
    def gentle(score):
        force = score.values.get("hand_force")
        return None if force is None else float(force < 20.0)
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import attrs

from grail_framework.errors import EnvContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.evaluation.score import MotionScore
    from grail_framework.registry import Registry

Pooling = Literal["frames", "motions"]
Span = Literal["survived", "motion"]


def always(env: TrackingEnv) -> bool:
    """Apply to every environment."""
    return True


def has_object(env: TrackingEnv) -> bool:
    """Apply where the scene has an object."""
    return bool(env.engine.spec.objects)


def has_moving_object(env: TrackingEnv) -> bool:
    """Apply where the scene has an object that can be moved: terrain stands where its reference is, whatever the policy does."""
    return has_object(env) and env.cfg.scene.object is not None and env.cfg.scene.object.dynamic


@attrs.frozen(kw_only=True, eq=False)
class FrameMetric:
    """A quantity measured in every frame."""

    compute: Callable[..., Any]
    """A function `(env) -> Tensor` (num_envs,), or a class made as `cls(env)` and called as `instance(env)`."""
    unit: str
    """Unit of the value, for people; `-` for none."""
    pool: Pooling = "motions"
    """How motions are averaged: `frames` weighs each by its number of frames, `motions` equally."""
    span: Span = "survived"
    """Which frames of a motion count: those before the first failure, or all to its end, failed or not."""
    applies: Callable[[TrackingEnv], bool] = always
    """Whether the environment has what is measured."""

    def __call__(self, env: TrackingEnv) -> torch.Tensor:
        """Measure the current frame, (num_envs,)."""
        return self.bind(env)(env)

    def bind(self, env: TrackingEnv) -> Callable[[TrackingEnv], torch.Tensor]:
        """Return what is called in every frame of one evaluation."""
        return cast("Any", self.compute)(env) if inspect.isclass(self.compute) else self.compute


@attrs.frozen(kw_only=True, eq=False)
class MotionMetric:
    """A quantity of a finished motion; motions are averaged equally, those without a value are left out."""

    compute: Callable[[MotionScore], float | None]
    """Gets the score with the values of all frame metrics."""
    unit: str
    """Unit of the value, for people; `-` for none."""

    def __call__(self, score: MotionScore) -> float | None:
        """Compute the motion's value."""
        return self.compute(score)


type Metric = FrameMetric | MotionMetric


def frame_metric(
    *, unit: str, pool: Pooling = "motions", span: Span = "survived", applies: Callable[[TrackingEnv], bool] = always
) -> Callable[[Callable[..., Any]], FrameMetric]:
    """Turn a function or class into a `FrameMetric`."""
    return lambda compute: FrameMetric(compute=compute, unit=unit, pool=pool, span=span, applies=applies)


def motion_metric(*, unit: str) -> Callable[[Callable[[MotionScore], float | None]], MotionMetric]:
    """Turn a function into a `MotionMetric`."""
    return lambda compute: MotionMetric(compute=compute, unit=unit)


def load_metrics(registry: Registry, names: Sequence[str] | None = None) -> dict[str, Metric]:
    """Load registered metrics, by plain name, or by qualified name where two plugins share one.

    Args:
        registry: where metrics are registered.
        names: which, plain or qualified; None: all.

    Raises:
        NotFoundError: there is no metric of a name.
        PluginLoadError: a metric cannot be imported.
        EnvContractError: a registered object is no metric.
    """
    entries = registry.entries("metric") if names is None else [registry.find("metric", name) for name in names]
    plain = [entry.name for entry in entries]
    loaded: dict[str, Metric] = {}
    for entry in entries:
        metric: Any = entry.load()
        if not isinstance(metric, FrameMetric | MotionMetric):
            raise EnvContractError(
                f"metric {entry.qualified!r}: {entry.target} is a {type(metric).__name__}, allowed: what the decorators "
                "frame_metric and motion_metric of grail_framework.evaluation.metrics return"
            )
        loaded[entry.name if plain.count(entry.name) == 1 else entry.qualified] = metric
    return loaded


RESERVED: Final = ("tracked_fraction", "success", "mean_reward")
"""Measured always, by the rollout itself."""


def check_names(metrics: Mapping[str, Metric]) -> None:
    """Refuse metrics that would replace what every evaluation reports.

    Raises:
        EnvContractError: a metric has a reserved name.
    """
    for name in RESERVED:
        if name in metrics:
            raise EnvContractError(f"metric {name!r}: the name is taken by the evaluation itself; allowed: any but {RESERVED}")
