"""Terrain tracking: which terrain stands in each environment, launch paths of the release's terrain configuration, `grail terrain`.

Import strings only: this module is read by every `grail` command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grail_framework import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grail_framework.config import RunCfg
    from grail_framework.motion.faults import ClipFault
    from grail_framework.motion.library import MotionLibrary
    from grail_framework.plugins.context import RunContext
    from grail_framework.plugins.results import SettledRun, TerrainPlan
    from grail_framework.registry import Registrar

grail_api = ">=1,<2"


@hookimpl
def grail_register_tasks(registry: Registrar) -> None:
    """Register the plugin's task."""
    registry.add(
        "terrain_tracking",
        "grail_terrain.tasks.terrain_tracking:terrain_tracking",
        summary="Walk over stairs, curbs and slopes as the reference does",
    )


@hookimpl
def grail_register_demo_library(registry: Registrar) -> None:
    """Register how the plugin's task gets demonstration data."""
    registry.add(
        "terrain_tracking",
        "grail_terrain.demo.library:make_terrain_tracking",
        summary="Walks up and down stairs, curbs and slopes",
    )


@hookimpl
def grail_register_release_aliases(registry: Registrar) -> None:
    """Register the plugin's release paths."""
    registry.add("terrain", "grail_terrain.release_aliases:ALIASES", summary="Folders and ratio of terrain and flat motions")


@hookimpl
def grail_register_config_section(registry: Registrar) -> None:
    """Register the section `extra.terrain`."""
    registry.add("terrain", "grail_terrain.config:TerrainCfg", summary="Where terrain and flat motions are, and their ratio")


@hookimpl
def grail_register_cli(registry: Registrar) -> None:
    """Register `grail terrain`."""
    registry.add("terrain", "grail_terrain.command:terrain", summary="Show how terrains are dealt to environments")


@hookimpl
def grail_settle_run(cfg: RunCfg) -> SettledRun | None:
    """Bring the folders of a run on terrain together."""
    from grail_terrain.hooks import settle

    return settle(cfg) if "terrain" in cfg.extra else None


@hookimpl
def grail_discover_terrain(cfg: RunCfg, rank: int, world_size: int) -> TerrainPlan | None:
    """Plan which motion each environment follows, on which terrain."""
    from grail_terrain.hooks import plan_run

    return plan_run(cfg, rank, world_size)


@hookimpl
def grail_check_motions(cfg: RunCfg, motions: MotionLibrary) -> Iterable[ClipFault]:
    """Find motions whose terrain is not there under their feet."""
    if "terrain" not in cfg.extra:
        return ()
    from grail_terrain.footing import footing_faults

    return footing_faults(motions)


@hookimpl
def grail_run_started(run: RunContext) -> None:
    """Leave the list of this process's motions."""
    from grail_terrain.hooks import leave_keys

    leave_keys(run)


@hookimpl
def grail_run_failed(run: RunContext) -> None:
    """Let another run have the mirror of the list."""
    from grail_terrain.keys_file import release

    release(run.run_dir)


@hookimpl
def grail_run_finished(run: RunContext) -> None:
    """Let another run have the mirror of the list."""
    from grail_terrain.keys_file import release

    release(run.run_dir)


@hookimpl
def grail_register_observations(registry: Registrar) -> None:
    """Register the plugin's observation terms."""
    registry.add(
        "height_map_z_flat",
        "grail_terrain.mdp.height_map:height_map_z_flat",
        summary="Heights of the terrain around the robot, along a fan of rays from its root",
    )
