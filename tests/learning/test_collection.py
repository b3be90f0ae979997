from __future__ import annotations

import torch

from grail_framework.learning.collection import Collector
from grail_framework.learning.networks import mlp
from grail_framework.learning.statistics import RolloutStatistics
from grail_framework.learning.storage import RolloutStorage

ENVS, STEPS = 6, 3


def test_a_step_is_decided_stored_and_counted():
    torch.manual_seed(0)
    network = mlp(2, 3, 1, actor_hidden_dims=(8,), critic_hidden_dims=(8,))
    rollout = RolloutStorage(STEPS, ENVS, {"policy": 2, "critic": 3}, 1, torch.device("cpu"))
    statistics = RolloutStatistics(ENVS, torch.device("cpu"))
    collector = Collector(network, rollout, statistics, capture=False)
    buffers = {"policy": torch.zeros(ENVS, 2), "critic": torch.zeros(ENVS, 3)}
    seen, rewards, ended = [], [], []
    for step in range(STEPS):
        for buffer in buffers.values():
            buffer.normal_()
        seen.append({group: buffer.clone() for group, buffer in buffers.items()})
        actions = collector.decide(step, buffers)
        for buffer in buffers.values():
            buffer.fill_(-1.0)  # an environment may overwrite its observations
        assert torch.equal(actions, rollout.actions[step])
        reward, terminated, truncated = torch.randn(ENVS), torch.rand(ENVS) < 0.3, torch.rand(ENVS) < 0.3
        collector.record(reward, terminated, truncated)
        rewards.append(reward)
        ended.append(terminated | truncated)
        assert torch.equal(rollout.terminated[step], terminated)
        assert torch.equal(rollout.truncated[step], truncated)
    with torch.no_grad():
        for step, observations in enumerate(seen):
            assert all(torch.equal(rollout.observations[group][step], value) for group, value in observations.items())
            output = network(observations, rollout.actions[step])
            for name in ("mean", "std", "log_prob", "value"):
                torch.testing.assert_close(getattr(rollout, name)[step], getattr(output, name))
        torch.testing.assert_close(collector.last_value(seen[0]), network.value(seen[0]))
    torch.testing.assert_close(rollout.rewards, torch.stack(rewards))
    scalars = statistics.drain()
    torch.testing.assert_close(scalars["train/mean_reward"], torch.stack(rewards).mean())
    assert scalars["_episodes"].item() == torch.stack(ended).sum()
    assert statistics.drain()["_episodes"].item() == 0.0
