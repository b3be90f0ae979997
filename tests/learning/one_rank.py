"""One rank of a two-process update; run by test_distributed with the environment variables of a launcher."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from grail_framework.config import ActionCfg, CheckpointCfg, PpoCfg, RunCfg
from grail_framework.errors import RunStoppedError
from grail_framework.learning.distributed import gather_on_main, make_accelerator
from grail_framework.learning.networks import mlp
from grail_framework.learning.ppo import Ppo
from grail_framework.learning.runner import OnPolicyRunner
from grail_framework.learning.storage import RolloutStorage
from grail_framework.testing.point_env import PointEnv

CFG = PpoCfg(num_steps_per_env=4, num_learning_epochs=1, num_mini_batches=1, learning_rate=1e-3, max_learning_rate=1e-2)


def fill(rollout: RolloutStorage, ppo: Ppo, columns: slice, total_envs: int) -> None:
    """Fill with the environments `columns` of one batch that every caller draws the same."""
    generator = torch.Generator().manual_seed(11)
    for step in range(CFG.num_steps_per_env):
        observations = {
            group: torch.randn(total_envs, width, generator=generator) for group, width in (("policy", 2), ("critic", 3))
        }
        noise, reward = torch.randn(total_envs, 1, generator=generator), torch.randn(total_envs, generator=generator)
        with torch.no_grad():
            mean = ppo.network.action_mean(observations)
            output = ppo.network(observations, mean + 0.05 * noise)
        own = {group: value[columns] for group, value in observations.items()}
        parts = [part[columns] if isinstance(part, torch.Tensor) else part for part in output]
        rollout.record_decision(torch.tensor([step]), own, output._make(parts))
        ends = torch.zeros(total_envs, dtype=torch.bool)[columns]
        rollout.record_outcome(torch.tensor([step]), reward[columns], ends, ends)


def updated(columns: slice, total_envs: int, seed: int, rank: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    network = mlp(2, 3, 1, actor_hidden_dims=(8,), critic_hidden_dims=(8,), normalize_critic=True)
    if rank:
        with torch.no_grad():
            next(network.parameters()).add_(1.0)  # the wrapper has to bring this rank into line
    accelerator = make_accelerator(cpu=True, timeout_s=60.0)
    ppo = Ppo(network, CFG, accelerator)
    for _ in range(2):
        rollout = RolloutStorage(
            CFG.num_steps_per_env, len(range(total_envs)[columns]), {"policy": 2, "critic": 3}, 1, torch.device("cpu")
        )
        fill(rollout, ppo, columns, total_envs)
        ppo.update(rollout, torch.zeros(rollout.num_envs))
    state = {name: value.detach().clone() for name, value in ppo.network.state_dict().items()}
    return state | {"learning_rate": ppo.learning_rate.clone()}


class StopOnRankOne:
    """Sends this process SIGTERM during iteration 2, on rank 1 alone."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_iteration(self, iteration: int, metrics: object) -> None:
        if iteration == 2 and self.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_checkpoint(self, path: object) -> None: ...


class Saved:
    """A checkpointer, as only the main process has one."""

    def __init__(self) -> None:
        self.iterations: list[int] = []

    def save(self, state: Any) -> Path:
        self.iterations.append(state["iteration"])
        return Path("saved")


def stopped_run(rank: int) -> tuple[int, dict[str, Any]]:
    cfg = RunCfg(
        task="point",
        action=ActionCfg(func="none"),
        observations={},
        rewards={},
        terminations={},
        algorithm=CFG,
        checkpoints=CheckpointCfg(last_frequency=2),
    )
    torch.manual_seed(rank)
    checkpointer = Saved() if rank == 0 else None
    observers = [StopOnRankOne(rank)]
    runner = OnPolicyRunner(
        PointEnv(4), cfg, mlp(2, 3, 1), make_accelerator(cpu=True), checkpointer=checkpointer, observers=observers
    )
    try:
        runner.learn(50)
    except RunStoppedError:
        assert checkpointer is None or checkpointer.iterations == [0, 2, 3]
        return runner.iteration, runner.state_dict()
    raise AssertionError("the run did not stop")


def main(rank: int, target: str) -> None:
    torch.set_num_threads(1)
    state = updated(slice(rank * 4, rank * 4 + 4), 8, seed=5, rank=rank)
    ranks = gather_on_main(make_accelerator(cpu=True), {"rank": rank, "tensor": torch.full((2,), float(rank))})
    assert [entry["rank"] for entry in ranks] == ([0, 1] if rank == 0 else [])
    iteration, saved = stopped_run(rank)
    assert iteration == 3, iteration
    if rank == 0:
        assert [len(saved[key]) for key in ("env", "rng", "rollout")] == [2, 2, 2]
        assert not torch.equal(saved["env"][0]["position"], saved["env"][1]["position"])
        assert not torch.equal(saved["rng"][0]["torch"], saved["rng"][1]["torch"])
    else:
        assert saved == {}
    torch.save(state, target)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
