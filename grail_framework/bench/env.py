"""`grail bench env`: a control step of the whole environment against the physics in it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, Final

import torch

from grail_framework.bench.physics import PhysicsBesides
from grail_framework.bench.record import Goal, Row, Samples
from grail_framework.bench.task import build_task, load_task, small_actions
from grail_framework.bench.timing import wait_for

if TYPE_CHECKING:
    from grail_framework.bench.task import BenchTask
    from grail_framework.envs.tracking_env import TrackingEnv

GOALS: Final = {"cuda": 1.35, "cpu": 1.5}
"""Most an environment's step may cost, in physics steps."""


def measure(task: BenchTask) -> list[Row]:
    """Step the environment with small random actions, episodes ending and starting as they do."""
    parts = load_task(task)
    free = _free_memory(torch.device(parts.device))
    env = build_task(parts)
    try:
        actions = small_actions(env, task.steps, task.cfg.seed)

        def block() -> None:
            for action in actions:
                env.step(action)

        physics = PhysicsBesides(env.engine)
        ended = _ended(env, actions)  # warms up too
        physics.measure(block, task.steps)
        pairs = [physics.measure(block, task.steps) for _ in range(task.repeats)]
        whole, bare = ([took / task.steps for took in column] for column in zip(*pairs, strict=True))
        row = Row(
            unit="ms",
            figure=Samples(name="environment step", values=[1e3 * took for took in whole]),
            reference=Samples(name=f"physics: {physics.name}", values=[1e3 * took for took in bare]),
            goal=Goal(bound=GOALS[env.device.type]),
            conditions=task.conditions(steps=task.steps),
        )
        return [_with_rates(row, env, ended, free)]
    finally:
        env.close()


def _ended(env: TrackingEnv, actions: list[torch.Tensor]) -> float:
    """Take steps, and return which share of the environments' steps ended an episode."""
    ended = torch.zeros((), device=env.device)
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        ended += (terminated | truncated).sum()
    return float(ended) / (len(actions) * env.num_envs)


def _with_rates(row: Row, env: TrackingEnv, ended: float, free: int | None) -> Row:
    assert row.reference is not None
    details: dict[str, Any] = row.details
    details["env_steps_per_s"] = 1e3 * env.num_envs / row.figure.median
    details["physics_env_steps_per_s"] = 1e3 * env.num_envs / row.reference.median
    details["share_of_steps_that_end_an_episode"] = ended
    if free is not None:
        used = free - (_free_memory(env.device) or 0)
        details["memory_mib_per_env"] = used / 2**20 / env.num_envs
    return row


def _free_memory(device: torch.device) -> int | None:
    """Return the free memory of a GPU, whoever holds the rest; None on a CPU. [bytes]"""
    if device.type != "cuda":
        return None
    gc.collect()
    torch.cuda.empty_cache()
    wait_for(device)
    return torch.cuda.mem_get_info(device)[0]
