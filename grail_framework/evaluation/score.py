"""What came of an evaluation: the score of each motion, and of all of them together."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from grail_framework.evaluation.metrics import FrameMetric

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from grail_framework.evaluation.metrics import Metric


@attrs.frozen(kw_only=True)
class MotionScore:
    """One motion, followed once from its first frame."""

    key: str
    num_frames: int
    survived: int
    """Control steps before the first failure; `num_frames` without one."""
    success: bool
    """Nothing but a time-out ended it."""
    cause: str
    """The termination term that ended it first; a time-out's where it did not fail."""
    reward_sum: float
    """Over the survived steps. [-]"""
    values: dict[str, float]
    """Metrics that have a value for this motion."""
    frames: dict[str, int]
    """How many frames each frame metric is the mean of."""

    @property
    def tracked_fraction(self) -> float:
        """Share of its frames survived. [-]"""
        return self.survived / self.num_frames

    def as_plain(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "tracked_fraction": self.tracked_fraction,
            "success": self.success,
            "cause": self.cause,
            "num_frames": self.num_frames,
            "survived_frames": self.survived,
            "mean_reward": self.reward_sum / max(self.survived, 1),
            **self.values,
        }


@attrs.frozen(kw_only=True)
class Evaluation:
    """The scores of all motions."""

    motions: tuple[MotionScore, ...]
    metrics: Mapping[str, Metric] = attrs.field(factory=dict)
    """What was measured, by name."""

    @property
    def tracked_fraction(self) -> float:
        """Mean share of frames survived, over motions; the progress rate of the GRAIL release. [-]"""
        return _mean([score.tracked_fraction for score in self.motions])

    @property
    def success_rate(self) -> float:
        """Share of motions that did not fail, as the GRAIL release's `im_eval` counts. [-]"""
        return _mean([float(score.success) for score in self.motions])

    @property
    def mean_reward(self) -> float:
        """Mean reward per survived control step. [-]"""
        return sum(score.reward_sum for score in self.motions) / max(sum(score.survived for score in self.motions), 1)

    @property
    def causes(self) -> dict[str, int]:
        """How many motions each termination term ended, most frequent first."""
        return dict(Counter(score.cause for score in self.motions).most_common())

    @property
    def failed_keys(self) -> tuple[str, ...]:
        """Motions that failed."""
        return tuple(score.key for score in self.motions if not score.success)

    def mean(self, metric: str, *, successes_only: bool = False) -> float | None:
        """Average a metric over motions the way it asks for; None where no motion has a value."""
        scores = [score for score in self.motions if metric in score.values and (score.success or not successes_only)]
        if not scores:
            return None
        kind = self.metrics.get(metric)
        pooled = isinstance(kind, FrameMetric) and kind.pool == "frames"
        weights = [score.frames[metric] if pooled else 1 for score in scores]
        total = math.fsum(score.values[metric] * weight for score, weight in zip(scores, weights, strict=True))
        return total / sum(weights)

    def totals(self, *, successes_only: bool = False) -> dict[str, float]:
        """Return every metric that has a value, averaged over all motions or over those that did not fail."""
        means = {name: self.mean(name, successes_only=successes_only) for name in self.metrics}
        return {name: value for name, value in means.items() if value is not None}

    def as_plain(self) -> dict[str, Any]:
        """Return plain values, for JSON and hooks. As in the GRAIL release, `success` holds the rates of all motions too."""
        rates = {"success_rate": self.success_rate, "progress_rate": self.tracked_fraction}
        return {
            "num_motions": len(self.motions),
            "tracked_fraction": self.tracked_fraction,
            "mean_reward": self.mean_reward,
            "all": self.totals(),
            "success": rates | self.totals(successes_only=True),
            "termination_causes": self.causes,
            "failed_keys": list(self.failed_keys),
            "motions": {score.key: score.as_plain() for score in self.motions},
        }


def merge(evaluations: Iterable[Evaluation]) -> Evaluation:
    """Put the batches of one evaluation together."""
    parts = list(evaluations)
    return Evaluation(motions=tuple(score for part in parts for score in part.motions), metrics=parts[0].metrics)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / max(len(values), 1)
