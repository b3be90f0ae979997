"""Velocities given to the CPU engine from outside: pushes of the root, and resets of a moving object."""

import attrs
import pytest
import torch

from grail_framework.config.compose import RunOptions, compose
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.assembly import build_env, load_parts
from grail_framework.testing.bases import without_base
from grail_framework.testing.fakes import write_box_library


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    data = write_box_library(tmp_path_factory.mktemp("library"))
    manager = GrailPluginManager().load()
    options = RunOptions(data=str(data), engine="mujoco", num_envs=3)
    cfg = without_base(compose(manager.registry, task="pnp_ground", options=options).cfg, manager)
    env = build_env(load_parts(cfg, manager))
    yield env
    env.close()


def test_a_push_changes_the_velocity_of_the_centre_of_mass_where_it_is_meant(env):
    env.reset()
    for _ in range(3):
        env.step(torch.zeros(3, env.num_actions))
    before = attrs.evolve(env.state, root_lin_vel_w=env.state.root_lin_vel_w.clone(), joint_vel=env.state.joint_vel.clone())
    linear, angular = torch.randn(3, 3), torch.randn(3, 3)
    env.engine.set_root_velocity(torch.tensor([True, False, True]), linear, angular)
    for row in (0, 2):
        torch.testing.assert_close(env.state.root_lin_vel_w[row], linear[row], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(env.state.root_ang_vel_w[row], angular[row], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(env.state.root_lin_vel_w[1], before.root_lin_vel_w[1])
    torch.testing.assert_close(env.state.joint_vel, before.joint_vel)


def test_a_pushed_robot_moves_that_way(env):
    """Against MuJoCo itself: after a control step of 20 ms the pelvis has gone about v times 20 ms further than without the push."""
    ends = []
    for push in (0.0, 0.5):
        env.begin_evaluation()
        env.reset()
        speed = env.state.root_lin_vel_w.clone()
        speed[:, 1] += push
        env.engine.set_root_velocity(torch.ones(3, dtype=torch.bool), speed, env.state.root_ang_vel_w)
        env.engine.step(env.default_joint_pos)
        ends.append(env.state.root_pos_w[:, 1].clone())
    moved = ends[1] - ends[0]
    assert (moved > 0.5 * 0.5 * 0.02).all()
    assert (moved < 1.1 * 0.5 * 0.02).all()


def test_an_object_can_be_reset_in_motion(env):
    env.reset()
    linear, angular = torch.randn(3, 3), torch.randn(3, 3)
    state = attrs.evolve(env.start_state(), object_lin_vel_w=linear, object_ang_vel_w=angular)
    env.engine.reset(torch.ones(3, dtype=torch.bool), state)
    torch.testing.assert_close(env.state.object_lin_vel_w, linear, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(env.state.object_ang_vel_w, angular, atol=1e-5, rtol=1e-5)
    env.engine.reset(torch.ones(3, dtype=torch.bool), env.start_state())
    assert (env.state.object_lin_vel_w == 0).all()
