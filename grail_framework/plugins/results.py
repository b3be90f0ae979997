"""What hooks give back to the host; plugin authors build these."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import attrs

from grail_framework.errors import DataError, suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
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
class TerrainMotion:
    """A motion and the asset it is walked on."""

    key: str
    """What the run calls it; unique in a plan."""
    usd: str
    """The asset that stands in its environments."""
    stem: str
    """What its files are called in the library they are from."""
    flat: bool = False
    """It comes from the flat library, whose motions have no terrain of their own."""


@attrs.frozen(kw_only=True)
class TerrainPlan:
    """Which motion each environment of a process follows, each on the asset of its own, and where the motions are."""

    motions: tuple[TerrainMotion, ...]
    """All that were found and selected, of every process; what an evaluation follows."""
    env_motion: tuple[str, ...]
    """Key of the motion of each environment, in environment order."""
    terrain_dir: str
    """Folder of the motions with a terrain, as `motion.data`."""
    flat_dir: str | None = None
    """Folder of the others, as `motion.robot_dir`; None: there are none."""
    notes: tuple[str, ...] = ()
    """What was planned, a line each: for the run's log and the console."""
    warnings: tuple[str, ...] = ()
    """What the user should know, a sentence each."""

    def find(self, key: str) -> TerrainMotion:
        """Return the motion of a key.

        Raises:
            DataError: there is none; close matches are named.
        """
        for motion in self.motions:
            if motion.key == key:
                return motion
        raise DataError(f"no motion {key!r} on this terrain: {suggest(key, [motion.key for motion in self.motions])}")

    @property
    def env_usd(self) -> tuple[str, ...]:
        """The asset of each environment, in environment order."""
        by_key = self._by_key()
        return tuple(by_key[key].usd for key in self.env_motion)

    @property
    def motion_keys(self) -> tuple[str, ...]:
        """The motions of this process: that of each terrain environment, so a key may repeat, then the flat ones, once each."""
        by_key = self._by_key()
        flat = dict.fromkeys(key for key in self.env_motion if by_key[key].flat)
        return (*(key for key in self.env_motion if not by_key[key].flat), *flat)

    @property
    def num_terrain_motions(self) -> int:
        """How many of the keys, from the first, belong to a terrain: one per terrain environment. [-]"""
        by_key = self._by_key()
        return sum(not by_key[key].flat for key in self.env_motion)

    def followed(self) -> tuple[TerrainMotion, ...]:
        """Return the motions that this process follows, in the order they are loaded, once each."""
        by_key = self._by_key()
        return tuple(by_key[key] for key in dict.fromkeys(self.motion_keys))

    def only(self, keys: Sequence[str]) -> TerrainPlan:
        """Return the plan of environments that follow exactly these motions, environment k the k-th.

        Raises:
            DataError: one of them is not in the plan.
        """
        return attrs.evolve(self, env_motion=tuple(self.find(key).key for key in keys), notes=(), warnings=())

    def without(self, keys: Collection[str]) -> TerrainPlan:
        """Return the plan without some motions: their environments follow, in turn, the others of this process, of the same kind if any.

        What other processes follow is untouched, so they need not know.

        Raises:
            DataError: no motion is left.
        """
        left = [motion for motion in self.followed() if motion.key not in keys]
        if not left:
            raise DataError(
                f"none of the {len(self.followed())} motions of this process can be used; see what is said of them above"
            )
        kinds = {
            flat: cycle([motion.key for motion in left if motion.flat is flat] or [motion.key for motion in left])
            for flat in (True, False)
        }
        by_key = self._by_key()
        env_motion = tuple(next(kinds[by_key[key].flat]) if key in keys else key for key in self.env_motion)
        return attrs.evolve(self, motions=tuple(m for m in self.motions if m.key not in keys), env_motion=env_motion)

    def _by_key(self) -> dict[str, TerrainMotion]:
        return {motion.key: motion for motion in self.motions}


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
