"""What a run did, in a few numbers: shown at its end and handed to the hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.evaluation.tracking import TrackingResult


@attrs.frozen(kw_only=True)
class RunSummary:
    """The outcome of a finished run."""

    run_dir: Path
    task: str
    plugins: tuple[str, ...]
    """`name version` of each active plugin."""
    engine: str
    num_envs: int
    num_motions: int
    iterations: int
    """Iterations done, those before a resume included."""
    samples_per_second: float
    """Over the iterations of this process' life, collection and learning together."""
    duration_s: float
    """Wall time of the training loop. [s]"""
    zero_action: TrackingResult | None = None
    """Evaluation of the zero action; None where it was not asked for."""
    at_start: TrackingResult | None = None
    at_end: TrackingResult | None = None

    def as_plain(self) -> dict[str, Any]:
        """Return plain values, for JSON and hooks."""
        plain = attrs.asdict(self)
        plain["run_dir"] = str(self.run_dir)
        for name in ("zero_action", "at_start", "at_end"):
            result = getattr(self, name)
            if result is not None:
                plain[name]["tracked_fraction"] = result.tracked_fraction
        return plain
