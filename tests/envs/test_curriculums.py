"""Curricula: they run once per iteration, are logged, and go on after a restart."""

import attrs
import pytest
import torch

from grail_framework.config import CurriculumTermCfg, RewardTermCfg
from grail_framework.errors import ConfigError


def curriculum(**params):
    return CurriculumTermCfg(func="core:reward_weight", params={"reward": "ori", **params})


@pytest.fixture
def cfg(pnp_cfg):
    """The orientation of the kinematic robot is perfect, so the reward is the weight times 0.02."""
    return attrs.evolve(
        pnp_cfg,
        rewards={"ori": RewardTermCfg(func="core:tracking_anchor_ori", weight=0.0, params={"std": 0.4})},
        curriculums={"ramp": curriculum(start=0.0, end=100.0, from_iteration=1, to_iteration=3)},
        algorithm=attrs.evolve(pnp_cfg.algorithm, num_steps_per_env=4),
        terminations={},
    )


def steps(env, count):
    action = torch.zeros(env.num_envs, env.num_actions)
    return [env.step(action)[1][0].item() for _ in range(count)]


def test_a_reward_weight_changes_between_iterations(make_env, cfg):
    env = make_env(cfg)
    env.reset()
    rewards = steps(env, 16)
    # Iterations 0 and 1 have the start weight, iteration 2 half of the way, iteration 3 the end.
    assert rewards == pytest.approx([0.0] * 8 + [1.0] * 4 + [2.0] * 4, rel=1e-5)
    metrics = env.drain_metrics()
    assert metrics["curriculum/ramp"] == pytest.approx(100.0)
    assert metrics["reward/ori"] == pytest.approx((4 * 1.0 + 4 * 2.0) / 16, rel=1e-5)


def test_its_state_is_in_the_environments_state(make_env, cfg):
    env = make_env(cfg)
    env.reset()
    steps(env, 9)
    other = make_env(cfg)
    other.load_state_dict(env.state_dict())
    assert steps(other, 4) == pytest.approx([1.0] * 3 + [2.0], rel=1e-5)
    assert other.curriculums.iteration == 3


def test_evaluation_is_no_training(make_env, cfg):
    env = make_env(cfg)
    env.begin_evaluation()
    env.reset()
    steps(env, 20)
    assert env.curriculums.iteration == 0


def test_a_reward_that_is_not_there_is_named(make_env, cfg):
    wrong = attrs.evolve(
        cfg,
        curriculums={
            "ramp": CurriculumTermCfg(
                func="core:reward_weight", params={"reward": "orii", "start": 0.0, "end": 1.0, "to_iteration": 2}
            )
        },
    )
    with pytest.raises(ConfigError, match="no reward 'orii': did you mean 'ori'"):
        make_env(wrong)
