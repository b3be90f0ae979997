"""What the height map costs beside the environment's step it is part of: goal, at most a tenth of it.

The environment is stepped with small random actions, episodes ending as they do. The rays are cast from the poses it is in: on a GPU as a
CUDA graph of their own, so that what counts is the device's time, as in the captured step; on a CPU as the step does.

Usage: python benchmarks/height_map.py --data DIR [--task terrain:terrain_tracking] [--engine auto] [--device auto] [--num-envs 4096]
       [--steps 50] [--repeats 5] [--json] [OVERRIDES...]
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Final

import torch

from grail_framework.bench.machine import describe_machine
from grail_framework.bench.record import Goal, Report, Row, Samples
from grail_framework.bench.task import BenchTask, build_task, load_task, small_actions
from grail_framework.bench.timing import alternating, captured, wait_for
from grail_framework.cli.bench_report import show_report
from grail_framework.config.compose import RunOptions, compose
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.preflight import preflight

if TYPE_CHECKING:
    from grail_framework.envs.terms import BoundTerm
    from grail_framework.envs.tracking_env import TrackingEnv

GOAL: Final = Goal(bound=0.1)
TERM: Final = "height_map_z_flat"


def the_term(env: TrackingEnv) -> BoundTerm:
    """Find the height map among the environment's terms."""
    for _, term in env.stateful_terms():
        if type(term.instance).__name__ == TERM:
            return term
    sys.exit(f"the task {env.cfg.task} observes no {TERM}; name one that does, such as terrain:terrain_tracking")


def measure(task: BenchTask) -> Row:
    """Time steps and rays in turns."""
    parts = load_task(task)
    env = build_task(parts)
    try:
        term = the_term(env)
        began = time.perf_counter()
        type(term.instance)(env)
        wait_for(env.device)
        build_s = time.perf_counter() - began
        actions = small_actions(env, task.steps, task.cfg.seed)
        for action in actions:  # captures the step where it can be
            env.step(action)
        rays = captured(term.compute, env.device)
        times = alternating(
            lambda: [rays() for _ in actions], lambda: [env.step(action) for action in actions], env.device, task.repeats
        )
        cast, step = ([1e3 * took / task.steps for took in column] for column in times)
        return Row(
            unit="ms",
            figure=Samples(name="height map", values=cast),
            reference=Samples(name="environment step, height map included", values=step),
            goal=GOAL if env.device.type == "cuda" else None,
            conditions=task.conditions(steps=task.steps, terrains=len(env.engine.spec.objects)),
            details={"build_s": build_s, "step_is_captured": bool(env.graphs is not None and env.graphs.captured)},
        )
    finally:
        env.close()


def main() -> None:
    """Measure one number of environments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="terrain:terrain_tracking", help="a task that observes a height map")
    parser.add_argument("--data", help="motion library; default: the task's demo library")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--num-envs", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=50, help="control steps in a block")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    manager = GrailPluginManager().load()
    cfg = compose(
        manager.registry,
        task=given.task,
        options=RunOptions(data=given.data, engine=given.engine, device=given.device, num_envs=given.num_envs),
        overrides=given.overrides,
        edits=[manager.configure_run],
        settle=manager.settle_run,
    ).cfg
    for warning in preflight(cfg, manager.registry):
        print(f"warning: {warning}", file=sys.stderr)
    task = BenchTask(cfg=cfg, manager=manager, repeats=given.repeats, steps=given.steps)
    with torch.no_grad():
        row = measure(task)
    show_report(
        Report(benchmark="height_map", machine=describe_machine(), settings=task.settings(), rows=(row,)), as_json=given.json
    )


if __name__ == "__main__":
    main()
