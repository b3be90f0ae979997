"""Many copies as one gymnasium `Env` of tensors."""

import attrs
import numpy as np
import pytest
import torch

from grail_framework.envs.adapters.gymnasium_tensors import GymnasiumTensorEnv
from grail_framework.testing.fakes import standing_clip


@pytest.fixture
def env(make_env, pnp_cfg, robot):
    command = attrs.evolve(pnp_cfg.command, start_from_first_frame=True, sample_before_contact=False)
    time_outs = {name: term for name, term in pnp_cfg.terminations.items() if term.time_out}
    clips = [standing_clip(robot, key=f"clip_{n}", with_object=True, frames=n) for n in (20, 30)]
    cfg = attrs.evolve(pnp_cfg, command=command, terminations=time_outs, rewards={}, num_envs=2)
    return GymnasiumTensorEnv(make_env(cfg, clips))


def test_spaces_hold_all_copies(env):
    observations, info = env.reset(seed=3)
    assert (env.num_envs, info, list(observations)) == (2, {}, ["policy", "critic"])
    for name, value in observations.items():
        assert env.observation_space[name].contains(value.numpy())
        assert env.single_observation_space[name].shape == value.shape[1:]
    assert env.action_space.shape == (2, *env.single_action_space.shape)


def test_each_copy_begins_anew_in_the_step_in_which_it_ends(env):
    env.reset()
    zero = torch.zeros(env.action_space.shape)
    ends = {step: truncated.tolist() for step in range(1, 41) if (truncated := env.step(zero)[3]).any()}
    # An episode that begins within a step is a frame further at its end.
    assert ends == {20: [True, False], 30: [False, True], 39: [True, False]}


def test_a_step_takes_arrays_too(env):
    env.reset()
    observations, reward, terminated, truncated, _ = env.step(np.zeros(env.action_space.shape))
    assert all(isinstance(value, torch.Tensor) for value in (*observations.values(), reward, terminated, truncated))
    assert reward.shape == terminated.shape == truncated.shape == (2,)


def test_the_same_seed_gives_the_same_start(make_env, pnp_cfg):
    command = attrs.evolve(pnp_cfg.command, start_from_first_frame=False, sample_before_contact=False)
    env = GymnasiumTensorEnv(make_env(attrs.evolve(pnp_cfg, command=command)))
    first, again, other = (env.reset(seed=seed)[0]["policy"].clone() for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_it_is_closed_once(env):
    env.close()
    env.close()
