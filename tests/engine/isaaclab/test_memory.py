"""Memory of an environment, held against what MuJoCo-Warp allocates for one world more."""

from __future__ import annotations

import dataclasses

import attrs
import mujoco
import mujoco_warp
import pytest
import torch
import warp as wp

from grail_framework.engine.isaaclab import memory
from grail_framework.engine.isaaclab.memory import (
    bytes_per_env,
    check_memory,
    free_memory,
    solver_bytes,
    step_bytes,
    world_size,
)
from grail_framework.engine.protocol import ObjectSpec, SceneSpec
from grail_framework.errors import ConfigError
from grail_framework.robots.builder import build_robot
from grail_framework.robots.g1 import g1_29dof, g1_43dof

GIB = 2**30


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


@pytest.mark.parametrize(
    ("robot", "slots", "dynamic", "table"),
    [(g1_43dof(), 16, True, True), (g1_29dof(), 0, True, False), (g1_43dof(), 40, False, False)],
)
def test_arrays_of_the_solver_are_counted(robot, slots, dynamic, table):
    spec, model = scene(robot, slots=slots, dynamic=dynamic, table=table)
    size = world_size(spec, slots=slots, contacts=96, constraints=528)
    assert (size.bodies, size.dofs, size.shapes, size.inertia) == (model.nbody, model.nv, model.ngeom, model.nC)
    one, two = (allocated(mujoco_warp.make_data(model, nworld=count, nconmax=96, njmax=528)) for count in (1, 2))
    assert solver_bytes(size) == pytest.approx(two - one, rel=0.05)


@pytest.fixture(scope="module")
def size():
    return world_size(scene(g1_43dof(), slots=8, table=True)[0], slots=8, contacts=80, constraints=464)


def test_more_of_anything_takes_more(size):
    for field in attrs.fields(type(size)):
        more = attrs.evolve(size, **{field.name: 2 * getattr(size, field.name)})
        assert bytes_per_env(more) > bytes_per_env(size), field.name
    assert step_bytes(attrs.evolve(size, contacts=0)) < step_bytes(size)


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
