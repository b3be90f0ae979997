"""Eight objects of one to eight pieces in one run of the CPU engine, against the one of eight pieces in every environment."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from grail_framework.assets.usd_writer import write_object_usd
from grail_framework.bench.record import Row, Samples
from grail_framework.bench.timing import seconds
from grail_framework.engine.mujoco.engine import MujocoEngine
from grail_framework.engine.protocol import ObjectSpec, ResetState, SceneSpec
from grail_framework.robots.g1 import g1_43dof

if TYPE_CHECKING:
    from grail_framework.bench.task import BenchTask
    from grail_framework.engine.protocol import Engine

PIECES: Final = 8
TABLE: Final = (0.75, 0.0, 0.70)
NOISE: Final = 0.3
"""Standard deviation of the targets about the default pose: the robot stumbles and falls. [rad]"""


def measure_mixed(task: BenchTask) -> Row:
    """Time both in turns: the G1 with hands, a table, and combs of one to eight teeth."""
    with tempfile.TemporaryDirectory() as folder:
        combs = _combs(Path(folder), PIECES)
        engines = [MujocoEngine(_scene(task, objects)) for objects in (combs, combs[-1:])]
    generator = torch.Generator().manual_seed(task.cfg.seed)
    rest = torch.tensor([joint.default_pos for joint in engines[0].spec.robot.joints]).repeat(task.cfg.num_envs, 1)
    targets = [rest + NOISE * torch.randn(rest.shape, generator=generator) for _ in range(task.steps)]
    times: list[list[float]] = [[], []]
    for repeat in range(task.repeats + 1):
        sums = [0.0, 0.0]
        for engine in engines:
            _start(engine, rest)
        for step, wanted in enumerate(targets):
            for which in (0, 1) if step % 2 else (1, 0):
                sums[which] += seconds(lambda engine=engines[which], wanted=wanted: engine.step(wanted), engines[which].device)
        if repeat:
            for mine, total in zip(times, sums, strict=True):
                mine.append(1e3 * total / task.steps)
    for engine in engines:
        engine.close()
    return Row(
        unit="ms",
        figure=Samples(name=f"engine step, {PIECES} objects of 1 to {PIECES} pieces", values=times[0]),
        reference=Samples(name=f"one object of {PIECES} pieces", values=times[1]),
        conditions=task.conditions(steps=task.steps),
    )


def _combs(folder: Path, count: int) -> list[ObjectSpec]:
    """Write combs of 1 to `count` teeth, each tooth a box and a piece; all fit into a hand."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    objects = []
    for teeth in range(1, count + 1):
        meshes = [(corners * (0.04, 0.008, 0.04) + (0.0, 0.02 * (k - 0.5 * (teeth - 1)), 0.0), quads) for k in range(teeth)]
        path = write_object_usd(folder / f"comb_{teeth}.usd", meshes)
        objects.append(ObjectSpec(name=f"comb_{teeth}", path=str(path), mass=0.1))
    return objects


def _scene(task: BenchTask, objects: list[ObjectSpec]) -> SceneSpec:
    """Describe the scene; object k in every `len(objects)`-th environment."""
    return SceneSpec(
        num_envs=task.cfg.num_envs,
        robot=g1_43dof(),
        objects=tuple(objects),
        env_object=tuple(k % len(objects) for k in range(task.cfg.num_envs)),
        table_size=(1.0, 0.6, 0.04),
        num_threads=task.cfg.engine.num_threads,
    )


def _start(engine: Engine, joint_pos: torch.Tensor) -> None:
    """Put every robot before its table, the object on it."""
    n = engine.spec.num_envs

    def rows(*values: float) -> torch.Tensor:
        return torch.tensor(values).repeat(n, 1)

    upright = rows(1.0, 0.0, 0.0, 0.0)
    to = ResetState(
        root_pos_w=rows(0.0, 0.0, 0.76),
        root_quat_w=upright,
        root_lin_vel_w=rows(0.0, 0.0, 0.0),
        root_ang_vel_w=rows(0.0, 0.0, 0.0),
        joint_pos=joint_pos,
        joint_vel=torch.zeros_like(joint_pos),
        object_pos_w=rows(0.45, -0.1, TABLE[2] + 0.07),
        object_quat_w=upright,
        table_pos_w=rows(*TABLE),
        table_quat_w=upright,
    )
    engine.reset(torch.ones(n, dtype=torch.bool), to)
