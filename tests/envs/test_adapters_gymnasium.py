"""gymnasium's own checks, and what its conventions ask beyond them."""

import warnings

import attrs
import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from grail_framework.config import ObservationGroupCfg, ObservationTermCfg
from grail_framework.envs.adapters.gymnasium import GymnasiumEnv, GymnasiumVectorEnv
from grail_framework.errors import ConfigError
from grail_framework.testing.fakes import standing_clip


@pytest.fixture
def cfg(pnp_cfg):
    command = attrs.evolve(pnp_cfg.command, start_from_first_frame=True, sample_before_contact=False)
    time_outs = {name: term for name, term in pnp_cfg.terminations.items() if term.time_out}
    return attrs.evolve(pnp_cfg, command=command, terminations=time_outs, rewards={})


@pytest.fixture
def clips(robot):
    return [standing_clip(robot, key=f"clip_{n}", with_object=True, frames=n) for n in (20, 30)]


def test_the_checker_passes(make_env, pnp_cfg):
    env = GymnasiumEnv(make_env(attrs.evolve(pnp_cfg, num_envs=1)))
    with warnings.catch_warnings():
        # What it recommends of bounds, here those of the policy's own units, and says of whatever is not in its registry.
        warnings.filterwarnings("ignore", message=r".*Box observation space (minimum|maximum) value is .*infinity")
        warnings.filterwarnings("ignore", message=r".*Not able to test alternative render modes")
        warnings.filterwarnings("ignore", message=r".*we recommend using a symmetric and normalized space")
        check_env(env)


def test_a_single_environment_shows_the_state_it_ended_in(make_env, cfg, clips):
    env = GymnasiumEnv(make_env(attrs.evolve(cfg, num_envs=1), clips[:1]))
    first, _ = env.reset(seed=1)
    zero = np.zeros(env.action_space.shape, np.float32)
    for step in range(1, 21):
        observation, reward, terminated, truncated, info = env.step(zero)
        assert isinstance(reward, float)
        assert (terminated, truncated, info) == (False, step == 20, {})
    # No new episode was begun: the robot stands where it stood, 19 frames behind its reference of 1 cm each.
    assert env.env.command.frame.tolist() == [20]
    assert observation["policy"][638] == pytest.approx(0.19, abs=1e-5)
    again, _ = env.reset(seed=1)
    np.testing.assert_array_equal(again["policy"], first["policy"])
    env.close()
    env.close()


def test_more_copies_than_one_are_refused(env):
    with pytest.raises(ConfigError, match=r"got num_envs=4; use GymnasiumVectorEnv"):
        GymnasiumEnv(env)


def test_vector_environment_resets_in_the_step_and_hands_out_final_observations(make_env, cfg, clips):
    env = GymnasiumVectorEnv(make_env(cfg, clips))
    assert isinstance(env, gymnasium.vector.VectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    first, _ = env.reset(seed=3)
    assert env.observation_space.contains(first)
    zero = np.zeros(env.action_space.shape, np.float32)
    assert env.action_space.contains(zero)
    for step in range(1, 21):
        observations, reward, terminated, truncated, infos = env.step(zero)
        assert env.observation_space.contains(observations)
        assert reward.shape == (4,)
        assert not terminated.any()
        # Environments 0 and 2 follow the motion of 20 frames.
        assert truncated.tolist() == [step == 20, False] * 2
        assert ("final_obs" in infos) == (step == 20)
    assert infos["_final_obs"].tolist() == [True, False] * 2
    ahead = slice(638, 639)
    assert infos["final_obs"]["policy"][[0, 2], ahead].tolist() == pytest.approx(np.full((2, 1), 0.19), abs=1e-5)
    np.testing.assert_allclose(observations["policy"][[0, 2]], first["policy"][[0, 2]], atol=1e-6)
    assert observations["policy"][[1, 3], ahead] == pytest.approx(np.full((2, 1), 0.20), abs=1e-5)
    env.close()


def test_histories_of_the_others_do_not_move_in_a_reset(make_env, cfg, clips):
    """The reference position is seen over three frames: oldest first, 1 cm apart."""
    term = ObservationTermCfg(func="core:motion_anchor_pos_b", history_length=3)
    group = ObservationGroupCfg(terms={"ahead": term})
    inner = make_env(attrs.evolve(cfg, observations=cfg.observations | {"seen": group}), clips)
    env = GymnasiumVectorEnv(inner)
    env.reset()
    zero = np.zeros(env.action_space.shape, np.float32)
    for _ in range(20):
        observations, *_ = env.step(zero)
    along_x = observations["seen"].reshape(4, 3, 3)[:, :, 0]
    np.testing.assert_allclose(along_x[[0, 2]], np.zeros((2, 3)), atol=1e-6)
    np.testing.assert_allclose(along_x[[1, 3]], [[0.18, 0.19, 0.20]] * 2, atol=1e-5)


def test_a_seed_repeats_the_start_frames(make_env, pnp_cfg):
    env = GymnasiumVectorEnv(make_env(attrs.evolve(pnp_cfg, num_envs=64)))
    env.reset(seed=5)
    start = env.env.command.start.clone()
    env.reset()
    assert not torch.equal(env.env.command.start, start)
    env.reset(seed=5)
    assert torch.equal(env.env.command.start, start)
