"""What lifecycle hooks are told about the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.config import RunCfg
    from grail_framework.plugins.results import TerrainPlan


@attrs.frozen(kw_only=True)
class RunContext:
    """One process of one run, as its hooks see it."""

    run_dir: Path
    """The run directory; it exists, and only rank 0 writes to it."""
    task: str
    """Qualified name of the task."""
    cfg: RunCfg
    """The resolved configuration."""
    rank: int = 0
    """Rank of this process among all processes of the run."""
    world_size: int = 1
    """Number of processes of the run."""
    terrain: TerrainPlan | None = None
    """Which motion each environment of this process follows, on which terrain; None: no plugin planned any, or not yet."""
