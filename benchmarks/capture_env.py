"""One environment step on a GPU without physics: replayed from CUDA graphs against eager, and what each part of it takes.

The engine puts the joints at their targets, which is next to nothing; what is left is what the environment adds to a physics step. The
library is made on the spot: a robot that stands in front of a table with a box, in clips of different lengths.

Usage: python benchmarks/capture_env.py [--task hoi:pnp_table] [--num-envs 1024 4096 16384] [--steps 100] [--motions 64] [--json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch

from grail_framework.envs.capture import EAGER_STEPS
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.motion.library import MotionLibrary
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_43dof
from grail_framework.testing.fakes import KinematicEngine, standing_clip

if TYPE_CHECKING:
    from grail_framework.config import RunCfg
    from grail_framework.motion.clip import MotionClip
    from grail_framework.registry import Registry
    from grail_framework.robots.spec import RobotSpec

MEBI = 2**20


def made_clips(robot: RobotSpec, count: int) -> list[MotionClip]:
    """Make clips of 150 to 400 frames; nothing reads the object's file, since the engine has no shapes."""
    table = {
        "table_pos": np.asarray([1.0, 0.0, 0.7], dtype=np.float32),
        "table_quat": np.asarray([1.0, 0.0, 0.0, 0.0], dtype=np.float32),
        "object_usd": Path("box.usd"),
    }
    lengths = np.linspace(150, 400, count).astype(int).tolist()
    clips = [standing_clip(robot, key=f"stand__{i:03d}", frames=length, with_object=True) for i, length in enumerate(lengths)]
    return [attrs.evolve(clip, **table) for clip in clips]


def build(cfg: RunCfg, registry: Registry, robot: RobotSpec, motions: MotionLibrary, *, capture: bool) -> TrackingEnv:
    """Build an environment without physics."""
    engine = KinematicEngine(scene_spec(cfg, robot, motions, device=str(motions.device)))
    return TrackingEnv(cfg, engine, motions, registry, seed=1, capture=capture)


def device_ms(env: TrackingEnv, steps: int) -> tuple[float, float]:
    """Return the median of a step on the device, and of the host's part in it: launching. [ms]"""
    env.reset()
    actions = 0.05 * torch.randn(env.num_envs, env.num_actions, device=env.device)
    for _ in range(EAGER_STEPS + 5):
        env.step(actions)
    torch.cuda.synchronize()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]
    host = []
    marks[0].record()
    for mark in marks[1:]:
        began = time.perf_counter()
        env.step(actions)
        host.append(1e3 * (time.perf_counter() - began))
        mark.record()
    torch.cuda.synchronize()
    device = sorted(before.elapsed_time(after) for before, after in itertools.pairwise(marks))
    return device[steps // 2], sorted(host)[steps // 2]


def measure(cfg: RunCfg, registry: Registry, motions: MotionLibrary, robot: RobotSpec, steps: int) -> dict[str, float]:
    """Measure one number of environments."""
    result: dict[str, float] = {"num_envs": cfg.num_envs}
    for name, capture in (("eager", False), ("captured", True)):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_reserved()
        env = build(cfg, registry, robot, motions, capture=capture)
        device, host = device_ms(env, steps)
        if env.graphs is not None and env.graphs.off:
            raise SystemExit(f"the step could not be captured:{env.graphs.off}")
        result |= {f"{name}_ms": device, f"{name}_host_ms": host}
        result[f"{name}_mib"] = (torch.cuda.max_memory_reserved() - held) / MEBI
        env.close()
        del env
    return result


def main() -> None:
    """Measure all sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="hoi:pnp_table", help="registry name of the task")
    parser.add_argument("--num-envs", type=int, nargs="+", default=[1024, 4096, 16384], help="numbers of environments")
    parser.add_argument("--steps", type=int, default=100, help="control steps that are timed")
    parser.add_argument("--motions", type=int, default=64, help="motions in the library")
    parser.add_argument("--derive", default="auto", choices=("auto", "ahead", "on_demand"), help="when body poses are derived")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("benchmarks/capture_env.py needs an NVIDIA GPU, and torch finds none: CUDA graphs exist nowhere else")
    registry, robot = GrailPluginManager().load().registry, g1_43dof()
    motions = MotionLibrary.build(made_clips(robot, given.motions), robot, device="cuda:0", derive=given.derive)
    task: RunCfg = registry.find("task", given.task).load()()
    rows = []
    for count in given.num_envs:
        row = measure(attrs.evolve(task, num_envs=count), registry, motions, robot, given.steps)
        rows.append(row)
        if not given.json:
            print(
                f"{given.task} {count:6d} envs: eager {row['eager_ms']:7.2f} ms a step (host {row['eager_host_ms']:6.2f}), captured "
                f"{row['captured_ms']:6.2f} ms (host {row['captured_host_ms']:5.2f}), memory {row['eager_mib']:.0f} and "
                f"{row['captured_mib']:.0f} MiB"
            )
    if given.json:
        print(json.dumps({"device": torch.cuda.get_device_name(), "task": given.task, "rows": rows}))


if __name__ == "__main__":
    main()
