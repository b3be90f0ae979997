"""The tracked fraction, on an environment whose every step is known."""

import attrs
import pytest
import torch

from grail_framework.evaluation.tracking import evaluate_tracking, zero_action
from grail_framework.testing.fakes import standing_clip


def test_zero_action_by_hand(make_env, pnp_cfg, robot):
    """The kinematic object stays where it was put while its reference travels 1 cm a frame: 25 cm are exceeded at frame 26."""
    clips = [standing_clip(robot, key=key, with_object=True, frames=n) for key, n in (("long", 60), ("short", 20))]
    env = make_env(pnp_cfg, clips)
    result = evaluate_tracking(env, zero_action(env))
    assert result.fractions == {"long": pytest.approx(26 / 60), "short": 1.0}
    assert result.causes == {"long": "object_pos_deviation", "short": "tracking_time_out"}
    assert result.tracked_fraction == pytest.approx((26 / 60 + 1.0) / 2)
    errors = [0.01 * frame for frame in range(26)] + [0.01 * frame for frame in range(20)]
    assert result.object_error == pytest.approx(sum(errors) / len(errors), rel=1e-4)


def test_training_goes_on_as_before(make_env, pnp_cfg):
    env = make_env(pnp_cfg, seed=4)
    env.reset()
    saved = env.state_dict()
    action = torch.zeros(env.num_envs, env.num_actions)
    expected = [env.step(action)[0]["policy"] for _ in range(3)]
    env.load_state_dict(saved)
    evaluate_tracking(env, zero_action(env))
    assert not env.evaluating
    env.load_state_dict(saved)
    assert all(torch.equal(env.step(action)[0]["policy"], want) for want in expected)


def test_motions_that_no_environment_follows_are_not_counted(make_env, pnp_cfg, robot):
    clips = [standing_clip(robot, key=f"clip_{i}", with_object=True) for i in range(6)]
    env = make_env(attrs.evolve(pnp_cfg, num_envs=4), clips)
    assert list(evaluate_tracking(env, zero_action(env)).fractions) == ["clip_0", "clip_1", "clip_2", "clip_3"]
