"""The environment on this engine: the robot alone, its observations, and an environment that is lost."""

from __future__ import annotations

import pytest
import torch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def envs(task_envs):
    return task_envs("motion_tracking")


def test_observations_at_reset_and_after_a_step_are_the_same(envs):
    first, second = (env.reset() for env in envs)
    assert first.keys() == second.keys()
    for group, values in first.items():
        torch.testing.assert_close(second[group], values, atol=1e-4, rtol=0.0, msg=lambda text, group=group: f"{group}: {text}")
    results = [env.step(torch.zeros(env.num_envs, env.num_actions)) for env in envs]
    for group, values in results[0][0].items():
        torch.testing.assert_close(results[1][0][group], values, atol=2e-3, rtol=0.0)
    torch.testing.assert_close(results[1][1], results[0][1], atol=1e-4, rtol=0.0)


@pytest.mark.parametrize("broken", ["state", "action"])
def test_an_environment_that_is_lost_is_reset_and_the_others_go_on(envs, broken):
    env = envs[1]
    env.reset()
    env.drain_invalid()
    action = torch.zeros(env.num_envs, env.num_actions)
    env.step(action)
    lengths = env.episode_length.clone()
    if broken == "state":
        world = env.engine._physics._worlds.world_of_env[2]
        env.engine._physics.joint_qd[world, 8] = float("inf")
    else:
        action[2, 3] = float("nan")
    observations, reward, terminated, _, _ = env.step(action)
    assert terminated.tolist() == [False, False, True, False]
    assert reward[2] == 0.0
    assert env.episode_length.tolist() == [lengths[0] + 1, lengths[1] + 1, 0, lengths[3] + 1]
    assert all(values.isfinite().all() for values in observations.values())
    assert reward.isfinite().all()
    (record,) = env.drain_invalid()
    assert record.env == 2
    env.step(torch.zeros_like(action))
    assert env.drain_invalid() == []
    assert env.state.root_pos_w.isfinite().all()
