"""Following every motion once: who survives how long, and what the metrics say meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch

from grail_framework.envs.terms import check_shape
from grail_framework.evaluation.metrics import FrameMetric, MotionMetric, check_names
from grail_framework.evaluation.score import Evaluation, MotionScore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.evaluation.metrics import Metric

type Policy = Callable[[dict[str, torch.Tensor]], torch.Tensor]
"""Observation groups (num_envs, width) to actions (num_envs, num_actions)."""

INVALID_STATE = "invalid_state"
"""Cause of an end that no termination term saw: the simulated state was not finite."""


def zero_action(env: TrackingEnv) -> Policy:
    """Return the policy that does nothing: the baseline of every evaluation."""
    action = torch.zeros(env.num_envs, env.num_actions, device=env.device)
    return lambda _observations: action


@torch.no_grad()
def evaluate(
    env: TrackingEnv, policy: Policy, metrics: Mapping[str, Metric] | None = None, *, to_the_end: bool = False
) -> Evaluation:
    """Follow each motion that the environment holds once, from frame 0 and without noise.

    The first environment that follows a motion counts for it, the others do not. The environment's state afterwards is that of the
    evaluation: save and restore it around the call where it is still needed.

    Args:
        env: the environment; of its motions those are followed that an environment holds.
        policy: what acts; without noise of its own for a deterministic evaluation.
        metrics: what is measured beside tracked fraction, success and reward, by name.
        to_the_end: go on after a failure, to the end of each motion, so that metrics of the span `motion` have a value; else those
            are left out and the evaluation ends when every motion has.

    Raises:
        EnvContractError: a metric of the wrong shape or with a reserved name.
    """
    metrics = dict(metrics or {})
    check_names(metrics)
    automatic = env.auto_reset
    env.begin_evaluation()
    env.auto_reset = not to_the_end
    try:
        observations = env.reset()
        tally = _Tally(env, metrics, to_the_end=to_the_end)
        for _ in range(int(tally.length.max())):
            observations, reward, terminated, truncated, _ = env.step(policy(observations))
            tally.count(reward, terminated, truncated)
            if not tally.going_on():
                break
    finally:
        env.auto_reset = automatic
        env.end_evaluation()
    return tally.result()


def first_envs(motion_ids: Sequence[int]) -> dict[int, int]:
    """Map each motion that an environment follows to the first such environment, in the order of the motions.

    Args:
        motion_ids: the motion of each environment.
    """
    first: dict[int, int] = {}
    for env, motion in enumerate(motion_ids):
        first.setdefault(motion, env)
    return dict(sorted(first.items()))


class _Series:
    """The running mean of a frame metric over the M motions."""

    def __init__(self, env: TrackingEnv, name: str, metric: FrameMetric, envs: torch.Tensor) -> None:
        self._name, self.metric = name, metric
        self._envs = envs
        self._compute = metric.bind(env)
        motions = len(envs)
        self._total = torch.zeros(motions, dtype=torch.float64, device=env.device)
        self._count = torch.zeros(motions, dtype=torch.long, device=env.device)

    def add(self, env: TrackingEnv, survived: torch.Tensor, motion: torch.Tensor) -> None:
        """Take in a frame of the motions in the mask (M,) that the metric counts."""
        value = self._compute(env)
        check_shape(value, "metric", self._name, self._name, env.num_envs, vector=False)
        value = value[self._envs].double()
        counts = (motion if self.metric.span == "motion" else survived) & value.isfinite()
        self._total += value.where(counts, 0.0)
        self._count += counts

    def means(self) -> list[tuple[float, int]]:
        """Return (mean, number of frames) of each motion."""
        totals, counts = self._total.tolist(), self._count.tolist()
        return [(total / max(count, 1), count) for total, count in zip(totals, counts, strict=True)]


class _Tally:
    """Running sums of an evaluation over the environments that count, one for each of M motions."""

    def __init__(self, env: TrackingEnv, metrics: Mapping[str, Metric], *, to_the_end: bool) -> None:
        self._env, self._metrics, self._to_the_end = env, metrics, to_the_end
        first = first_envs(env.command.motion_ids.tolist())
        self._keys = [env.motions.keys[motion] for motion in first]
        self._envs = torch.tensor(list(first.values()), device=env.device)
        self.length = env.command.num_frames[self._envs]
        self._alive = torch.ones(len(first), dtype=torch.bool, device=env.device)
        self._present = self._alive.clone()
        """Still in its first episode; an invalid state ends it even where failures do not."""
        self._failed = torch.zeros_like(self._alive)
        self._survived = torch.zeros_like(self.length)
        self._reward = torch.zeros(len(first), dtype=torch.float64, device=env.device)
        self._steps = 0
        self._causes: dict[int, str] = {}
        frame = {name: metric for name, metric in metrics.items() if isinstance(metric, FrameMetric) and metric.applies(env)}
        self._series = {
            name: _Series(env, name, metric, self._envs)
            for name, metric in frame.items()
            if to_the_end or metric.span == "survived"
        }

    def count(self, reward: torch.Tensor, terminated: torch.Tensor, truncated: torch.Tensor) -> None:
        """Add a step. Metrics see the frame after it, so a motion's last step and a failing one have none."""
        terminated, truncated = terminated[self._envs], truncated[self._envs]
        self._steps += 1
        kept = self._alive & ~terminated
        self._survived += kept
        self._reward += reward[self._envs].double().where(kept, 0.0)
        ended = self._alive & (terminated | truncated)
        self._note_causes(ended)
        self._failed |= self._alive & terminated
        self._alive &= ~ended & (self.length > self._steps)  # also where no term ends a motion at its last frame
        self._present &= self._env.episode_length[self._envs] > 0  # 0: reset in this step
        within = self._present & (self.length > self._steps)
        for series in self._series.values():
            series.add(self._env, self._alive, within)

    def going_on(self) -> bool:
        """Tell whether a motion is still followed."""
        return bool((self._present if self._to_the_end else self._alive).any())

    def _note_causes(self, ended: torch.Tensor) -> None:
        """Remember the first term that fired in each environment that has just ended."""
        terminations = self._env.terminations
        for index in ended.nonzero().flatten().tolist():
            fired = terminations.last[:, self._envs[index]].tolist()
            names = [name for name, hit in zip(terminations.names, fired, strict=True) if hit]
            failures = [name for name in names if not self._env.cfg.terminations[name].time_out]
            self._causes[index] = (failures or names or [INVALID_STATE])[0]

    def result(self) -> Evaluation:
        """Turn the sums into scores."""
        means = {name: series.means() for name, series in self._series.items()}
        sums = zip(self.length.tolist(), self._survived.tolist(), self._failed.tolist(), self._reward.tolist(), strict=True)
        scores = [
            MotionScore(
                key=self._keys[index],
                num_frames=length,
                survived=survived,
                success=not failed,
                cause=self._causes.get(index, "none"),
                reward_sum=reward,
                values={name: mean[index][0] for name, mean in means.items() if mean[index][1]},
                frames={name: mean[index][1] for name, mean in means.items()},
            )
            for index, (length, survived, failed, reward) in enumerate(sums)
        ]
        return Evaluation(motions=tuple(map(self._with_motion_metrics, scores)), metrics=self._metrics)

    def _with_motion_metrics(self, score: MotionScore) -> MotionScore:
        values = dict(score.values)
        for name, metric in self._metrics.items():
            if isinstance(metric, MotionMetric):
                value = metric(score)
                if value is not None:
                    values[name] = value
        return attrs.evolve(score, values=values)
