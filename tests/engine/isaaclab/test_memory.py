"""Memory of an environment, held against what MuJoCo-Warp allocates for one world more."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import attrs
import mujoco
import mujoco_warp
import numpy as np
import pytest
import torch
import warp as wp

from grail_framework.assets.convex import ConvexPiece
from grail_framework.assets.usd import ObjectAsset
from grail_framework.engine.isaaclab import memory
from grail_framework.engine.isaaclab.memory import (
    bytes_per_env,
    check_memory,
    free_memory,
    model_bytes,
    solver_bytes,
    step_bytes,
    world_size,
)
from grail_framework.engine.isaaclab.physics import capacity
from grail_framework.engine.objects import SceneObjects, SimulatedObject
from grail_framework.engine.protocol import ObjectSpec, SceneSpec
from grail_framework.errors import ConfigError
from grail_framework.robots.builder import build_robot
from grail_framework.robots.g1 import g1_29dof, g1_43dof
from grail_framework.robots.spec import ColliderSpec

from ..scenes import slab_robot

GIB = 2**30
KIB = 2**10


def cylinder(corners):
    """Corners (2 * corners, 3) of a prism: its caps have that many, and three faces meet in each."""
    turn = np.linspace(0.0, 2.0 * np.pi, corners, endpoint=False)
    cap = np.stack((0.1 * np.cos(turn), 0.1 * np.sin(turn), np.full(corners, 0.1)), axis=1)
    return np.concatenate((cap, cap * (1.0, 1.0, -1.0)))


def pyramid(sides):
    """Corners (sides + 1, 3) of a pyramid, in whose top that many faces meet."""
    return np.concatenate((cylinder(sides)[:sides], [[0.0, 0.0, 0.3]]))


def objects_of(*pieces):
    """One object of some convex pieces, in two environments."""
    asset = ObjectAsset(
        path=Path("object.usd"),
        pieces=tuple(ConvexPiece(vertices=points, volume=1e-3) for points in pieces),
        volume=1e-3,
        com=np.zeros(3),
        gyration=np.eye(3),
    )
    return SceneObjects(bodies=(SimulatedObject(asset=asset, mass=1.0, friction=1.0),), env_body=(0, 0))


def scene(robot, *, slots=0, dynamic=True, table=False):
    """Return a scene and MuJoCo's model of it."""
    spec = SceneSpec(
        num_envs=2,
        robot=robot,
        objects=(ObjectSpec(name="object", path="object.usd"),) if slots else (),
        env_object=(0, 0) if slots else (),
        object_dynamic=dynamic,
        table_size=(1.0, 0.6, 0.04) if table else None,
    )
    made = build_robot(robot)
    made.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1])
    if slots:
        body = made.worldbody.add_body(mocap=not dynamic)
        if dynamic:
            body.add_freejoint()
        for index in range(slots):
            body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.1, 0.1, 0.1], pos=[0, 0, 0.1 * index])
    if table:
        made.worldbody.add_body(mocap=True).add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.5, 0.3, 0.02])
    return spec, made.compile()


def allocated(data):
    """Bytes of all arrays of MuJoCo-Warp's data."""
    if isinstance(data, wp.array):
        return data.capacity
    if dataclasses.is_dataclass(data):
        return sum(allocated(getattr(data, field.name)) for field in dataclasses.fields(data))
    return 0


def size_of(spec, pieces, *, contacts=96, constraints=528):
    return world_size(spec, objects_of(*pieces) if pieces else None, contacts=contacts, constraints=constraints)


@pytest.mark.parametrize(
    ("robot", "slots", "dynamic", "table"),
    [(g1_43dof(), 16, True, True), (g1_29dof(), 0, True, False), (g1_43dof(), 40, False, False)],
)
def test_arrays_of_the_solver_are_counted(robot, slots, dynamic, table):
    spec, model = scene(robot, slots=slots, dynamic=dynamic, table=table)
    size = size_of(spec, [cylinder(4)] * slots)
    assert (size.bodies, size.dofs, size.shapes, size.inertia) == (model.nbody, model.nv, model.ngeom, model.nC)
    one, two = (allocated(mujoco_warp.make_data(model, nworld=count, nconmax=96, njmax=528)) for count in (1, 2))
    assert solver_bytes(size) == pytest.approx(two - one, rel=0.05)


@pytest.fixture(scope="module")
def size():
    return size_of(scene(g1_43dof(), slots=8, table=True)[0], [cylinder(12)] * 8, contacts=80, constraints=464)


def test_more_of_anything_takes_more(size):
    for field in attrs.fields(type(size)):
        more = attrs.evolve(size, **{field.name: 2 * getattr(size, field.name)})
        assert bytes_per_env(more) > bytes_per_env(size), field.name


# --- what a step takes ----------------------------------------------------------------------------------------------------


def test_faces_are_measured_as_mujoco_compiles_them():
    spec, _ = scene(g1_43dof(), slots=2, table=True)
    for pieces, expected in (([cylinder(24), pyramid(9)], (24, 9)), ([pyramid(3)], (4, 3))):  # a box has four corners to a face
        size = size_of(spec, pieces)
        assert (size.corners, size.degree) == expected


def test_a_face_more_of_corners_takes_88_bytes_for_each_contact(size):
    more = attrs.evolve(size, corners=size.corners + 1)
    # Two buffers of two points, a normal and its distance, a corner of either face: 48 + 16 + 24.
    assert step_bytes(more) - step_bytes(size) == 80 * 88
    more = attrs.evolve(size, degree=size.degree + 1)
    # Two numbers, two normals, an edge: 8 + 24 + 12.
    assert step_bytes(more) - step_bytes(size) == 80 * 44


def test_bytes_of_a_search_by_hand(size):
    # 80 corners of 16 bytes, 181 faces of 20, 24 edges of 4; 12 corners of 88, 3 faces of 44; and 20 for the pair itself.
    assert (size.contacts, size.corners, size.degree) == (80, 12, 3)
    assert step_bytes(size) == 80 * (1280 + 3620 + 96 + 1056 + 132 + 20)


def test_sixty_four_corners_take_two_gigabytes_of_4096_environments(size):
    more = step_bytes(attrs.evolve(size, corners=64, degree=12)) - step_bytes(attrs.evolve(size, corners=0, degree=0))
    assert 4096 * more == pytest.approx(2e9, rel=0.05)


def test_a_scene_without_a_search_takes_what_its_solver_does():
    size = size_of(scene(g1_29dof())[0], [])
    assert (size.searched, size.corners, size.degree) == (0, 0, 0), "its capsules and boxes touch in closed form"
    # Two matrices of 48 by 48, six rows of 48, and 24 bytes a constraint.
    assert step_bytes(size) == 2 * 4 * 48**2 + 6 * 4 * 48 + 528 * 24


@pytest.mark.parametrize(
    ("shapes", "pieces", "dynamic", "table", "self_collision", "searched", "by_faces"),
    [
        (("capsule", "sphere", "box"), 0, True, True, True, False, False),
        (("capsule", "cylinder"), 0, True, False, True, True, False),
        (("sphere", "cylinder"), 0, True, False, False, False, False),
        (("cylinder",), 0, True, True, False, True, False),
        (("capsule",), 1, True, False, True, True, False),
        (("capsule",), 1, True, True, True, True, True),
        (("capsule",), 1, False, True, True, True, False),
        (("box",), 1, False, False, True, True, True),
        (("mesh",), 0, True, False, True, True, True),
        (("mesh",), 0, True, False, False, False, False),
        (("mesh",), 0, True, True, False, True, True),
    ],
)
def test_kinds_of_shapes_decide_what_is_searched(shapes, pieces, dynamic, table, self_collision, searched, by_faces):
    slab = slab_robot()
    colliders = tuple(
        ColliderSpec(shape=shape, vertices=tuple(map(tuple, cylinder(7).tolist())))
        if shape == "mesh"
        else ColliderSpec(shape=shape, size=(0.1, 0.1, 0.1)[: {"sphere": 1, "box": 3}.get(shape, 2)])
        for shape in shapes
    )
    bodies = (attrs.evolve(slab.bodies[0], colliders=colliders), slab.bodies[1])
    robot = attrs.evolve(slab, bodies=bodies, self_collision=self_collision)
    size = size_of(scene(robot, slots=pieces, dynamic=dynamic, table=table)[0], [cylinder(7)] * pieces)
    assert size.searched == (96 if searched else 0)
    assert size.corners == (7 if by_faces else 0)


def test_pieces_of_one_object_are_no_pairs():
    spec, _ = scene(g1_43dof(), slots=16, table=True)
    assert size_of(spec, [cylinder(4)] * 16).pairs == math.comb(1 + 51 + 16 + 1, 2) - math.comb(16, 2)
    still = attrs.evolve(spec, robot=attrs.evolve(spec.robot, self_collision=False))
    assert size_of(still, [cylinder(4)] * 16).pairs == math.comb(69, 2) - math.comb(16, 2) - math.comb(51, 2)


def test_pnp_table_takes_what_it_took_on_an_h200():
    """Between 1,024 and 16,384 environments: 1.335 MiB each and 251 MiB once, without a rollout, which is 210 KiB."""
    spec, _ = scene(g1_43dof(), slots=2, table=True)
    size = size_of(spec, [cylinder(24)] * 2, contacts=68, constraints=416)
    assert bytes_per_env(size) == pytest.approx(1.335 * 2**20 + 210 * KIB, rel=0.05)


# --- room for contacts ----------------------------------------------------------------------------------------------------


def test_room_for_contacts_is_multiplied_and_counted():
    spec, objects = scene(g1_43dof(), slots=3, table=True)[0], objects_of(*[cylinder(12)] * 3)
    assert capacity(objects, dynamic=True, room=1.0) == (70, 424)
    assert capacity(objects, dynamic=False, room=1.0) == (64, 400)
    assert capacity(None, dynamic=True, room=1.0) == (64, 400)
    assert capacity(objects, dynamic=True, room=1.01) == (71, 429), "rounded up"
    sizes = []
    for room in (1.0, 2.0):
        contacts, constraints = capacity(objects, dynamic=True, room=room)
        sizes.append(world_size(spec, objects, contacts=contacts, constraints=constraints))
    once, twice = sizes
    assert (twice.contacts, twice.constraints, twice.searched) == (140, 848, 140)
    assert step_bytes(twice) == 2 * step_bytes(once)
    assert 1.5 < solver_bytes(twice) / solver_bytes(once) < 2.0
    assert model_bytes(twice) - model_bytes(once) == 70 * 96


# --- what fits ------------------------------------------------------------------------------------------------------------


def test_what_fits_is_said_and_does_fit(size):
    free = 20 * GIB
    with pytest.raises(
        ConfigError, match=r"num_envs: got 1000000, which need .* GiB on cuda:0 .* 20\.0 GiB are free"
    ) as caught:
        check_memory(size, 1_000_000, "cuda:0", free=free)
    fits = int(str(caught.value).rpartition("--num-envs ")[2])
    assert fits % 64 == 0
    check_memory(size, fits, "cuda:0", free=free)
    with pytest.raises(ConfigError):
        check_memory(size, fits + 64, "cuda:0", free=free)


def test_not_one_fits(size):
    with pytest.raises(ConfigError, match="not one fits: free memory on it first"):
        check_memory(size, 4, "cuda:0", free=GIB)


def test_free_memory_of_the_machine(size):
    free = free_memory("cpu")
    assert GIB // 8 < free < 2**50
    check_memory(size, 1, "cpu", free=memory.GIB * 4)


@pytest.mark.gpu
def test_free_memory_of_the_device():
    before = free_memory("cuda:0")
    held = torch.empty(GIB, dtype=torch.uint8, device="cuda:0")
    assert before - free_memory("cuda:0") >= held.numel()
