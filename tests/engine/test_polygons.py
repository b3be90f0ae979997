"""Normals of the faces of compiled meshes."""

from __future__ import annotations

import mujoco
import numpy as np
import trimesh

from grail_framework.engine.polygons import mend_polygon_normals

from ..assets.solids import rounded_slab
from .soles import poses, sole_on


def outward(model):
    """By polygon, how far its plane is from the middle of the mesh along its normal. [m]"""
    corners = np.split(model.mesh_polyvert, model.mesh_polyvertadr[1:])
    return np.array(
        [model.mesh_vert[own].mean(axis=0) @ normal for own, normal in zip(corners, model.mesh_polynormal, strict=True)]
    )


def pushed_down(model, places):
    """In how many places a contact pushes the sole into the stone it lies on."""
    data = mujoco.MjData(model)
    down = 0
    for place in places:
        data.qpos[:] = place
        mujoco.mj_forward(model, data)
        # The normal points from the sole, whose type comes first, to the stone below it.
        down += any(contact.frame[2] > 0.0 for contact in data.contact)
    return down


def test_the_upper_side_of_a_stone_carries():
    points = rounded_slab()
    model, places = sole_on(points), poses(points, 400)
    assert (outward(model) < 0.0).any()
    assert pushed_down(model, places) > 0, "MuJoCo needs no mending any more"
    mend_polygon_normals(model)
    assert (outward(model) > 0.0).all()
    assert pushed_down(model, places) == 0


def test_flat_faces_keep_their_normals():
    spec = mujoco.MjSpec()
    for name, mesh in (
        ("box", trimesh.creation.box((1.0, 2.0, 3.0))),
        ("tin", trimesh.creation.cylinder(0.04, 0.12, sections=32)),
        ("ball", trimesh.creation.icosphere(subdivisions=2)),
    ):
        spec.add_mesh(name=name, uservert=np.array(mesh.vertices, dtype=np.float32).ravel())
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name)
    model = spec.compile()
    before = model.mesh_polynormal.copy()
    mend_polygon_normals(model)
    np.testing.assert_allclose(model.mesh_polynormal, before, atol=1e-6)


def test_a_model_without_meshes_is_left_alone():
    mend_polygon_normals(mujoco.MjModel.from_xml_string("<mujoco/>"))
