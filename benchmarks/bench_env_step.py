"""One control step of `pnp_ground` on the CPU engine: the environment against its engine alone, inside the same steps.

Usage: python benchmarks/bench_env_step.py DATA [STEPS]
where DATA is a motion library with objects; without it a library of a standing robot and a box is made.
"""

from __future__ import annotations

import statistics
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


def measure(data: str, num_envs: int, steps: int) -> None:
    """Print env-steps/s and ratios for one number of environments."""
    manager = GrailPluginManager().load()
    options = RunOptions(data=data, engine="mujoco", num_envs=num_envs)
    parts = load_parts(compose(manager.registry, task="pnp_ground", options=options).cfg, manager)
    env = build_env(parts)
    env.reset()
    action = torch.randn(num_envs, env.num_actions, generator=torch.Generator().manual_seed(0)) * 0.05
    engine_times: list[float] = []
    engine_step = env.engine.step
    env.engine.step = lambda targets: engine_times.append(seconds(engine_step, targets))
    env_times = [seconds(env.step, action) for _ in range(steps)]
    warm = steps // 5
    env_time, engine_time = (statistics.median(times[warm:]) for times in (env_times, engine_times))
    print(
        f"{num_envs:4d} envs: environment {num_envs / env_time:6.0f} env-steps/s, engine {num_envs / engine_time:6.0f}, "
        f"environment/engine {env_time / engine_time:.2f}"
    )
    env.close()


def main() -> None:
    """Measure all sizes."""
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    with tempfile.TemporaryDirectory() as folder:
        data = sys.argv[1] if len(sys.argv) > 1 else str(write_box_library(Path(folder)))
        for num_envs in SIZES:
            measure(data, num_envs, steps)


if __name__ == "__main__":
    main()
