"""What hooks give back to the host; plugin authors build these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from grail_framework.config import RunCfg


@attrs.frozen(kw_only=True)
class SettledRun:
    """A configuration that a plugin settled, with what the user should know of it."""

    cfg: RunCfg
    """The whole configuration."""
    warnings: tuple[str, ...] = ()
    """A sentence each; shown before the run starts."""


@attrs.frozen(kw_only=True)
class TerrainPlan:
    """Which terrain stands in each environment of a process, and which motions are loaded for them."""

    env_usd: tuple[str, ...]
    """One USD file per environment, in environment order."""
    motion_keys: tuple[str, ...]
    """Motion to load for this process, in loading order; a key may repeat."""
    num_terrain_motions: int
    """How many of the keys, from the first, belong to a terrain; the rest walk on flat ground. [-]"""


@attrs.frozen(kw_only=True)
class CheckpointFormat:
    """A checkpoint file format other than the run's own."""

    name: str
    """What the format is called in messages."""
    detect: Callable[[Path], bool]
    """Say whether a file is of this format, from its first bytes or its name; must not raise on other files."""
    read: Callable[[Path], dict[str, Any]]
    """Read a file into tensors and plain values, keyed as the run's own checkpoints are."""
    write: Callable[[Path, dict[str, Any]], None] | None = None
    """Write such a dictionary; None: the format is only read."""


@attrs.frozen(kw_only=True)
class HealthCheck:
    """One line of `grail doctor`."""

    name: str
    """What was checked."""
    ok: bool
    """Whether it is as it should be."""
    detail: str = ""
    """What was found."""
    fix: str = ""
    """What to do when it is not ok."""
