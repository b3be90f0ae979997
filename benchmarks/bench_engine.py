"""A control step of the CPU engine (link poses and velocities, object, table, filtered contacts) against `mujoco.rollout` alone.

The rollout has the same models without sensors, and starts from the same states with the same controls; the two alternate, so that a
drift of the machine's speed hits both. The scene is that of `pnp_ground`, with a table: the G1 with hands, its contact sensors, and
a box or, for the mixed run, eight objects of one to eight pieces.

Usage: python benchmarks/bench_engine.py [STEPS [ENVS ...]]
"""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import mujoco
import numpy as np
import torch
from mujoco import rollout

from grail_framework.assets.usd_writer import write_box_usd, write_object_usd
from grail_framework.config.compose import RunOptions, compose
from grail_framework.engine.mujoco.engine import MujocoEngine
from grail_framework.engine.mujoco.layout import CONTROL
from grail_framework.engine.mujoco.model import build_models
from grail_framework.engine.protocol import ContactSensorSpec, ObjectSpec, ResetState, SceneSpec
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_43dof

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (1, 16, 64, 256)
GOAL = 1.3
TABLE = (0.75, 0.0, 0.70)
EPISODE = 25
"""Steps before all environments are reset: the robot, driven by noise, stumbles and falls within it."""


def contact_sensors() -> dict[str, ContactSensorSpec]:
    """Return those of `pnp_ground`."""
    cfg = compose(GrailPluginManager().load().registry, task="pnp_ground", options=RunOptions()).cfg
    robot = g1_43dof()
    sensors = cfg.scene.contact_sensors.items()
    return {name: ContactSensorSpec(links=robot.match_bodies(s.links), partner=s.partner) for name, s in sensors}


def combs(folder: Path, count: int) -> list[ObjectSpec]:
    """Write combs of 1 to `count` teeth, each tooth a box and a piece; all fit into a hand."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    objects = []
    for teeth in range(1, count + 1):
        meshes = [(corners * (0.04, 0.008, 0.04) + (0.0, 0.02 * (k - 0.5 * (teeth - 1)), 0.0), quads) for k in range(teeth)]
        path = write_object_usd(folder / f"comb_{teeth}.usd", meshes)
        objects.append(ObjectSpec(name=f"comb_{teeth}", path=str(path), mass=0.1))
    return objects


def scene(num_envs: int, threads: int, objects: list[ObjectSpec], sensors: dict[str, ContactSensorSpec]) -> SceneSpec:
    """Describe the scene; object k in every `len(objects)`-th environment."""
    return SceneSpec(
        num_envs=num_envs,
        robot=g1_43dof(),
        objects=tuple(objects),
        env_object=tuple(k % len(objects) for k in range(num_envs)),
        table_size=(1.0, 0.6, 0.04),
        contact_sensors=sensors,
        num_threads=threads,
    )


class Bare:
    """`mujoco.rollout` of an engine's models without sensors."""

    def __init__(self, engine: MujocoEngine, threads: int) -> None:
        built = build_models(attrs.evolve(engine.spec, contact_sensors={}))
        self.engine, self.models = engine, list(built.models)
        self.pool = rollout.Rollout(nthread=threads if threads > 1 else 0)
        self.data = [mujoco.MjData(built.largest) for _ in range(threads)]
        self.state = np.zeros((engine.spec.num_envs, engine.spec.decimation, mujoco.mj_stateSize(built.largest, 15)))
        self.sensors = np.zeros((engine.spec.num_envs, engine.spec.decimation, built.largest.nsensordata))

    def step(self, physics: np.ndarray, control: np.ndarray) -> None:
        """Advance the given states by one control step."""
        self.pool.rollout(
            self.models,
            self.data,
            physics,
            control,
            control_spec=CONTROL,
            skip_checks=True,
            nstep=self.engine.spec.decimation,
            state=self.state,
            sensordata=self.sensors,
        )


def start(engine: MujocoEngine) -> torch.Tensor:
    """Put every robot before its table, the object on it, and return the default joint targets."""
    n = engine.spec.num_envs

    def rows(*values: float) -> torch.Tensor:
        return torch.tensor(values).repeat(n, 1)

    joints, upright = rows(*(joint.default_pos for joint in engine.spec.robot.joints)), rows(1.0, 0.0, 0.0, 0.0)
    to = ResetState(
        root_pos_w=rows(0.0, 0.0, 0.76),
        root_quat_w=upright,
        root_lin_vel_w=rows(0.0, 0.0, 0.0),
        root_ang_vel_w=rows(0.0, 0.0, 0.0),
        joint_pos=joints,
        joint_vel=torch.zeros_like(joints),
        object_pos_w=rows(0.45, -0.1, TABLE[2] + 0.07),
        object_quat_w=upright,
        table_pos_w=rows(*TABLE),
        table_quat_w=upright,
    )
    engine.reset(torch.ones(n, dtype=torch.bool), to)
    return joints


def seconds(call: Callable[[], None]) -> float:
    """Time one call. [s]"""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def compare(engine: MujocoEngine, bare: Bare, steps: int) -> tuple[list[float], list[float]]:
    """Time the same control steps by the engine and by rollout alone, in turns. [s]"""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = [], []
    rest = start(engine)
    for step in range(steps + 2):
        if step % EPISODE == 0:
            start(engine)
        targets = rest + 0.3 * torch.randn(rest.shape, generator=generator)
        # What the engine is about to do: private arrays, because only they hold it.
        physics, control = engine._physics.copy(), engine._control.copy()
        control[:, :, engine._layout.target] = targets.numpy()[:, None]
        turns = [(theirs, lambda p=physics, c=control: bare.step(p, c)), (ours, lambda t=targets: engine.step(t))]
        for times, call in turns[:: 1 if step % 2 else -1]:
            times.append(seconds(call))
    return ours[2:], theirs[2:]


def measure(num_envs: int, threads: int, steps: int, objects: list[ObjectSpec], sensors: dict[str, ContactSensorSpec]) -> None:
    """Print a line for one number of environments and threads."""
    engine = MujocoEngine(scene(num_envs, threads, objects, sensors))
    bare = Bare(engine, threads)
    ours, theirs = compare(engine, bare, steps)
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    mine, other = statistics.median(ours), statistics.median(theirs)
    print(
        f"{num_envs:4d} envs, {threads} threads, {len(objects)} objects: engine {num_envs / mine:6.0f} env-steps/s, rollout "
        f"{num_envs / other:6.0f}, ratio {statistics.median(ratios):.2f} (goal {GOAL}; medians of {steps} alternating steps)",
        flush=True,
    )
    engine.close()
    bare.pool.close()
    gc.collect()


def mixed_ratio(steps: int, objects: list[ObjectSpec], sensors: dict[str, ContactSensorSpec]) -> float:
    """Time 64 environments with all objects against 64 with the one of most pieces, in turns."""
    engines = [MujocoEngine(scene(64, 2, held, sensors)) for held in (objects, objects[-1:])]
    generator = torch.Generator().manual_seed(0)
    rest = start(engines[0])
    ratios = []
    for step in range(max(10, steps // 2)):
        if step % EPISODE == 0:
            for engine in engines:
                start(engine)
        targets = rest + 0.3 * torch.randn(rest.shape, generator=generator)
        times = {k: seconds(lambda e=engines[k], t=targets: e.step(t)) for k in ((0, 1) if step % 2 else (1, 0))}
        ratios.append(times[0] / times[1])
    for engine in engines:
        engine.close()
    return statistics.median(ratios[2:])


def main() -> None:
    """Measure all sizes, then one object against eight."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    sizes = tuple(map(int, sys.argv[2:])) or SIZES
    torch.set_num_threads(1)
    sensors = contact_sensors()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        box = [ObjectSpec(name="box", path=str(write_box_usd(folder / "box.usd", (0.1, 0.1, 0.1))), mass=0.1)]
        for num_envs in sizes:
            for threads in (1, 2):
                measure(num_envs, threads, max(5, steps * 16 // max(num_envs, 16)), box, sensors)
        print(
            f"  64 envs: eight objects in one run take {mixed_ratio(steps, combs(folder, 8), sensors):.2f} times as long as one"
        )


if __name__ == "__main__":
    main()
