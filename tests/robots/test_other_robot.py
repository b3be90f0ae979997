"""A robot of another kind, registered by a plugin: nothing of the framework knows it."""

import json
from pathlib import Path

import attrs
import mujoco
import numpy as np
import pytest
import torch

from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.errors import AssetError
from grail_framework.motion.library import MotionLibrary
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.builder import build_robot, write_mjcf
from grail_framework.robots.from_asset import robot_from_asset
from grail_framework.robots.g1 import g1_29dof
from grail_framework.robots.kinematics import Kinematics
from grail_framework.runs.assembly import build_env, load_parts
from grail_framework.runs.preflight import preflight
from grail_framework.testing.fakes import KinematicEngine, standing_clip

from .hopper import PAD_MASS, SHANK_MASS, THIGH_MASS, TRUNK_MASS, hopper


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager(plugin_files=[Path(__file__).with_name("hopper.py")]).load()


@pytest.fixture
def motions(tmp_path):
    """Two motions of one second: the hopper bends its knee by 0.4 rad and back."""
    for index in (0, 1):
        phase = np.linspace(0.0, 2.0 * np.pi, 51)
        knee = 0.6 + 0.2 * (1.0 - np.cos(phase))
        rows = np.column_stack((0.85 - 0.05 * (knee - 0.6), -knee / 2.0, knee))
        (tmp_path / f"bend__{index}.hop").write_text(json.dumps(rows.tolist()), encoding="utf-8")
    return tmp_path


def configuration(manager, motions, **robot):
    cfg = manager.registry.find("task", "motion_tracking").load()()
    return attrs.evolve(
        cfg,
        num_envs=4,
        robot=attrs.evolve(cfg.robot, name="hopper", **robot),
        motion=attrs.evolve(cfg.motion, data=str(motions)),
        engine=attrs.evolve(cfg.engine, name="mujoco", num_threads=1),
    )


def test_kinematics_are_right_by_hand():
    """Hip at 0.5 rad and knee at 0.25 rad about y: each link hangs 0.4 m along the direction summed up so far."""
    robot = hopper()
    joints = torch.tensor([[0.25, 0.5]])  # knee, hip: the order of joint_names
    pos, _ = Kinematics(robot).forward(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]]), joints)
    expected = np.array([0.0, 0.0, 0.95])
    np.testing.assert_allclose(pos[0, 1], expected, atol=1e-6)
    for link, angle in ((2, 0.5), (3, 0.75)):
        expected = expected + 0.4 * np.array([-np.sin(angle), 0.0, -np.cos(angle)])
        np.testing.assert_allclose(pos[0, link], expected, atol=1e-6)


def test_the_mujoco_model_has_its_names_and_mass():
    model = build_robot(hopper()).compile()
    assert [model.joint(index).name for index in range(model.njnt)] == ["root", "hip", "knee"]
    assert [model.actuator(index).name for index in range(model.nu)] == ["knee", "hip"]
    assert model.body_mass.sum() == pytest.approx(TRUNK_MASS + THIGH_MASS + SHANK_MASS + PAD_MASS)
    assert mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "pad") > 0


def test_motion_tracking_runs_with_it(manager, motions):
    parts = load_parts(configuration(manager, motions), manager)
    assert parts.robot.name == "hopper"
    assert parts.motions.num_motions == 2
    env = build_env(parts)
    try:
        assert env.num_actions == 2
        observations = env.reset()
        assert {"policy", "critic"} <= set(observations)
        for _ in range(20):
            observations, reward, *_ = env.step(torch.zeros(4, env.num_actions))
            assert all(torch.isfinite(group).all() for group in observations.values())
            assert torch.isfinite(reward).all()
            assert (reward > 0.0).any()
    finally:
        env.close()


def test_its_own_file_stands_in_for_it(manager, motions, tmp_path):
    path = write_mjcf(hopper(), tmp_path / "mine.xml")
    path.write_text(path.read_text(encoding="utf-8").replace('mass="8"', 'mass="9"'), encoding="utf-8")
    parts = load_parts(configuration(manager, motions, asset=str(path)), manager)
    assert parts.robot.body_names == hopper().body_names
    assert parts.robot.bodies[0].mass == pytest.approx(9.0)
    assert parts.robot.joints == robot_from_asset(path, hopper()).joints


def test_a_missing_robot_file_is_said_before_anything_is_loaded(manager, motions):
    cfg = configuration(manager, motions, asset=str(motions / "bend__0.urdf"))
    with pytest.raises(AssetError, match=r"robot\.asset: .*bend__0\.urdf does not exist; did you mean .*bend__0\.hop"):
        preflight(cfg, manager.registry)


def test_motion_tracking_runs_with_the_g1_without_hands(manager):
    robot = g1_29dof()
    cfg = attrs.evolve(manager.registry.find("task", "motion_tracking").load()(), num_envs=2)
    cfg = attrs.evolve(cfg, robot=attrs.evolve(cfg.robot, name="g1_29dof"))
    motions = MotionLibrary.build([standing_clip(robot)], robot, device="cpu")
    env = TrackingEnv(cfg, KinematicEngine(scene_spec(cfg, robot, motions, device="cpu")), motions, manager.registry, seed=0)
    assert env.num_actions == 29  # no hand primitives
    env.reset()
    observations, reward, *_ = env.step(torch.zeros(2, 29))
    assert all(torch.isfinite(group).all() for group in observations.values())
    assert (reward > 0.0).all()
