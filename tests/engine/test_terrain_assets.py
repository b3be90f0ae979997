"""Terrain as the triangle meshes it comes as, on MuJoCo: a chair and a slope, on top and not inside."""

from __future__ import annotations

import math

import attrs
import numpy as np
import pytest
import torch
import trimesh

from grail_framework.assets.usd_writer import write_object_usd
from grail_framework.engine.protocol import ContactSensorSpec, ObjectSpec, SceneSpec
from grail_framework.robots.g1 import g1_43dof

from ..assets.solids import arrays
from .furniture import FURNITURE, SEAT, slope, slope_height
from .scenes import everything, resting, slab_robot, slab_scene
from .standing import FEET, WEIGHT, depth, foot_corners, stand, stiff_robot

GRAVITY = 9.81


@pytest.fixture(scope="module")
def furniture(tmp_path_factory):
    """Object specs and meshes by name."""
    folder, found = tmp_path_factory.mktemp("furniture"), {}
    for name, (make, _) in FURNITURE.items():
        mesh = make()
        path = write_object_usd(folder / f"{name}.usd", [arrays(mesh)], dynamic=False, approximation="none")
        found[name] = ObjectSpec(name=name, path=str(path), max_pieces=128), mesh
    return found


def settle(made, spec, place, quat=(1.0, 0.0, 0.0, 0.0)):
    """Let a slab of 20 x 20 x 10 cm come to rest from a place; return the engine."""
    slab = slab_robot()
    small = attrs.evolve(slab.bodies[0], colliders=(attrs.evolve(slab.bodies[0].colliders[0], size=(0.1, 0.1, 0.05)),))
    scene = attrs.evolve(slab_scene((spec,)), object_dynamic=False, robot=attrs.evolve(slab, bodies=(small, slab.bodies[1])))
    engine = made(scene)
    start = resting(scene, 0.0, root_quat_w=torch.tensor([quat]), object_pos_w=torch.zeros(1, 3))
    engine.reset(everything(scene), attrs.evolve(start, root_pos_w=torch.tensor([place])))
    for _ in range(50):
        engine.step(torch.zeros(1, 1))
    return engine


def test_the_meshes_are_one_closed_part(furniture):
    for _, mesh in furniture.values():
        assert mesh.is_watertight
        assert mesh.volume > 0.0
        assert len(mesh.split()) == 1
    assert furniture["chair"][1].volume < 0.2 * trimesh.convex.convex_hull(furniture["chair"][1]).volume


@pytest.mark.parametrize(
    ("above", "rests"), [((0.05, 0.1, SEAT + 0.07), SEAT + 0.05), ((0.0, 0.0, 0.07), 0.05)], ids=["on", "under"]
)
def test_a_chair_carries_on_its_seat_and_is_open_below(made, furniture, above, rests):
    engine = settle(made, furniture["chair"][0], above)
    torch.testing.assert_close(engine.state.root_pos_w[0], torch.tensor([*above[:2], rests]), atol=3e-3, rtol=0.0)
    carried = engine.state.contact_forces["object"][0, 1, 2].item()
    assert carried == pytest.approx(5.5 * GRAVITY if rests > SEAT else 0.0, rel=0.02, abs=0.01)


def test_a_slope_carries_along_its_normal(made, tmp_path):
    pitch = math.radians(15.0)
    path = write_object_usd(tmp_path / "slope.usd", [arrays(slope(pitch))], dynamic=False, approximation="none")
    turned = (math.cos(pitch / 2), 0.0, -math.sin(pitch / 2), 0.0)
    above = (0.2, 0.0, slope_height(0.2, pitch) + 0.052)
    engine = settle(made, ObjectSpec(name="slope", path=str(path)), above, turned)
    x, _, z = engine.state.root_pos_w[0].tolist()
    # The slab's middle is 5 cm off the surface, measured along the normal.
    assert (z - slope_height(x, pitch)) * math.cos(pitch) == pytest.approx(0.05, abs=1e-3)
    assert abs(x - 0.2) < 0.02  # friction holds it
    torch.testing.assert_close(
        engine.state.contact_forces["object"][0, 1], torch.tensor([0.0, 0.0, 5.5 * GRAVITY]), atol=1.0, rtol=0.0
    )


def test_a_robot_stands_on_them(made, furniture):
    places = [place for _, place in FURNITURE.values()]
    scene = SceneSpec(
        num_envs=2,
        robot=stiff_robot(),
        objects=tuple(spec for spec, _ in furniture.values()),
        env_object=(0, 1),
        object_dynamic=False,
        num_threads=1,
        contact_sensors={partner: ContactSensorSpec(links=FEET, partner=partner) for partner in ("object", "ground")},
    )
    seen = stand(made(scene), places)
    assert seen["sunk"].max() < 0.04
    assert seen["up"].min() > math.cos(math.radians(20.0))
    mean = seen["forces"][25:, :, :, 2].sum(dim=2).mean(dim=0)
    torch.testing.assert_close(mean, torch.full_like(mean, WEIGHT), rtol=0.05, atol=0.0)
    assert seen["ground"].abs().max() == 0.0
    corners = foot_corners(g1_43dof(), seen["poses"])
    for env, (_, mesh) in enumerate(furniture.values()):
        assert depth(mesh, corners[:, env].reshape(-1, 3)) < 0.01
        assert np.isfinite(corners).all()
