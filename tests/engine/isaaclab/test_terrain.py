"""A robot on every step of a staircase, the released ones where they are found and made ones elsewhere, on a chair and on a slope."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("isaaclab", reason="comes with the isaaclab extra")

import numpy as np
import torch
import trimesh

from grail_framework.assets.usd_writer import write_object_usd
from grail_framework.engine.isaaclab.engine import build
from grail_framework.engine.mujoco.engine import build as build_mujoco
from grail_framework.engine.protocol import ContactSensorSpec, ObjectSpec, SceneSpec
from grail_framework.robots.g1 import g1_43dof

from ...assets.solids import arrays
from ...conftest import data_folder
from ..furniture import FURNITURE
from ..standing import FEET, WEIGHT, depth, foot_corners, stand, stiff_robot

pytestmark = pytest.mark.slow

RELEASED = {
    # x, y [m], yaw [deg] and the level [m] of a place where both soles are on one tread, tilted by 3.5 degrees
    # at most and rising ahead of the robot, not falling.
    "stair_101": (
        (0.215, 1.38, 180.0, 0.045),
        (-0.435, 3.15, 240.0, 0.256),
        (-0.105, 3.18, 60.0, 0.390),
        (-0.215, 3.48, 60.0, 0.549),
        (1.075, 3.06, 60.0, 0.667),
        (1.325, 3.29, 240.0, 0.798),
        (0.155, 4.16, 240.0, 0.971),
        (0.845, 4.07, 240.0, 1.107),
        (0.635, 4.43, 30.0, 1.264),
        (0.075, 6.09, 30.0, 1.354),
    ),
    "stair_53": ((-0.155, 1.489, 270.0, 0.161),),
    "stair_61": ((-0.325, 2.728, 285.0, 0.658),),
}


def made_stairs(rise: float, count: int = 6) -> trimesh.Trimesh:
    """Steps of 0.3 x 1.0 m that touch, each a closed part of one mesh as the released stairs are."""
    steps = []
    for k in range(count):
        step = trimesh.creation.box((0.3, 1.0, rise))
        step.apply_translation((0.3 * k, 0.0, rise * (k + 0.5)))
        steps.append(step)
    return trimesh.util.concatenate(steps)


def read_mesh(path) -> trimesh.Trimesh:
    """Read all meshes of a USD file as one."""
    from pxr import Usd, UsdGeom

    found = []
    stage = Usd.Stage.Open(str(path))
    for prim in stage.Traverse():
        if not prim.IsA(UsdGeom.Mesh):
            continue
        mesh = UsdGeom.Mesh(prim)
        matrix = np.array(UsdGeom.Xformable(prim).ComputeLocalToWorldTransform(Usd.TimeCode.Default()))
        points = np.array(mesh.GetPointsAttr().Get()) @ matrix[:3, :3] + matrix[3, :3]
        found.append(trimesh.Trimesh(points, np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)))
    return trimesh.util.concatenate(found)


@pytest.fixture(scope="module")
def terrain(tmp_path_factory):
    """The object specs, their meshes, and per environment the object's index and (x, y, yaw, level)."""
    root = data_folder() / "grail" / "stairs" / "object_usd"
    if root.is_dir():
        paths = {name: root / f"{name}.usd" for name in RELEASED}
        meshes = [read_mesh(path) for path in paths.values()]
        places = [(index, place) for index, stances in enumerate(RELEASED.values()) for place in stances]
    else:
        folder = tmp_path_factory.mktemp("stairs")
        meshes, paths, places = [], {}, []
        for index, (name, rise, count) in enumerate((("low", 0.10, 6), ("steep", 0.18, 4))):
            meshes.append(made_stairs(rise, count))
            paths[name] = write_object_usd(folder / f"{name}.usd", [arrays(meshes[-1])], dynamic=False, approximation="none")
            places += [(index, (0.3 * k - 0.04, 0.0, 0.0, rise * (k + 1))) for k in range(count)]
    folder = tmp_path_factory.mktemp("furniture")
    for name, (make, place) in FURNITURE.items():
        meshes.append(make())
        paths[name] = write_object_usd(folder / f"{name}.usd", [arrays(meshes[-1])], dynamic=False, approximation="none")
        places.append((len(meshes) - 1, place))
    specs = tuple(ObjectSpec(name=name, path=str(path), max_pieces=128) for name, path in paths.items())
    return specs, meshes, places


@pytest.fixture(scope="module")
def stood(terrain):
    """Both engines after a second of standing: by engine (heights, upright, forces, poses of the feet)."""
    specs, _, places = terrain
    scene = SceneSpec(
        num_envs=len(places),
        robot=stiff_robot(),
        objects=specs,
        env_object=tuple(index for index, _ in places),
        object_dynamic=False,
        num_threads=1,
        contact_sensors={partner: ContactSensorSpec(links=FEET, partner=partner) for partner in ("object", "ground")},
    )
    found = {}
    for name, make in (("mujoco", build_mujoco), ("isaaclab", build)):
        engine = make(scene)
        try:
            found[name] = stand(engine, [place for _, place in places])
        finally:
            engine.close()
    return found


def test_the_robot_stands_on_every_place(stood):
    seen = stood["isaaclab"]
    assert seen["sunk"].max() < 0.04, seen["sunk"]
    assert seen["up"].min() > math.cos(math.radians(20.0)), seen["up"]
    mean = seen["forces"][25:, :, :, 2].sum(dim=2).mean(dim=0)
    torch.testing.assert_close(mean, torch.full_like(mean, WEIGHT), rtol=0.05, atol=0.0)
    assert seen["ground"].abs().max() == 0.0


def test_no_foot_sinks_into_the_mesh(stood, terrain):
    _, meshes, places = terrain
    corners = foot_corners(g1_43dof(), stood["isaaclab"]["poses"])
    deepest = [depth(meshes[index], corners[:, env].reshape(-1, 3)) for env, (index, _) in enumerate(places)]
    assert max(deepest) < 0.02, deepest


def test_the_robot_stands_as_on_the_other_engine(stood):
    ours, theirs = stood["isaaclab"], stood["mujoco"]
    torch.testing.assert_close(ours["sunk"], theirs["sunk"], atol=0.015, rtol=0.0)
    ours_mean, theirs_mean = (seen["forces"][25:].mean(dim=0) for seen in (ours, theirs))
    # How the load is shared between two soles on a slope depends on which corner is loaded; their sum and its direction do not.
    torch.testing.assert_close(ours_mean.sum(dim=1), theirs_mean.sum(dim=1), atol=0.06 * WEIGHT, rtol=0.0)
    torch.testing.assert_close(ours_mean[..., 2], theirs_mean[..., 2], atol=0.3 * WEIGHT, rtol=0.0)
