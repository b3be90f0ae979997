"""The surface of an object: its triangles as they are in the file, in the object's frame."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from pxr import Gf, Usd, UsdGeom, UsdPhysics

from grail_framework.assets.usd import read_object, read_triangles
from grail_framework.assets.usd_writer import write_object_usd
from grail_framework.errors import AssetError

from .solids import arrays, torus


def test_a_concave_mesh_stays_as_it_is(tmp_path):
    """Not its convex pieces, of which this object has many."""
    vertices, faces = arrays(torus())
    path = write_object_usd(
        tmp_path / "torus.usd", [(vertices, faces), (vertices + 2.0, faces)], approximation="convexDecomposition"
    )
    points, triangles = read_triangles(path)
    np.testing.assert_allclose(points, np.concatenate((vertices, vertices + 2.0)), atol=1e-6)
    assert np.array_equal(triangles, np.concatenate((faces, faces + len(vertices))))


def test_what_collides_in_the_frame_of_the_rigid_body(tmp_path):
    """Centimetres, y up, scaled and moved; a quadrangle is two triangles; a prim that is only drawn is no part of it."""
    stage = Usd.Stage.CreateNew(str(tmp_path / "slab.usda"))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 0.01)
    root = UsdGeom.Xform.Define(stage, "/Object")
    stage.SetDefaultPrim(root.GetPrim())
    UsdPhysics.RigidBodyAPI.Apply(root.GetPrim())
    root.AddTranslateOp().Set(Gf.Vec3d(7.0, 8.0, 9.0))
    mesh = UsdGeom.Mesh.Define(stage, "/Object/mesh")
    mesh.CreatePointsAttr([Gf.Vec3f(0, 0, 0), Gf.Vec3f(0, 0, 10), Gf.Vec3f(20, 0, 10), Gf.Vec3f(20, 0, 0)])
    mesh.CreateFaceVertexCountsAttr([4])
    mesh.CreateFaceVertexIndicesAttr([0, 1, 2, 3])
    mesh.AddScaleOp().Set(Gf.Vec3f(2.0, 1.0, 1.0))
    UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())
    UsdGeom.Cube.Define(stage, "/Object/drawn")
    stage.Save()
    points, triangles = read_triangles(tmp_path / "slab.usda")
    # y up to z up takes (x, y, z) to (x, -z, y).
    np.testing.assert_allclose(points, [[0, 0, 0], [0, -0.1, 0], [0.4, -0.1, 0], [0.4, 0, 0]], atol=1e-9)
    slab = trimesh.Trimesh(points, triangles, process=False)
    assert slab.area == pytest.approx(0.04)
    np.testing.assert_allclose(slab.face_normals, [[0, 0, 1]] * 2, atol=1e-9)


def test_a_shape_prim_gives_its_hull(tmp_path):
    stage = Usd.Stage.CreateNew(str(tmp_path / "cube.usda"))
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/Object").GetPrim())
    UsdGeom.Cube.Define(stage, "/Object/cube").CreateSizeAttr(0.5)
    stage.Save()
    cube = trimesh.Trimesh(*read_triangles(tmp_path / "cube.usda"))
    assert cube.is_watertight
    assert cube.volume == pytest.approx(0.125)


def test_what_cannot_be_read_is_refused_as_an_object_is(tmp_path):
    for read in (read_triangles, read_object):
        with pytest.raises(AssetError, match=r"none\.usd: no such file"):
            read(tmp_path / "none.usd")
