"""Whether the terrain is under the feet: boxes whose heights are known, a tread taken away, and scanned stairs."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import numpy as np
import pytest
import trimesh

from grail_terrain.footing import Looks, footing_faults, missing_ground

SOLE = 0.04
TREAD, RISE, COUNT = 0.4, 0.2, 5


def stairs(*, without=None):
    """Solid steps along x, from 0 on; one of them may be missing."""
    meshes = []
    for step in range(COUNT):
        if step != without:
            box = trimesh.creation.box((TREAD, 1.0, RISE * (step + 1)))
            box.apply_translation((TREAD * (step + 0.5), 0.0, RISE * (step + 1) / 2))
            meshes.append(box)
    joined = trimesh.util.concatenate(meshes)
    return np.asarray(joined.vertices), np.asarray(joined.faces)


def climb(*, lift=0.0, seat=None):
    """Climb the steps, a foot on each in turn for 6 looks, while the other swings; `seat`: height of the root over the feet."""
    reach = np.array([[-0.05, 0.0, 0.0], [0.0, 0.0, 0.0], [0.12, 0.0, 0.0]])
    feet, speed, root = [], [], []
    for step in range(COUNT):
        standing = np.array([TREAD * (step + 0.4), 0.0, RISE * (step + 1) + SOLE + lift])
        swinging = standing + np.array([-0.1, 0.0, 0.5])
        for _ in range(6):
            pair = (standing, swinging) if step % 2 else (swinging, standing)
            feet.append([foot + reach for foot in pair])
            speed.append((0.05, 1.5) if step % 2 else (1.5, 0.05))
            root.append(standing + np.array([0.0, 0.0, 0.75 if seat is None else seat]))
    times = 0.08 * np.arange(len(feet))
    return Looks(times=times, feet=np.array(feet), speed=np.array(speed), root=np.array(root), ground=np.zeros(len(feet)))


def test_whole_stairs_carry():
    assert missing_ground(climb(), *stairs()) is None


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_missing_tread_is_found_where_it_is(step):
    hole = missing_ground(climb(), *stairs(without=step))
    assert hole.time == pytest.approx(0.08 * 6 * step)
    assert hole.foot == ("left" if step % 2 else "right")
    assert hole.gap == pytest.approx(RISE * (step + 1))
    assert hole.share == pytest.approx(1 / COUNT)
    assert f"has nothing under the feet for 20% of the motion, first at {0.48 * step:.1f} s" in str(hole)


def test_the_ground_carries_where_there_is_no_mesh():
    level = climb()
    lowest = level.feet[..., 2:].min(axis=(1, 2), keepdims=True)
    level = attrs.evolve(level, feet=level.feet - (lowest - SOLE) * (0, 0, 1))
    nothing = np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)
    assert missing_ground(level, *nothing) is None
    assert missing_ground(climb(), *nothing).share == pytest.approx(
        0.8
    )  # the first step is low enough to be a motion that hovers


def test_feet_that_hover_a_little_carry():
    """Retargeted motions float by centimetres."""
    assert missing_ground(climb(lift=0.1), *stairs()) is None
    assert missing_ground(climb(lift=0.3), *stairs()).share == 1.0


def test_one_who_sits_needs_no_feet():
    hanging = climb(lift=0.3, seat=-0.2)
    assert missing_ground(hanging, *stairs()) is None


def test_moving_feet_alone_are_no_stance():
    flight = climb()
    flight = attrs.evolve(flight, speed=np.full_like(flight.speed, 2.0))
    assert missing_ground(flight, *stairs(without=2)) is None


def test_scanned_stairs():
    """The mesh of stair_61 ends where its clip takes the last step; the other two are whole."""
    data = Path(os.environ.get("GRAIL_TEST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")) / "grail" / "stairs"
    if not data.is_dir():
        return
    from grail_framework.config import MotionCfg
    from grail_framework.motion.loading import load_library
    from grail_framework.motion.readers.grail import GrailReader
    from grail_framework.robots.g1 import g1_29dof

    cfg = MotionCfg(data=str(data), use_packed=False)
    motions = load_library(cfg, g1_29dof(), device="cpu", need_object=True, need_table=False, readers=[GrailReader()])
    (fault,) = footing_faults(motions)
    assert (fault.key, fault.fatal) == ("stair_61", False)
    assert fault.path == data / "object_usd" / "stair_61.usd"
    assert "stands 1.2" in fault.reason
    mesh = trimesh.Trimesh(*_surface(fault.path), process=False)
    assert not mesh.ray.intersects_any([[-0.07, 4.2, 5.0]], [[0.0, 0.0, -1.0]])[0]


def _surface(path):
    from grail_framework.assets.usd import read_triangles

    return read_triangles(path)
