"""Meshes of its own in every world of one model, held against MuJoCo's model of each."""

from __future__ import annotations

import mujoco
import mujoco_warp
import numpy as np
import pytest
import trimesh
import warp as wp

from grail_framework.engine.isaaclab.mesh_variants import CollisionMesh, compile_meshes, put_meshes
from grail_framework.errors import AssetError

MESH = int(mujoco.mjtGeom.mjGEOM_MESH)
SPECK = 3
OF_WORLD = np.array([[0, SPECK], [1, SPECK], [2, SPECK], [1, 0]])
"""Mesh of each world's two geoms."""
TOP = 0.1


def collision_mesh(mesh):
    return CollisionMesh(
        vertices=np.array(mesh.vertices, dtype=np.float32), faces=np.array(mesh.faces, dtype=np.int32), max_hull_vertices=-1
    )


@pytest.fixture(scope="module")
def meshes():
    off_its_origin = trimesh.creation.cylinder(0.04, 0.12, sections=32)
    off_its_origin.apply_translation((0.02, 0.0, 0.01))
    return [
        collision_mesh(trimesh.creation.box((0.2, 0.1, 0.06))),
        collision_mesh(off_its_origin),
        collision_mesh(trimesh.creation.icosphere(subdivisions=3, radius=0.05)),
        collision_mesh(trimesh.creation.icosphere(subdivisions=1, radius=0.001)),
    ]


def on_a_box(first, second):
    """A free body of two geoms above a box."""
    spec = mujoco.MjSpec()
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.3, 0.3, 0.5 * TOP], pos=[0.0, 0.0, 0.5 * TOP])
    body = spec.worldbody.add_body(name="object")
    body.add_freejoint()
    for name, mesh in (("first", first), ("second", second)):
        spec.add_mesh(name=name, uservert=mesh.vertices.ravel(), userface=mesh.faces.ravel())
        body.add_geom(name=name, type=MESH, meshname=name)
    return spec.compile()


@pytest.fixture(scope="module")
def own_meshes(meshes):
    """The device's model of the first world with the meshes of all of them, and MuJoCo's model it was made from."""
    model = on_a_box(meshes[0], meshes[SPECK])
    device_model, compiled = mujoco_warp.put_model(model), compile_meshes(meshes)
    geoms = np.flatnonzero(model.geom_type == MESH)
    put_meshes(device_model, compiled, geoms, OF_WORLD)
    for name, own in (("geom_pos", compiled.mesh_pos), ("geom_quat", compiled.mesh_quat)):
        values = np.repeat(getattr(device_model, name).numpy(), len(OF_WORLD), axis=0)
        values[:, geoms] = own[OF_WORLD]
        setattr(device_model, name, wp.array(values, dtype=getattr(device_model, name).dtype))
    return model, device_model


def test_each_world_touches_with_its_own_meshes(own_meshes, meshes):
    """Each object 2 mm deep in the box, by its own height."""
    model, device_model = own_meshes
    heights = [max(-meshes[index].vertices[:, 2].min() for index in pair) for pair in OF_WORLD]
    data = mujoco_warp.make_data(model, nworld=len(OF_WORLD), nconmax=16, njmax=64)
    poses = np.array([[0.0, 0.0, TOP + height - 0.002, 1.0, 0.0, 0.0, 0.0] for height in heights])
    data.qpos.assign(poses.astype(np.float32))
    mujoco_warp.kinematics(device_model, data)
    mujoco_warp.com_pos(device_model, data)
    mujoco_warp.collision(device_model, data)
    count = int(data.nacon.numpy()[0])
    world, depth = data.contact.worldid.numpy()[:count], data.contact.dist.numpy()[:count]
    for index, pair in enumerate(OF_WORLD):
        other = on_a_box(*(meshes[mesh] for mesh in pair))
        reference = mujoco.MjData(other)
        reference.qpos[:] = poses[index]
        mujoco.mj_forward(other, reference)
        assert (world == index).any()
        assert depth[world == index].min() == pytest.approx(min(contact.dist for contact in reference.contact), abs=2e-5)


def test_bounds_are_those_of_each_worlds_meshes(own_meshes, meshes):
    _, device_model = own_meshes
    for index, pair in enumerate(OF_WORLD):
        other = on_a_box(*(meshes[mesh] for mesh in pair))
        np.testing.assert_allclose(device_model.geom_rbound.numpy()[index], other.geom_rbound, rtol=1e-5)
        np.testing.assert_allclose(device_model.geom_aabb.numpy()[index].reshape(-1, 6), other.geom_aabb, atol=1e-6)
    assert device_model.npolygonmax == 32  # the cylinder's ends: what collision detection makes room for
    assert device_model.geom_dataid.shape == (len(OF_WORLD), 3)


def test_a_mesh_without_a_volume_is_refused():
    flat = CollisionMesh(
        vertices=1e-6 * np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], dtype=np.float32),
        faces=np.array([(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)], dtype=np.int32),
        max_hull_vertices=-1,
    )
    with pytest.raises(AssetError, match=r"MuJoCo refuses a convex piece of an object .*volume is too small.*repair"):
        compile_meshes([flat])
