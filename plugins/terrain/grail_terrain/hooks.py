"""What the plugin does when the framework asks: settle its section, plan the terrain, leave the list of motions. No torch on import."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from grail_framework.config.structure import from_plain
from grail_framework.errors import ConfigError, DataError
from grail_framework.plugins.results import SettledRun
from grail_terrain import keys_file
from grail_terrain.config import TerrainCfg
from grail_terrain.discovery import discover
from grail_terrain.plan import deal_of, make_plan

if TYPE_CHECKING:
    from grail_framework.config import MotionCfg, RunCfg
    from grail_framework.plugins.context import RunContext
    from grail_framework.plugins.results import TerrainPlan

SECTION: Final = "terrain"


def section_of(cfg: RunCfg) -> TerrainCfg | None:
    """Return the plugin's section of a run; None: it is not a run on terrain."""
    section = cfg.extra.get(SECTION)
    # Still plain where somebody built the configuration without the classes of sections.
    return from_plain(TerrainCfg, section, path=f"extra.{SECTION}") if isinstance(section, Mapping) else section


def settle(cfg: RunCfg) -> SettledRun | None:
    """Let `motion.data` name the terrain motions, wherever the user named them, so that another `--data` later means other motions."""
    section = section_of(cfg)
    if section is None:
        return None
    motion, said = cfg.motion, []
    if section.terrain_motion_dir is not None:
        motion, said = _with_data(motion, section.terrain_motion_dir)
        section = attrs.evolve(section, terrain_motion_dir=None)
    if motion.object_usd is not None:
        said.append(f"motion.object_usd={motion.object_usd} is not used: terrains are those of object_usd/ beside the motions")
        motion = attrs.evolve(motion, object_usd=None)
    if motion.shard_by_rank or motion.shard_rank is not None or motion.shard_world_size is not None:
        said.append("motion.shard_* is not used: on terrain, motions are dealt to the environments of all processes")
        motion = attrs.evolve(motion, shard_by_rank=False, shard_rank=None, shard_world_size=None)
    settled = attrs.evolve(cfg, motion=motion, extra={**cfg.extra, SECTION: section})
    return None if settled == cfg and not said else SettledRun(cfg=settled, warnings=tuple(said))


def plan_run(cfg: RunCfg, rank: int, world_size: int) -> TerrainPlan | None:
    """Plan the environments of a process; None: it is not a run on terrain.

    Raises:
        DataError: motions and terrains do not pair, or a folder is not there.
        ConfigError: the settings contradict each other.
    """
    section = section_of(cfg)
    if section is None:
        return None
    if cfg.scene.object is None:
        raise ConfigError("scene.object is null, and the terrain is the scene's object. Leave it as the task has it")
    env_counts = _env_counts(cfg.num_envs, world_size)
    found = discover(
        library_of(cfg.motion, section),
        cfg.motion,
        flat_dir=_path(section.flat_motion_dir),
        flat_usd=_path(section.flat_usd_path),
        flat_envs=section.flat_to_terrain_ratio > 0,
    )
    return make_plan(found, deal_of(found, section.flat_to_terrain_ratio, env_counts), rank)


def leave_keys(run: RunContext) -> None:
    """Write the list of this process's motions."""
    section = section_of(run.cfg)
    if section is not None and run.terrain is not None:
        keys_file.write_keys(run.run_dir, run.rank, run.terrain.motion_keys, _path(section.keys_mirror_dir))


def library_of(motion: MotionCfg, section: TerrainCfg) -> Path:
    """Return the folder that holds the motions on terrain.

    Raises:
        DataError: none is named.
    """
    root = _path(section.terrain_motion_dir) or _path(motion.data)
    if root is not None:
        return root
    robot = _path(motion.robot_dir)
    if robot is not None and robot.name == "robot":
        return robot.parent
    raise DataError(
        "no terrain motions are named: write --data DIR, a folder with robot/ and object_usd/ (the release's "
        "++manager_env.config.terrain_motion_dir=DIR)"
    )


def _with_data(motion: MotionCfg, folder: str) -> tuple[MotionCfg, list[str]]:
    """Let `motion.data` be the folder; say which other setting is not used for it."""
    said: list[str] = []
    own = Path(folder).expanduser()
    if motion.data is not None and Path(motion.data).expanduser() != own:
        said.append(f"--data {motion.data} is not used: terrain_motion_dir={folder} names the motions")
    if motion.robot_dir is not None and Path(motion.robot_dir).expanduser() != own / "robot":
        said.append(f"motion.robot_dir={motion.robot_dir} is not used: terrain_motion_dir={folder} names the motions")
    return attrs.evolve(motion, data=str(own), robot_dir=None), said


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()


def _env_counts(num_envs: int, world_size: int) -> tuple[int, ...]:
    """Ask all processes how many environments they have; they may differ."""
    if world_size == 1:
        return (num_envs,)
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return (num_envs,) * world_size
    counts: list[int] = [0] * world_size
    dist.all_gather_object(counts, num_envs)
    return tuple(counts)
