"""The section of a run on terrain: which folder is meant, what a saved run keeps, what each process is told."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from grail_framework.config import ActionCfg, MotionCfg, ObjectCfg, RunCfg, SceneCfg
from grail_framework.config.compose import RunOptions, compose
from grail_framework.config.structure import to_plain
from grail_framework.errors import ConfigError, DataError
from grail_framework.plugins.context import RunContext
from grail_framework.plugins.manager import GrailPluginManager
from grail_terrain import keys_file
from grail_terrain.config import TerrainCfg
from grail_terrain.hooks import leave_keys, plan_run, settle


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture
def library(tmp_path):
    for key in ("a", "b", "c"):
        for name in (f"robot/{key}.pkl", f"object_usd/{key}.usd", f"../flat/walk_{key}.pkl"):
            path = tmp_path / "stairs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "stairs" / "flat_placeholder.usd").touch()
    return tmp_path / "stairs"


def run_cfg(motion=None, section=None, **settings):
    return RunCfg(
        task="t",
        action=ActionCfg(func="a"),
        observations={},
        rewards={},
        terminations={},
        scene=SceneCfg(object=ObjectCfg(dynamic=False)),
        motion=motion or MotionCfg(),
        extra={"terrain": section or TerrainCfg()},
        **settings,
    )


def test_another_task_is_left_alone(manager, library):
    cfg = attrs.evolve(run_cfg(), extra={})
    assert settle(cfg) is None
    assert plan_run(cfg, 0, 1) is None
    assert manager.discover_terrain(cfg, 0, 1) is None
    assert manager.check_motions(cfg, None) == []


@pytest.mark.parametrize(
    ("motion", "said"),
    [
        ({}, None),
        ({"data": "stairs"}, None),
        ({"robot_dir": "stairs/robot"}, None),
        ({"data": "other"}, "--data other is not used: terrain_motion_dir=stairs names the motions"),
        ({"robot_dir": "other"}, "motion.robot_dir=other is not used"),
        ({"object_usd": "x"}, "motion.object_usd=x is not used"),
        ({"shard_by_rank": True}, r"motion.shard_* is not used"),
        ({"shard_rank": 1, "shard_world_size": 64}, r"motion.shard_* is not used"),
    ],
)
def test_the_folder_of_the_section_is_the_runs_data(motion, said):
    settled = settle(run_cfg(MotionCfg(**motion), TerrainCfg(terrain_motion_dir="stairs", flat_to_terrain_ratio=1)))
    assert settled.cfg.motion == MotionCfg(data="stairs")
    assert settled.cfg.extra["terrain"] == TerrainCfg(flat_to_terrain_ratio=1)
    assert len(settled.warnings) == (said is not None)
    assert said is None or settled.warnings[0].startswith(said)
    assert settle(settled.cfg) is None  # settling what is settled changes nothing


def test_another_data_later_means_other_motions(library):
    """`grail eval --data` of a run whose terrain the section named."""
    trained = settle(run_cfg(section=TerrainCfg(terrain_motion_dir="gone"))).cfg
    judged = attrs.evolve(trained, motion=attrs.evolve(trained.motion, data=str(library)), num_envs=3)
    assert plan_run(judged, 0, 1).terrain_dir == str(library)


def test_release_lines_name_the_folders(manager, library, monkeypatch):
    """The release's own words, through the whole composition."""
    lines = [
        f"++manager_env.commands.motion.motion_lib_cfg.motion_file={library}/robot",
        f"++manager_env.config.terrain_motion_dir={library}",
        f"++manager_env.config.flat_motion_dir={library.parent}/flat",
        "++manager_env.config.flat_to_terrain_ratio=2",
    ]
    composed = compose(
        manager.registry, task="terrain_tracking", options=RunOptions(num_envs=7), overrides=lines, settle=manager.settle_run
    )
    assert composed.cfg.motion.data == str(library)
    plan = manager.discover_terrain(composed.cfg, 0, 1)
    assert plan.env_motion == ("walk_a", "walk_b", "a", "walk_c", "walk_a", "b", "walk_b")
    assert plan.env_usd[0] == str(library / "flat_placeholder.usd")
    assert plan.flat_dir == str(library.parent / "flat")


def test_a_negative_ratio_is_refused_with_its_line(manager):
    with pytest.raises(ConfigError, match=r"extra.terrain.flat_to_terrain_ratio: got -1, allowed: a finite number >= 0"):
        compose(manager.registry, task="terrain_tracking", overrides=["++manager_env.config.flat_to_terrain_ratio=-1"])


def test_the_section_may_still_be_plain(library):
    cfg = run_cfg(MotionCfg(data=str(library)), num_envs=3)
    plain = attrs.evolve(cfg, extra=to_plain(cfg)["extra"])
    assert plan_run(plain, 0, 1) == plan_run(cfg, 0, 1)


def test_only_the_folder_of_the_robots_motions_is_named(library):
    assert plan_run(run_cfg(MotionCfg(robot_dir=str(library / "robot"))), 0, 1).terrain_dir == str(library)


@pytest.mark.parametrize("motion", [{}, {"robot_dir": "somewhere"}])
def test_no_folder(motion):
    with pytest.raises(DataError, match="no terrain motions are named: write --data DIR"):
        plan_run(run_cfg(MotionCfg(**motion)), 0, 1)


def test_no_object_in_the_scene(library):
    cfg = attrs.evolve(run_cfg(MotionCfg(data=str(library))), scene=SceneCfg())
    with pytest.raises(ConfigError, match=r"scene.object is null, and the terrain is the scene's object"):
        plan_run(cfg, 0, 1)


def test_ranks_go_on_where_the_one_before_stopped(library):
    cfg = run_cfg(MotionCfg(data=str(library)), num_envs=2)
    assert [plan_run(cfg, rank, 3).env_motion for rank in range(3)] == [("a", "b"), ("c", "a"), ("b", "c")]


def test_keys_are_left_and_the_mirror_freed(manager, library, tmp_path):
    mirror = tmp_path / "tmp"
    mirror.mkdir()
    cfg = run_cfg(MotionCfg(data=str(library)), TerrainCfg(keys_mirror_dir=str(mirror)), num_envs=4)
    run = RunContext(run_dir=tmp_path / "run", task="t", cfg=cfg, terrain=plan_run(cfg, 0, 1))
    manager.run_started(run)
    for folder in (run.run_dir, mirror):
        assert (folder / "rank_0_motion_keys.txt").read_text() == "a\nb\nc\na\n"
    assert run.run_dir in keys_file._held
    manager.run_finished(run, {})
    assert run.run_dir not in keys_file._held
    manager.run_started(run)
    manager.run_failed(run, ValueError())
    assert run.run_dir not in keys_file._held


def test_no_keys_without_a_plan_or_a_mirror_without_a_folder(library, tmp_path):
    cfg = run_cfg(MotionCfg(data=str(library)), TerrainCfg(keys_mirror_dir=None), num_envs=1)
    run = RunContext(run_dir=tmp_path / "run", task="t", cfg=cfg)
    leave_keys(run)
    assert not Path(run.run_dir).exists()
    leave_keys(attrs.evolve(run, terrain=plan_run(cfg, 0, 1)))
    assert (run.run_dir / "rank_0_motion_keys.txt").read_text() == "a\n"
