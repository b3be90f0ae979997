"""Ten thousand random steps of models that are padded to one size: nothing warns, grows or depends on the number of threads."""

from __future__ import annotations

import gc
import logging
import resource
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
import trimesh

from grail_framework.assets.usd_writer import write_object_usd
from grail_framework.engine.protocol import ObjectSpec

from .scenes import assert_same_bits, g1_scene, resting, snapshot

STEPS = 10_000
ENVS = 4
WARM_UP = 2_000
GROWTH = 4 * 2**20
"""Of the process after the warm-up; a leak of 1 kB a step would be 8 MB. [bytes]"""


def random_objects(folder: Path, rng: np.random.Generator) -> tuple[ObjectSpec, ...]:
    """Random heaps of one to five convex solids."""
    found = []
    for index, count in enumerate(rng.permutation(5)[:ENVS] + 1):
        meshes = []
        for _ in range(count):
            solid = trimesh.convex.convex_hull(rng.uniform(-0.05, 0.05, (rng.integers(6, 30), 3)) + rng.uniform(-0.08, 0.08, 3))
            meshes.append((np.array(solid.vertices), np.array(solid.faces)))
        path = write_object_usd(folder / f"heap_{index}.usd", meshes, mass=float(rng.uniform(0.05, 2.0)))
        found.append(ObjectSpec(name=f"heap_{index}", path=str(path), friction=float(rng.uniform(0.2, 1.2))))
    return tuple(found)


def resident() -> int:
    """Memory this process holds [bytes]; where the system does not say, the most it ever held."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def random_reset(engine, generator):
    """Poses of a random half of the environments."""
    n = engine.spec.num_envs

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    turn = torch.nn.functional.normalize(torch.randn(n, 4, generator=generator), dim=-1)
    to = resting(
        engine.spec,
        0.8,
        object_pos_w=torch.cat((uniform(0.2, 0.6, 1), uniform(-0.3, 0.3, 1), uniform(0.7, 1.2, 1)), dim=1),
        object_quat_w=turn,
        table_pos_w=torch.cat((uniform(0.5, 0.9, 1), uniform(-0.2, 0.2, 1), uniform(0.3, 0.6, 1)), dim=1),
    )
    return torch.rand(n, generator=generator) < 0.5, attrs.evolve(to, joint_vel=uniform(-1.0, 1.0, 43))


@pytest.mark.slow
def test_ten_thousand_random_steps(made, tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    objects = random_objects(tmp_path / "objects", np.random.default_rng(5))
    monkeypatch.chdir(tmp_path / "here")
    scene = g1_scene(ENVS, objects, table_size=(1.0, 0.6, 0.04), decimation=1)
    engines = [made(attrs.evolve(scene, num_threads=threads)) for threads in (1, 2)]
    generator, before = torch.Generator().manual_seed(11), 0
    rest = torch.tensor([joint.default_pos for joint in scene.robot.joints]).repeat(ENVS, 1)
    lost = 0
    with caplog.at_level(logging.DEBUG):
        for step in range(STEPS):
            if step % 100 == 0:
                mask, to = random_reset(engines[0], generator)
                # Whoever was lost is put back, as the environment does.
                mask |= ~engines[0].state.root_pos_w.isfinite().all(dim=1) | (step == 0)
                for engine in engines:
                    engine.reset(mask, to)
            targets = rest + 0.5 * torch.randn(rest.shape, generator=generator)
            for engine in engines:
                engine.step(targets)
            if step % 500 == 499:
                lost += int((~engines[0].state.root_pos_w.isfinite().all(dim=1)).sum())
                assert_same_bits(*(snapshot(engine) for engine in engines))
            if step == WARM_UP:
                gc.collect()
                before = resident()
    gc.collect()
    assert resident() - before < GROWTH
    assert lost == 0
    assert [record.getMessage() for record in caplog.records] == []
    assert list((tmp_path / "here").iterdir()) == []
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
