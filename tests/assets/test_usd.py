from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Usd, UsdGeom, UsdPhysics

from grail_framework.assets.usd import examine_objects, read_object
from grail_framework.assets.usd_writer import write_box_usd
from grail_framework.errors import AssetError

TETRAHEDRON = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
TETRAHEDRON_FACES = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]


def new_stage(path: Path, *, up: str = "Z", unit: float | None = 1.0):
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z if up == "Z" else UsdGeom.Tokens.y)
    if unit is not None:
        UsdGeom.SetStageMetersPerUnit(stage, unit)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/Object").GetPrim())
    return stage


def add_mesh(stage, points, faces, path="/Object/mesh"):
    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreatePointsAttr([Gf.Vec3f(*map(float, point)) for point in points])
    mesh.CreateFaceVertexCountsAttr([len(face) for face in faces])
    mesh.CreateFaceVertexIndicesAttr([index for face in faces for index in face])
    return mesh


def bounds(asset):
    points = np.concatenate([piece.vertices for piece in asset.pieces])
    return points.min(axis=0), points.max(axis=0)


def test_a_written_box_comes_back(tmp_path):
    asset = read_object(write_box_usd(tmp_path / "box.usd", (0.4, 0.3, 0.2), mass=1.5))
    assert len(asset.pieces) == 1
    assert asset.pieces[0].vertices.shape == (8, 3)
    low, high = bounds(asset)
    np.testing.assert_allclose(low, [-0.2, -0.15, -0.1], atol=1e-7)
    np.testing.assert_allclose(high, [0.2, 0.15, 0.1], atol=1e-7)
    assert asset.mass == pytest.approx(1.5)
    assert asset.density is None
    assert asset.volume == pytest.approx(0.4 * 0.3 * 0.2, rel=1e-6)


def test_a_box_without_a_mass_gives_none(tmp_path):
    assert read_object(write_box_usd(tmp_path / "box.usda", (0.1, 0.1, 0.1))).mass is None


def test_prim_transforms_units_and_up_axis_are_applied(tmp_path):
    stage = new_stage(tmp_path / "tetra.usda", up="Y", unit=0.01)
    mesh = add_mesh(stage, TETRAHEDRON, TETRAHEDRON_FACES)
    UsdGeom.Xformable(mesh).AddTranslateOp().Set(Gf.Vec3d(10.0, 20.0, 30.0))
    UsdGeom.Xformable(mesh).AddScaleOp().Set(Gf.Vec3f(5.0, 6.0, 7.0))
    stage.Save()
    low, high = bounds(read_object(tmp_path / "tetra.usda"))
    # y up to z up takes (x, y, z) to (x, -z, y); then centimetres.
    np.testing.assert_allclose(low, [0.10, -0.37, 0.20], atol=1e-7)
    np.testing.assert_allclose(high, [0.15, -0.30, 0.26], atol=1e-7)


def test_the_frame_is_the_rigid_body_s_and_keeps_its_scale(tmp_path):
    stage = new_stage(tmp_path / "moved.usda")
    root = UsdGeom.Xform.Get(stage, "/Object")
    UsdPhysics.RigidBodyAPI.Apply(root.GetPrim())
    root.AddTranslateOp().Set(Gf.Vec3d(3.0, 0.0, 0.0))
    root.AddScaleOp().Set(Gf.Vec3f(2.0, 2.0, 2.0))
    UsdGeom.Cube.Define(stage, "/Object/cube").CreateSizeAttr(0.5)
    stage.Save()
    low, high = bounds(read_object(tmp_path / "moved.usda"))
    np.testing.assert_allclose(low, [-0.5] * 3, atol=1e-7)
    np.testing.assert_allclose(high, [0.5] * 3, atol=1e-7)


@pytest.mark.parametrize(
    ("shape", "settings", "extent", "volume"),
    [
        (UsdGeom.Cube, {"size": 0.2}, (0.2, 0.2, 0.2), 0.008),
        (UsdGeom.Sphere, {"radius": 0.1}, (0.2, 0.2, 0.2), 4 / 3 * np.pi * 1e-3),
        (UsdGeom.Cylinder, {"radius": 0.1, "height": 0.5, "axis": "X"}, (0.5, 0.2, 0.2), np.pi * 0.01 * 0.5),
        (UsdGeom.Cylinder, {"radius": 0.1, "height": 0.5, "axis": "Y"}, (0.2, 0.5, 0.2), np.pi * 0.01 * 0.5),
        (UsdGeom.Capsule, {"radius": 0.1, "height": 0.5, "axis": "Z"}, (0.2, 0.2, 0.7), np.pi * 0.01 * (0.5 + 0.4 / 3)),
    ],
)
def test_shape_prims_become_hulls_of_their_size(tmp_path, shape, settings, extent, volume):
    stage = new_stage(tmp_path / "shape.usda")
    prim = shape.Define(stage, "/Object/shape").GetPrim()
    for name, value in settings.items():
        prim.GetAttribute(name).Set(value)
    stage.Save()
    asset = read_object(tmp_path / "shape.usda")
    low, high = bounds(asset)
    np.testing.assert_allclose(high - low, extent, atol=2e-3 * max(extent))
    assert asset.volume == pytest.approx(volume, rel=0.02)


def test_only_colliders_count_where_some_are_marked(tmp_path):
    stage = new_stage(tmp_path / "both.usda")
    UsdGeom.Sphere.Define(stage, "/Object/visual").CreateRadiusAttr(3.0)
    cube = UsdGeom.Cube.Define(stage, "/Object/collision")
    cube.CreateSizeAttr(1.0)
    UsdPhysics.CollisionAPI.Apply(cube.GetPrim())
    stage.Save()
    asset = read_object(tmp_path / "both.usda")
    assert [len(piece.vertices) for piece in asset.pieces] == [8]


def test_several_prims_give_several_pieces_and_their_masses_add_up(tmp_path):
    stage = new_stage(tmp_path / "two.usda")
    for index, mass in enumerate((0.25, 0.5)):
        cube = UsdGeom.Cube.Define(stage, f"/Object/cube_{index}")
        cube.CreateSizeAttr(0.1)
        cube.AddTranslateOp().Set(Gf.Vec3d(float(index), 0.0, 0.0))
        UsdPhysics.MassAPI.Apply(cube.GetPrim()).CreateMassAttr(mass)
    stage.Save()
    asset = read_object(tmp_path / "two.usda")
    assert len(asset.pieces) == 2
    assert asset.mass == pytest.approx(0.75)


def test_a_file_without_a_unit_is_in_metres(tmp_path):
    stage = new_stage(tmp_path / "plain.usda", unit=None)
    add_mesh(stage, TETRAHEDRON, TETRAHEDRON_FACES)
    stage.Save()
    assert read_object(tmp_path / "plain.usda").volume == pytest.approx(1 / 6, rel=1e-6)


def make_empty(path):
    new_stage(path).Save()


def make_text(path):
    path.write_text("this is no layer")


def make_two_bodies(path):
    stage = new_stage(path)
    for name in ("a", "b"):
        UsdPhysics.RigidBodyAPI.Apply(UsdGeom.Cube.Define(stage, f"/Object/{name}").GetPrim())
    stage.Save()


def make_flat(path):
    stage = new_stage(path)
    add_mesh(stage, [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [(0, 1, 2, 3)] * 4)
    stage.Save()


def make_broken_indices(path):
    stage = new_stage(path)
    add_mesh(stage, TETRAHEDRON, [(0, 2, 9)] * 4)
    stage.Save()


def make_not_finite(path):
    stage = new_stage(path)
    add_mesh(stage, [(0, 0, float("nan")), *TETRAHEDRON[1:]], TETRAHEDRON_FACES)
    stage.Save()


def make_missing_reference(path):
    path.write_text('#usda 1.0\n(\n    defaultPrim = "Object"\n)\ndef Xform "Object" (references = @./gone.usda@)\n{\n}\n')


def make_cone(path):
    stage = new_stage(path)
    UsdGeom.Cone.Define(stage, "/Object/cone")
    stage.Save()


def make_huge(path):
    stage = new_stage(path)
    UsdGeom.Cube.Define(stage, "/Object/cube").CreateSizeAttr(400.0)
    stage.Save()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (make_empty, "no geometry below /Object"),
        (make_text, "not a readable USD file .*is not a valid usda layer"),
        (make_two_bodies, "2 rigid bodies"),
        (make_flat, "/Object/mesh: the points have no convex hull"),
        (make_broken_indices, "face counts, face indices and points do not fit"),
        (make_not_finite, "points that are not finite"),
        (make_missing_reference, "gone.usda"),
        (make_cone, "a Cone cannot be simulated; allowed: Mesh, Cube"),
        (make_huge, "400 m across, .* metersPerUnit"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_prints_nothing(tmp_path, capfd, make, message):
    path = tmp_path / "object.usda"
    make(path)
    with pytest.raises(AssetError, match=message) as raised:
        read_object(path)
    assert str(path) in str(raised.value)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def real_objects() -> list[Path]:
    root = Path(os.environ.get("GRAIL_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    return sorted(root.glob("grail/largebox_ha/object_usd/*.usd"))


@pytest.mark.parametrize("path", real_objects(), ids=lambda path: path.name)
def test_released_objects_are_read(path):
    asset = read_object(path)
    low, high = bounds(asset)
    assert len(asset.pieces) == 1
    assert asset.mass == pytest.approx(0.1)
    assert ((high - low) > 0.2).all()
    assert ((high - low) < 0.6).all()


def test_a_file_is_read_once_until_it_changes(tmp_path):
    path = write_box_usd(tmp_path / "box.usda", (0.2, 0.2, 0.2))
    first = read_object(path)
    assert read_object(path) is first
    assert read_object(path, max_pieces=3) is not first
    write_box_usd(path, (0.2, 0.2, 0.4))
    os.utime(path, ns=(1, 1))  # whatever the file system's clock can tell apart
    assert read_object(path).volume == pytest.approx(0.016)


def test_each_object_that_cannot_be_used_gets_its_own_error(tmp_path):
    box, missing, broken = (
        write_box_usd(tmp_path / "box.usda", (0.2, 0.2, 0.2)),
        tmp_path / "none.usda",
        tmp_path / "broken.usd",
    )
    broken.write_bytes(b"nothing")
    found = examine_objects([missing, box, broken], max_pieces=[4, 4, 4])
    assert [isinstance(one, AssetError) for one in found] == [True, False, True]
    assert str(missing) in str(found[0])
    assert str(broken) in str(found[2])
