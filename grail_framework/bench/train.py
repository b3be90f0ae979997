"""`grail bench train`: samples per second of whole training iterations against the environment steps of the bare physics."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from grail_framework.bench.physics import PhysicsBesides
from grail_framework.bench.record import Goal, Row, Samples
from grail_framework.bench.task import load_task
from grail_framework.bench.timing import count_waits
from grail_framework.envs.timing import Stopwatch
from grail_framework.learning.distributed import make_accelerator
from grail_framework.learning.runner import OnPolicyRunner
from grail_framework.runs.assembly import build_env, build_network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grail_framework.bench.task import BenchTask
    from grail_framework.envs.tracking_env import TrackingEnv

GOAL: Final = 0.6
"""Least share of the bare physics' rate that training reaches."""
SYNC_GOAL: Final = 2
"""Most times an iteration may make the host wait for the device."""
PARTS: Final = ("engine", "environment", "inference", "learning")


class IterationTimes:
    """Keeps what the runner measured of every iteration."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []

    def on_iteration(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Keep an iteration's times. [s]"""
        self.metrics.append({name: value for name, value in metrics.items() if name.startswith("perf/")})

    def on_checkpoint(self, path: Path) -> None:
        """Nothing is saved here."""

    def shares(self) -> dict[str, float]:
        """Return which share of the iterations each part took, and what is left."""
        whole = sum(metrics["perf/iteration_time"] for metrics in self.metrics)
        found = {part: sum(metrics[f"perf/{part}_time"] for metrics in self.metrics) / whole for part in PARTS}
        return found | {"other": 1.0 - sum(found.values())}


def measure(task: BenchTask, iterations: int) -> list[Row]:
    """Train so many iterations per repeat with the run's own runner, bare physics measured on the states they start from."""
    parts = load_task(task)
    accelerator = make_accelerator(cpu=parts.device == "cpu", mixed_precision=task.cfg.algorithm.mixed_precision)
    env = build_env(parts)
    try:
        env.engine_clock = Stopwatch(env.device)
        times = IterationTimes()
        network = build_network(task.cfg, task.manager, env)
        runner = OnPolicyRunner(env, task.cfg, network, accelerator, observers=[times], engine_clock=env.engine_clock)
        return _rows(task, env, runner, times, iterations)
    finally:
        env.close()


def _rows(task: BenchTask, env: TrackingEnv, runner: OnPolicyRunner, times: IterationTimes, iterations: int) -> list[Row]:
    length = task.cfg.algorithm.num_steps_per_env

    def train() -> None:
        runner.learn(runner.iteration + iterations)

    runner.learn(2)  # compiles, captures and finds its algorithms
    physics = PhysicsBesides(env.engine)
    times.metrics.clear()
    pairs = [physics.measure(train, iterations * length) for _ in range(task.repeats)]
    samples = iterations * length * env.num_envs
    rates = [[samples / took for took in column] for column in zip(*pairs, strict=True)]
    duration = statistics.median(metrics["perf/iteration_time"] for metrics in times.metrics)
    conditions = task.conditions(steps_per_iteration=length, iterations=iterations)
    trained = Row(
        unit="1/s",
        figure=Samples(name="samples of training", values=rates[0]),
        reference=Samples(name=f"env-steps of physics: {physics.name}", values=rates[1]),
        goal=Goal(bound=GOAL, at_least=True),
        conditions=conditions,
        details={"iteration_s": duration, "shares": times.shares()},
    )
    if env.device.type != "cuda":
        return [trained]
    waits = [float(count_waits(lambda: runner.learn(runner.iteration + 1))) for _ in range(2)]
    counted = Row(
        unit="per iteration",
        figure=Samples(name="host waits for the GPU", values=waits),
        goal=Goal(bound=SYNC_GOAL),
        conditions=conditions,
    )
    return [trained, counted]
