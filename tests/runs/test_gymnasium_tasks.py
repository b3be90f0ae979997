"""Tasks as gymnasium ids, and how Isaac Lab finds them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import gymnasium
import pytest
import torch
from gymnasium.vector import VectorEnv

from grail_framework.config.hardware import is_installed
from grail_framework.envs.adapters.gymnasium_tensors import GymnasiumTensorEnv
from grail_framework.errors import ConfigError
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.registry import Entry
from grail_framework.runs import gymnasium_tasks
from grail_framework.runs.gymnasium_tasks import build, gymnasium_id, isaaclab_config, register

TASK = {"device": "cpu", "engine": "mujoco"}


@pytest.fixture
def options(box_library):
    return {**TASK, "data": str(box_library)}


def entry(name, plugin="hoi"):
    return Entry(kind="task", name=name, plugin=plugin, target="x:y")


def test_every_task_has_an_id():
    tasks = {task.name for task in GrailPluginManager().load().registry.entries("task")}
    assert len(register()) == len(tasks)
    assert {"Grail-MotionTracking", "Grail-PnpTable", "Grail-PnpGround"} <= set(register())
    assert set(register()) <= set(gymnasium.registry)


def test_names_of_ids():
    assert gymnasium_id(entry("pnp_table")) == "Grail-PnpTable"
    assert gymnasium_id(entry("stairs2-up", "my_plugin"), qualified=True) == "Grail-MyPlugin-Stairs2Up"


def test_two_plugins_with_one_name_are_told_apart(monkeypatch):
    manager = GrailPluginManager(autoload=False).load()
    manager.registry.commit([entry("twice", "one"), entry("twice", "two")])
    monkeypatch.setattr(gymnasium_tasks, "_manager", lambda: manager)
    monkeypatch.setattr(gymnasium, "registry", {})
    monkeypatch.setattr(gymnasium, "register", lambda id, **settings: gymnasium.registry.update({id: settings}))
    assert register() == ("Grail-MotionBase", "Grail-MotionTracking", "Grail-One-Twice", "Grail-Two-Twice")
    assert gymnasium.registry["Grail-Two-Twice"]["kwargs"]["task"] == "two:twice"


def test_make_gives_an_environment_that_steps(options):
    env = gymnasium.make("Grail-MotionTracking", num_envs=2, **options)
    assert isinstance(env.unwrapped, GymnasiumTensorEnv)
    observations, _ = env.reset(seed=1)
    assert observations["policy"].shape == (2, env.unwrapped.single_observation_space["policy"].shape[0])
    _, reward, terminated, _, _ = env.step(torch.zeros(env.action_space.shape))
    assert reward.isfinite().all()
    assert not terminated.any()
    env.close()


def test_make_vec_gives_numpy_arrays(options):
    env = gymnasium.make_vec("Grail-MotionTracking", num_envs=2, **options)
    assert isinstance(env, VectorEnv)
    env.reset(seed=1)
    assert env.step(env.action_space.sample())[1].shape == (2,)
    env.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"render_mode": "human"}, r"render_mode: got 'human'"),
        ({"engine": "mujco"}, "no engine 'mujco'"),
        ({"device": "gpu"}, r"engine\.device.*'gpu'"),
        ({"overrides": ["rewards.x.weight=1"]}, r"rewards\.x"),
    ],
)
def test_mistakes(options, wrong, message):
    with pytest.raises(Exception, match=message):
        gymnasium.make("Grail-MotionTracking", num_envs=2, **{**options, **wrong})


def test_overrides_reach_the_environment(options):
    env = build("motion_tracking", num_envs=2, overrides=["scene.ground_friction=0.5", "seed=4"], **options)
    assert env.engine.spec.ground_friction == 0.5
    assert (env.cfg.seed, env.num_envs) == (4, 2)
    env.close()


def test_importing_the_module_is_light():
    code = (
        "import sys, grail_framework.runs.gymnasium_tasks\n"
        "print([name for name in ('torch', 'mujoco', 'isaaclab', 'warp', 'accelerate') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_isaac_labs_own_runners_are_told_what_to_do():
    with pytest.raises(ConfigError, match=r"grail run --task NAME.*gymnasium\.make"):
        isaaclab_config()


@pytest.mark.slow
@pytest.mark.skipif(not is_installed("isaaclab"), reason="comes with the isaaclab extra")
def test_isaac_lab_lists_the_tasks(tmp_path):
    info = tmp_path / "found" / "grail_tasks_of_a_test-0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: grail-tasks-of-a-test\nVersion: 0.0\n")
    (info / "entry_points.txt").write_text(f"[isaaclab.tasks]\ngrail = {gymnasium_tasks.__name__}\n")
    project = tmp_path / "project"
    project.mkdir()
    declared = f'[project.entry-points."isaaclab.tasks"]\ngrail = {json.dumps(gymnasium_tasks.__name__)}\n'
    (project / "pyproject.toml").write_text(declared)
    environment = {**os.environ, "PYTHONPATH": str(info.parent)}

    def listed(folder, *arguments):
        command = [sys.executable, "-m", "isaaclab", "list_envs", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        rows = [line.split("|") for line in done.stdout.splitlines() if line.count("|") > 3]
        return {row[2].strip() for row in rows} - {"Task Name"}

    assert set(register()) < listed(tmp_path)
    # In a project that declares the module, Isaac Lab lists that project's tasks alone.
    assert listed(project, "--show_presets") == set(register())
