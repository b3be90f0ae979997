"""What differs between files in the wild: converted and said, or refused and said."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics

from grail_framework.assets.usd import read_object, read_objects
from grail_framework.errors import AssetError

from .solids import ell, ell_polygons

CORNERS = np.array([(x, y, z) for x in (0.0, 0.1) for y in (0.0, 0.2) for z in (0.0, 0.4)])
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
VOLUME = 0.1 * 0.2 * 0.4
LOW, HIGH = (0.0, 0.0, 0.0), (0.1, 0.2, 0.4)


def new_stage(path: Path, *, up: str = "Z", unit: float | None = 1.0, body: bool = True):
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z if up == "Z" else UsdGeom.Tokens.y)
    if unit is not None:
        UsdGeom.SetStageMetersPerUnit(stage, unit)
    root = UsdGeom.Xform.Define(stage, "/Object")
    stage.SetDefaultPrim(root.GetPrim())
    if body:
        UsdPhysics.RigidBodyAPI.Apply(root.GetPrim())
    return stage


def add_mesh(stage, points=CORNERS, faces=QUADS, path="/Object/mesh", *, approximation: str | None = None):
    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreatePointsAttr([Gf.Vec3f(*map(float, point)) for point in points])
    mesh.CreateFaceVertexCountsAttr([len(face) for face in faces])
    mesh.CreateFaceVertexIndicesAttr([index for face in faces for index in face])
    UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())
    if approximation is not None:
        UsdPhysics.MeshCollisionAPI.Apply(mesh.GetPrim()).CreateApproximationAttr(approximation)
    return mesh


def bounds(asset):
    points = np.concatenate([piece.vertices for piece in asset.pieces])
    return points.min(axis=0), points.max(axis=0)


# ---- converted: each writes a box of 0.1 x 0.2 x 0.4 m with a corner at the origin, or says what else it is


def centimetres_y_up(path):
    stage = new_stage(path, up="Y", unit=0.01)
    add_mesh(stage, 100.0 * CORNERS)
    return stage, ((0.0, -0.4, 0.0), (0.1, 0.0, 0.2)), "y is up in the file: turned to z up|the file's unit is 0.01 m"


def no_unit(path):
    stage = new_stage(path, unit=None)
    add_mesh(stage)
    return stage, (LOW, HIGH), "states no unit: read as metres"


def no_body(path):
    stage = new_stage(path, body=False)
    add_mesh(stage)
    return stage, (LOW, HIGH), "no rigid body is marked: all of it is one"


def no_default_prim(path):
    stage = new_stage(path, body=False)
    stage.ClearDefaultPrim()
    add_mesh(stage)
    return stage, (LOW, HIGH), "no rigid body is marked"


def mirrored(path):
    stage = new_stage(path)
    UsdGeom.Xformable(add_mesh(stage)).AddScaleOp().Set(Gf.Vec3f(-1.0, 1.0, 1.0))
    return stage, ((-0.1, 0.0, 0.0), (0.0, 0.2, 0.4)), ""


def mirrored_body(path):
    stage = new_stage(path)
    UsdGeom.Xformable(stage.GetDefaultPrim()).AddScaleOp().Set(Gf.Vec3f(2.0, 2.0, -2.0))
    add_mesh(stage, 0.5 * CORNERS)
    return stage, None, ""


def left_handed(path):
    stage = new_stage(path)
    add_mesh(stage, faces=[face[::-1] for face in QUADS]).CreateOrientationAttr("leftHanded")
    return stage, (LOW, HIGH), ""


def nested(path):
    stage = new_stage(path)
    UsdGeom.Xformable(stage.GetDefaultPrim()).AddTranslateOp().Set(Gf.Vec3d(5.0, 5.0, 5.0))  # where it stands does not matter
    outer, inner = (UsdGeom.Xform.Define(stage, name) for name in ("/Object/a", "/Object/a/b"))
    outer.AddTranslateOp().Set(Gf.Vec3d(1.0, 0.0, 0.0))
    outer.AddRotateZOp().Set(90.0)
    inner.AddScaleOp().Set(Gf.Vec3f(2.0, 2.0, 2.0))
    add_mesh(stage, 0.5 * CORNERS, path="/Object/a/b/mesh")
    return stage, ((0.8, 0.0, 0.0), (1.0, 0.1, 0.4)), ""


def instanced(path):
    stage = new_stage(path)
    UsdGeom.Xform.Define(stage, "/Library/part")
    add_mesh(stage, path="/Library/part/mesh")
    stage.GetPrimAtPath("/Library").SetSpecifier(Sdf.SpecifierClass)
    for index in range(2):
        instance = UsdGeom.Xform.Define(stage, f"/Object/copy_{index}")
        instance.AddTranslateOp().Set(Gf.Vec3d(0.0, 0.0, 1.0 * index))
        instance.GetPrim().GetReferences().AddInternalReference("/Library/part")
        instance.GetPrim().SetInstanceable(True)
    return stage, (LOW, (0.1, 0.2, 1.4)), ""


def subsets(path):
    stage = new_stage(path)
    mesh = add_mesh(stage)
    UsdGeom.Subset.CreateGeomSubset(mesh, "painted", UsdGeom.Tokens.face, [0, 1])
    return stage, (LOW, HIGH), ""


def triangle_soup(path):
    stage = new_stage(path)
    triangles = [triangle for a, b, c, d in QUADS for triangle in ((a, b, c), (a, c, d))]
    mesh = add_mesh(stage, CORNERS[np.array(triangles).ravel()], np.arange(36).reshape(-1, 3).tolist())
    mesh.CreateDoubleSidedAttr(True)
    return stage, (LOW, HIGH), ""


def degenerate_faces(path):
    stage = new_stage(path)
    add_mesh(stage, np.concatenate((CORNERS, [[9.0, 9.0, 9.0]])), [*QUADS, (0, 0, 1), (3, 3, 3), (5, 7)])
    return stage, (LOW, HIGH), ""


def moving_points(path):
    stage = new_stage(path)
    points = add_mesh(stage).GetPointsAttr()
    points.Clear()
    for time, scale in ((1.0, 1.0), (2.0, 3.0)):
        points.Set([Gf.Vec3f(*map(float, scale * point)) for point in CORNERS], time)
    return stage, (LOW, HIGH), "/Object/mesh: its points move with time: the first sample"


def moving_transform(path):
    stage = new_stage(path)
    move = UsdGeom.Xformable(add_mesh(stage)).AddTranslateOp()
    for time in (1.0, 2.0):
        move.Set(Gf.Vec3d(0.0, 0.0, time), time)
    return stage, ((0.0, 0.0, 1.0), (0.1, 0.2, 1.4)), r"transforms change with time \(/Object/mesh\)"


def ground_beside_it(path):
    stage = new_stage(path)
    add_mesh(stage)
    add_mesh(stage, path="/Ground/mesh")
    return stage, (LOW, HIGH), "left out, no part of /Object: /Ground/mesh"


def a_body_switched_off(path):
    stage = new_stage(path)
    add_mesh(stage)
    other = UsdGeom.Xform.Define(stage, "/Other").GetPrim()
    UsdPhysics.RigidBodyAPI.Apply(other).CreateRigidBodyEnabledAttr(False)
    return stage, (LOW, HIGH), ""


def a_bounding_box(path):
    stage = new_stage(path)
    add_mesh(stage, *ell_polygons(), approximation="boundingCube")
    return stage, (LOW, (0.2, 0.2, 0.2)), "/Object/mesh: it collides as its bounding box"


def a_bounding_sphere(path):
    stage = new_stage(path)
    add_mesh(stage, approximation="boundingSphere")
    radius = 0.5 * np.sqrt(0.21)
    centre = np.array([0.05, 0.1, 0.2])
    return stage, (centre - radius, centre + radius), "/Object/mesh: it collides as its bounding sphere"


def a_simplified_mesh(path):
    stage = new_stage(path)
    add_mesh(stage, approximation="meshSimplification")
    return stage, (LOW, HIGH), "meshSimplification is ignored"


CONVERTED = [
    centimetres_y_up, no_unit, no_body, no_default_prim, mirrored, mirrored_body, left_handed, nested, instanced, subsets,
    triangle_soup, degenerate_faces, moving_points, moving_transform, ground_beside_it, a_body_switched_off, a_bounding_box,
    a_bounding_sphere, a_simplified_mesh,
]  # fmt: skip


@pytest.mark.parametrize("write", CONVERTED, ids=lambda write: write.__name__)
def test_it_is_converted_and_said(tmp_path, write, caplog):
    path = tmp_path / "object.usda"
    stage, expected, said = write(path)
    stage.Save()
    with caplog.at_level(logging.INFO):
        asset = read_object(path)
    copies, volume = (2, VOLUME) if write is instanced else (1, ell().volume if write is a_bounding_box else VOLUME)
    assert len(asset.pieces) == copies
    assert asset.volume == pytest.approx(copies * volume, rel=1e-5)
    low, high = bounds(asset)
    if expected is None:  # mirrored along z or, the same thing, along x and y with half a turn
        np.testing.assert_allclose(high - low, HIGH, atol=1e-6)
    else:
        np.testing.assert_allclose(low, expected[0], atol=1e-3 if write is a_bounding_sphere else 1e-6)
        np.testing.assert_allclose(high, expected[1], atol=1e-3 if write is a_bounding_sphere else 1e-6)
    if write not in (instanced, a_bounding_box, a_bounding_sphere):
        np.testing.assert_allclose(asset.com, 0.5 * (low + high), atol=1e-6)
        box = np.sort(high - low)
        moments = (box[1] ** 2 + box[2] ** 2, box[0] ** 2 + box[2] ** 2, box[0] ** 2 + box[1] ** 2)
        np.testing.assert_allclose(np.sort(np.linalg.eigvalsh(asset.gyration))[::-1], np.array(moments) / 12.0, rtol=1e-4)
    for text in filter(None, said.split("|")):
        assert any(re.search(text, note) for note in asset.notes), asset.notes
        assert any(re.search(text, record.getMessage()) and str(path) in record.getMessage() for record in caplog.records)
    assert bool(asset.notes) == bool(said), asset.notes


@pytest.mark.parametrize(
    ("approximation", "pieces", "said"),
    [
        ("convexHull", 1, "it collides as its convex hull, as the file asks: 1.17 times its volume"),
        ("convexDecomposition", 2, "concave: 2 convex pieces"),
        ("none", 2, "concave: 2 convex pieces"),
        ("sdf", 2, "its approximation sdf is replaced by convex pieces"),
        (None, 2, "concave: 2 convex pieces"),
    ],
)
def test_a_concave_mesh_collides_as_its_file_says(tmp_path, approximation, pieces, said):
    path = tmp_path / "ell.usda"
    stage = new_stage(path)
    add_mesh(stage, *ell_polygons(), approximation=approximation)
    stage.Save()
    asset = read_object(path)
    assert len(asset.pieces) == pieces
    assert any(note.startswith("/Object/mesh: ") and said in note for note in asset.notes)
    # Weighed as it is, whatever it collides as.
    assert asset.volume == pytest.approx(ell().volume, rel=1e-6)
    np.testing.assert_allclose(asset.com, ell().center_mass, atol=1e-7)
    np.testing.assert_allclose(asset.gyration, ell().moment_inertia / ell().volume, atol=1e-7)


def test_the_approximation_of_a_group_holds_for_what_is_in_it(tmp_path):
    stage = new_stage(tmp_path / "group.usda")
    add_mesh(stage, *ell_polygons(), path="/Object/group/mesh")
    UsdPhysics.MeshCollisionAPI.Apply(stage.GetPrimAtPath("/Object/group")).CreateApproximationAttr("convexHull")
    stage.Save()
    assert len(read_object(tmp_path / "group.usda").pieces) == 1


# ---- mass


def test_stated_masses_are_combined(tmp_path):
    stage = new_stage(tmp_path / "two.usda")
    for index, mass in enumerate((1.0, 3.0)):
        mesh = add_mesh(stage, path=f"/Object/mesh_{index}")
        UsdGeom.Xformable(mesh).AddTranslateOp().Set(Gf.Vec3d(float(index), 0.0, 0.0))
        UsdPhysics.MassAPI.Apply(mesh.GetPrim()).CreateMassAttr(mass)
    stage.Save()
    asset = read_object(tmp_path / "two.usda")
    assert asset.mass == pytest.approx(4.0)
    np.testing.assert_allclose(asset.com, (0.05 + 0.75, 0.1, 0.2), atol=1e-6)
    # About the x axis two boxes of 0.2 x 0.4; about y the distance of 1 m between them, with the reduced mass of 0.75 kg.
    assert asset.gyration[0, 0] == pytest.approx((0.2**2 + 0.4**2) / 12.0, rel=1e-5)
    assert asset.gyration[1, 1] == pytest.approx((0.1**2 + 0.4**2) / 12.0 + 0.75 / 4.0, rel=1e-5)


def test_mass_of_a_group_is_shared_by_volume_and_density_is_per_unit(tmp_path):
    stage = new_stage(tmp_path / "cm.usda", unit=0.01)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 0.001)
    add_mesh(stage, 100.0 * CORNERS, path="/Object/group/mesh_0")
    add_mesh(stage, 100.0 * CORNERS + (20.0, 0.0, 0.0), path="/Object/group/mesh_1")
    UsdPhysics.MassAPI.Apply(stage.GetPrimAtPath("/Object/group")).CreateMassAttr(500.0)  # grams
    light = add_mesh(stage, 100.0 * CORNERS + (40.0, 0.0, 0.0), path="/Object/mesh_2")
    UsdPhysics.MassAPI.Apply(light.GetPrim()).CreateDensityAttr(0.25)  # grams per cubic centimetre
    stage.Save()
    asset = read_object(tmp_path / "cm.usda")
    assert asset.mass == pytest.approx(0.5 + 250.0 * VOLUME)
    assert asset.com[0] == pytest.approx(((0.5 * 0.15) + 2.0 * 0.45) / 2.5, abs=1e-6)


def test_a_stated_inertia_and_centre_of_mass_count(tmp_path):
    stage = new_stage(tmp_path / "stated.usda", up="Y")
    add_mesh(stage)
    api = UsdPhysics.MassAPI.Apply(stage.GetDefaultPrim())
    api.CreateMassAttr(2.0)
    api.CreateCenterOfMassAttr(Gf.Vec3f(0.01, 0.02, 0.03))
    api.CreateDiagonalInertiaAttr(Gf.Vec3f(0.1, 0.2, 0.25))
    half = float(np.sqrt(0.5))
    api.CreatePrincipalAxesAttr(Gf.Quatf(half, 0.0, 0.0, half))  # a quarter turn about the file's z
    stage.Save()
    asset = read_object(tmp_path / "stated.usda")
    assert asset.mass == pytest.approx(2.0)
    np.testing.assert_allclose(asset.com, (0.01, -0.03, 0.02), atol=1e-7)
    # The quarter turn exchanges x and y; y up to z up then takes y to z.
    np.testing.assert_allclose(asset.gyration, np.diag((0.1, 0.125, 0.05)), atol=1e-7)


def test_a_density_of_the_whole(tmp_path):
    stage = new_stage(tmp_path / "dense.usda")
    add_mesh(stage)
    UsdPhysics.MassAPI.Apply(stage.GetDefaultPrim()).CreateDensityAttr(700.0)
    stage.Save()
    asset = read_object(tmp_path / "dense.usda")
    assert (asset.mass, asset.density) == (None, pytest.approx(700.0))


# ---- refused


def several_bodies(path):
    stage = new_stage(path)
    add_mesh(stage)
    for name in ("Lid", "Handle"):
        UsdPhysics.RigidBodyAPI.Apply(UsdGeom.Xform.Define(stage, f"/{name}").GetPrim())
    return stage, r"3 rigid bodies \(/Object, /Lid, /Handle\); an object file holds one"


def no_geometry(path):
    return new_stage(path), "no geometry below /Object"


def colliders_switched_off(path):
    stage = new_stage(path)
    UsdPhysics.CollisionAPI(add_mesh(stage)).CreateCollisionEnabledAttr(False)
    return stage, "no geometry below /Object"


def missing_payload(path):
    stage = new_stage(path)
    add_mesh(stage)
    stage.GetDefaultPrim().GetPayloads().AddPayload("./gone.usd")
    return stage, r"gone\.usd.*; put the missing layer beside the file or flatten the stage"


def missing_reference(path):
    stage = new_stage(path)
    UsdGeom.Xform.Define(stage, "/Object/part").GetPrim().GetReferences().AddReference("./parts/gone.usd")
    return stage, r"gone\.usd.*; put the missing layer"


def a_sheet(path):
    stage = new_stage(path)
    add_mesh(stage, [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [(0, 1, 2, 3), (3, 2, 1, 0)])
    return stage, "/Object/mesh: the points have no convex hull with a volume"


def an_unknown_approximation(path):
    stage = new_stage(path)
    add_mesh(stage, approximation="voxels")
    return stage, "/Object/mesh: its collision approximation is 'voxels'; allowed: none, .*convexHull"


def wrong_unit(path):
    stage = new_stage(path)
    add_mesh(stage, 1000.0 * CORNERS)
    return stage, "400 m across.*check the file's metersPerUnit"


def too_many_parts(path):
    stage = new_stage(path)
    for index in range(17):
        add_mesh(stage, CORNERS + np.array((0.2 * index, 0.0, 0.0)), path=f"/Object/mesh_{index}")
    return stage, r"17 prims take 17 convex pieces, and 16 are allowed; set scene\.object\.max_pieces=17"


def negative_counts(path):
    stage = new_stage(path)
    add_mesh(stage).GetFaceVertexCountsAttr().Set([-4, 8, 4, 4, 4, 4])
    return stage, "face counts, face indices and points do not fit"


REFUSED = [
    several_bodies, no_geometry, colliders_switched_off, missing_payload, missing_reference, a_sheet, an_unknown_approximation,
    wrong_unit, too_many_parts, negative_counts,
]  # fmt: skip


@pytest.mark.parametrize("write", REFUSED, ids=lambda write: write.__name__)
def test_it_is_refused_and_said(tmp_path, write, capfd):
    path = tmp_path / "object.usda"
    stage, message = write(path)
    stage.Save()
    capfd.readouterr()
    with pytest.raises(AssetError, match=message) as raised:
        read_object(path)
    assert str(raised.value).startswith(str(path))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_the_first_bad_file_of_several_is_named(tmp_path):
    for name, scale in (("good", 1.0), ("bad", 1e-3)):
        stage = new_stage(tmp_path / f"{name}.usda")
        add_mesh(stage, scale * CORNERS)
        stage.Save()
    paths = [tmp_path / f"{name}.usda" for name in ("good", "bad")]
    with pytest.raises(AssetError, match=r"bad\.usda: the object is"):
        read_objects(paths, max_pieces=[16, 16])
    assert [len(asset.pieces) for asset in read_objects(paths[:1] * 2, max_pieces=[16, 1])] == [1, 1]


# ---- files in the wild


def shared() -> Path:
    return Path(os.environ.get("GRAIL_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.mark.parametrize("path", sorted(shared().glob("raw/usd/*.usda")), ids=lambda path: path.name)
def test_published_scenes_of_one_body_are_read(path):
    asset = read_object(path)
    assert len(asset.pieces) == 1
    expected = {"axis_cube.usda": 0.4**3, "box_on_plane.usda": 0.2**3, "cube_cylinder.usda": None}[path.name]
    if expected is not None:
        assert asset.volume == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("path", sorted(shared().glob("grail/stairs/object_usd/*.usd")), ids=lambda path: path.name)
def test_released_stairs_are_a_piece_for_each_of_their_solids(path):
    with pytest.raises(AssetError, match=r"separate parts.*16 pieces are allowed; set scene\.object\.max_pieces=\d+"):
        read_object(path)
    asset = read_object(path, max_pieces=128)
    assert 30 < len(asset.pieces) < 50
    assert asset.notes == ()
