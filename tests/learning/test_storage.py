from __future__ import annotations

import torch

from grail_framework.learning.networks import mlp
from grail_framework.learning.storage import RolloutStorage


def filled(num_steps: int = 3, num_envs: int = 8) -> RolloutStorage:
    storage = RolloutStorage(num_steps, num_envs, {"policy": 2, "critic": 1}, 1, torch.device("cpu"))
    network = mlp(2, 1, 1, actor_hidden_dims=(), critic_hidden_dims=())
    buffer = torch.zeros(num_envs, 2)
    for step in range(num_steps):
        buffer[:, 0], buffer[:, 1] = step, torch.arange(num_envs)
        with torch.no_grad():
            output = network({"policy": buffer, "critic": buffer[:, :1]})
        storage.record_decision(torch.tensor([step]), {"policy": buffer, "critic": buffer[:, :1]}, output)
        buffer.fill_(-1.0)  # an environment may overwrite its observations
        storage.record_outcome(
            torch.tensor([step]), torch.full((num_envs,), float(step)), torch.zeros(num_envs), torch.zeros(num_envs)
        )
    return storage


def test_observations_are_copied_before_the_environment_overwrites_them():
    storage = filled()
    assert storage.observations["policy"][2, 5].tolist() == [2.0, 5.0]


def test_mini_batches_hold_whole_sequences_of_disjoint_environments():
    storage = filled()
    batches = [storage.mini_batch(envs) for envs in storage.shuffled_envs().chunk(4)]
    assert len(batches) == 4
    seen = []
    for batch in batches:
        envs = batch.observations["policy"][:, 1]
        assert batch.observations["policy"][:, 0].tolist() == [0.0] * 2 + [1.0] * 2 + [2.0] * 2
        assert envs[:2].tolist() == envs[2:4].tolist() == envs[4:].tolist()
        seen += envs[:2].tolist()
    assert sorted(seen) == list(range(8))
