"""What a run did, in a few numbers: shown at its end and handed to the hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.evaluation.score import Evaluation


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
    zero_action: Evaluation | None = None
    """Evaluation of the zero action; None where it was not asked for."""
    at_start: Evaluation | None = None
    at_end: Evaluation | None = None

    def as_plain(self) -> dict[str, Any]:
        """Return plain values, for JSON and hooks."""
        plain: dict[str, Any] = attrs.asdict(self, recurse=False) | {"run_dir": str(self.run_dir)}
        for name in ("zero_action", "at_start", "at_end"):
            evaluation: Evaluation | None = plain[name]
            plain[name] = evaluation.as_plain() if evaluation is not None else None
        return plain
