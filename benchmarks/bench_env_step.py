"""One control step of a hand-object task on the CPU engine: the environment against its engine alone, inside the same steps.

Usage: python benchmarks/bench_env_step.py [TASK [STEPS [DATA]]]
where TASK is `pnp_table`, `pnp_ground` or `both`, and DATA a motion library for it; without it a library of a standing robot and a
box, on a table or in the air, is made. The lowest tenth of the steps counts, the rest is what else the machine does.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from grail_framework.config.compose import RunOptions, compose
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.assembly import build_env, load_parts
from grail_framework.testing.fakes import write_box_library

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (8, 64, 256)


def seconds(call: Callable[..., object], *arguments: object) -> float:
    """Time one call. [s]"""
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def quick(times: list[float]) -> float:
    """The time that the quickest tenth of the steps stays below. [s]"""
    return sorted(times)[len(times) // 10]


def measure(task: str, data: str, num_envs: int, steps: int) -> None:
    """Print env-steps/s and ratios for one number of environments."""
    manager = GrailPluginManager().load()
    options = RunOptions(data=data, engine="mujoco", num_envs=num_envs)
    parts = load_parts(compose(manager.registry, task=task, options=options).cfg, manager)
    env = build_env(parts)
    env.reset()
    action = torch.randn(num_envs, env.num_actions, generator=torch.Generator().manual_seed(0)) * 0.05
    engine_times: list[float] = []
    engine_step = env.engine.step
    env.engine.step = lambda targets: engine_times.append(seconds(engine_step, targets))
    env_times = [seconds(env.step, action) for _ in range(steps)]
    env_time, engine_time = quick(env_times), quick(engine_times)
    print(
        f"{task} {num_envs:4d} envs: environment {num_envs / env_time:6.0f} env-steps/s, engine {num_envs / engine_time:6.0f}, "
        f"environment/engine {env_time / engine_time:.2f}"
    )
    env.close()


def main() -> None:
    """Measure all sizes."""
    given = dict(enumerate(sys.argv))
    tasks = ("pnp_ground", "pnp_table") if given.get(1, "both") == "both" else (given[1],)
    with tempfile.TemporaryDirectory() as folder:
        for task in tasks:
            data = given.get(3) or str(write_box_library(Path(folder) / task, table=task == "pnp_table"))
            for num_envs in SIZES:
                measure(task, data, num_envs, int(given.get(2, "100")))


if __name__ == "__main__":
    main()
