"""Every observation of the hand-object tasks against scipy and by hand."""

import attrs
import numpy as np
import pytest
import torch

from grail_framework.mdp import object_observations as objects
from grail_framework.mdp import observations
from grail_framework.testing import assert_term_contract

N, FRAMES, SPACING = 3, 80, 5


def close(tensor, expected, atol=1e-4):
    np.testing.assert_allclose(np.asarray(tensor), np.asarray(expected), atol=atol)


def six(rotation):
    """First two columns of the matrix, by rows."""
    return rotation.as_matrix()[..., :2].reshape(*rotation.as_matrix().shape[:-2], 6)


def window_frames(env, i):
    """Frames of the future window by the rule: ten frames, a tenth of a second apart, the last frame repeated."""
    return np.minimum(int(env.command.frame[i]) + SPACING * np.arange(10), FRAMES - 1)


def frames_of(env, i, frames):
    ids = torch.full((len(frames),), int(env.command.motion_ids[i]))
    return env.motions.frame(ids, torch.as_tensor(frames))


def test_widths_and_order_of_pnp_table(env):
    assert env.observation_dims == {"policy": 996, "critic": 1113}
    policy, critic = (list(env.groups[name].layout.values()) for name in ("policy", "critic"))
    assert policy == [58, 580, 3, 60, 6, 3, 3, 43, 43, 43, 3, 24, 30, 60, 9, 3, 6, 3, 6, 10]
    assert critic == [58, 580, 3, 6, 60, 42, 84, 3, 3, 43, 43, 43, 3, 24, 30, 60, 9, 3, 6, 3, 6, 1]
    assert env.num_actions == 31


def test_every_reward_keeps_the_contract(env, registry):
    signed = ("finger_direction_right",)
    for name, term in env.cfg.rewards.items():
        if name not in signed:
            assert_term_contract(registry.find("reward", term.func).load(), env, kind="reward", **term.params)


def test_command(env):
    close(observations.command(env)[:, :29], env.reference.joint_pos)
    close(observations.command(env)[:, 29:], env.reference.joint_vel)
    close(observations.command_z(env)[:, 0], env.reference.root_pos[:, 2])


def test_command_multi_future_is_all_positions_then_all_velocities(env):
    """The release's order: a row of the reshaped vector is not one frame's positions and velocities."""
    value = observations.command_multi_future(env)
    assert value.shape == (N, 580)
    for i in range(N):
        reference = frames_of(env, i, window_frames(env, i))
        close(value[i, :290].view(10, 29), reference.joint_pos)
        close(value[i, 290:].view(10, 29), reference.joint_vel)


def test_anchor_orientation_of_the_window(env, rot):
    value, now = observations.motion_anchor_ori_b_mf(env), observations.motion_anchor_ori_b(env)
    for i in range(N):
        reference = rot(frames_of(env, i, window_frames(env, i)).root_quat)
        close(value[i].view(10, 6), six(rot(env.view.anchor_quat_w[i]).inv() * reference))
    close(value[:, :6], now)  # the window begins with the current frame


def test_root_velocities_are_turned_into_the_root_frame(env, rot):
    to_root = rot(env.state.root_quat_w).inv()
    close(observations.base_lin_vel(env), to_root.apply(env.state.root_lin_vel_w))
    close(observations.base_ang_vel(env), to_root.apply(env.state.root_ang_vel_w))
    close(observations.gravity_dir(env), to_root.apply([0.0, 0.0, -1.0]))


def test_joints_and_actions(env, robot):
    default = np.array([joint.default_pos for joint in robot.joints])
    close(observations.joint_pos(env), env.state.joint_pos.numpy() - default)
    close(observations.joint_vel(env), env.state.joint_vel)
    assert observations.actions(env).shape == (N, 43)
    assert (observations.actions(env) == 0).all()


def test_simulated_object(env, rot):
    state = env.state
    to_root = rot(state.root_quat_w).inv()
    close(objects.target_object_pos(env), to_root.apply(state.object_pos_w - state.root_pos_w))


def test_object_window(env, rot):
    state = env.state
    pos, ori = objects.object_pos_delta_multi_future(env), objects.object_ori_delta_multi_future_6d(env)
    assert (pos.shape, ori.shape) == ((N, 30), (N, 60))
    for i in range(N):
        reference = frames_of(env, i, window_frames(env, i))
        delta = np.asarray(reference.object_pos_w - state.object_pos_w[i])
        close(pos[i].view(10, 3), rot(state.root_quat_w[i]).inv().apply(delta))
        close(ori[i].view(10, 6), six(rot(state.object_quat_w[i]).inv() * rot(reference.object_quat_w)))


def test_reference_object(env, rot):
    state, reference = env.state, env.reference
    to_root = rot(state.root_quat_w).inv()
    close(objects.object_pos_b(env), to_root.apply(reference.object_pos_w - state.root_pos_w))
    close(objects.object_ori_b_6d(env), six(to_root * rot(reference.object_quat_w)))


def test_table(env, rot):
    state = env.state
    to_root = rot(state.root_quat_w).inv()
    close(objects.table_pos_b(env), to_root.apply(state.table_pos_w - state.root_pos_w))
    close(objects.table_ori_b(env), six(to_root * rot(state.table_quat_w)))
    env.engine.spec = attrs.evolve(env.engine.spec, table_size=None)
    assert (objects.table_pos_b(env) == 0).all()
    assert (objects.table_ori_b(env) == 0).all()


def test_object_bps_is_that_of_the_motion(env):
    assert torch.equal(objects.object_bps(env), env.motions.bps[[0, 1, 0]])


@pytest.mark.parametrize("group", ["policy", "critic"])
def test_every_term_keeps_the_contract(env, registry, group):
    for term in env.cfg.observations[group].terms.values():
        assert_term_contract(registry.find("observation", term.func).load(), env, kind="observation", **term.params)


def test_noise_is_off_by_default_and_within_its_bounds(cfg, robot, registry, library):
    from grail_framework.envs.scene import scene_spec
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.testing.fakes import KinematicEngine

    def observed(corrupt):
        groups = {name: attrs.evolve(group, enable_corruption=corrupt) for name, group in cfg.observations.items()}
        env = TrackingEnv(
            attrs.evolve(cfg, observations=groups, num_envs=64),
            KinematicEngine(scene_spec(attrs.evolve(cfg, num_envs=64), robot, library, device="cpu")),
            library,
            registry,
        )
        env.begin_evaluation()  # frame 0 for all, and no noise
        clean = env.reset()["policy"]
        env.evaluating = False
        return env, env.observe(torch.ones(64, dtype=torch.bool))["policy"] - clean

    _, difference = observed(corrupt=False)
    assert (difference == 0).all()
    env, difference = observed(corrupt=True)
    bounds = {"motion_anchor_pos_b": 0.25, "motion_anchor_ori_b_mf": 0.05, "motion_anchor_ori_b": 0.05, "base_lin_vel": 0.5}
    bounds |= {"base_ang_vel": 0.2, "joint_pos": 0.01, "joint_vel": 0.5}
    bounds |= {"object_pos_delta_multi_future": 0.02, "object_ori_delta_multi_future_6d": 0.02}
    layout = env.groups["policy"].layout
    for name, part in zip(layout, difference.split(list(layout.values()), dim=1), strict=True):
        bound = bounds.get(name, 0.0)
        assert part.abs().max() <= bound + 1e-4
        if bound:
            assert part.max() > 0.9 * bound
            assert part.min() < -0.9 * bound
