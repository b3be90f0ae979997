"""Basis point sets: the published values, scipy's nearest neighbours, and the sets of real objects."""

import numpy as np
import pytest
from pxr import Usd, UsdGeom
from scipy.spatial import cKDTree

from grail_framework.assets.usd_points import read_raw_points
from grail_framework.assets.usd_writer import write_box_usd, write_object_usd
from grail_framework.errors import AssetError, DataError
from grail_framework.motion.preparation.bps import basis_points, compute_bps, sample_surface
from grail_framework.motion.preparation.bps_library import find_object_usd, write_bps_library

NO_FACES = np.zeros((0, 3), int)
CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
CUBE_SET = [0.6763, 0.1632, 0.5823, 0.3305, 0.7437, 0.5463, 0.5513, 0.2726, 0.3664, 0.5509]


def bumpy(count, seed=0):
    """Triangle soup with more points than are used as they are."""
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(count, 3)).astype(np.float32)
    return points, np.arange(count - count % 3).reshape(-1, 3)


def test_basis_has_the_published_points():
    basis = basis_points()
    assert basis.shape == (10, 3)
    assert basis.dtype == np.float32
    np.testing.assert_allclose(
        basis[[0, 1, 9]], [[0.4359, 0, 0.9], [-0.5266, -0.4824, 0.7], [-0.4029, -0.1663, -0.9]], atol=5e-5
    )
    np.testing.assert_allclose(np.linalg.norm(basis, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.03, 5.0), (40.0, -2.0)])
def test_a_cube_has_the_published_set_whatever_its_size_and_place(scale, shift):
    np.testing.assert_allclose(compute_bps(CUBE * scale + shift, NO_FACES), CUBE_SET, atol=1e-4)


def test_distances_are_those_of_scipys_tree():
    points = np.random.default_rng(1).normal(size=(500, 3)) * (1.0, 2.0, 0.3)
    unit = points - points.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1).max()
    np.testing.assert_allclose(compute_bps(points, NO_FACES), cKDTree(unit).query(basis_points())[0], atol=1e-6)


def test_large_meshes_are_sampled_as_the_release_samples_the_first_of_a_folder():
    points, triangles = bumpy(3000)
    a, b, c = (points[triangles[:, i]] for i in range(3))
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    np.random.seed(42)
    pick = np.random.choice(len(triangles), size=2048, p=area / area.sum())
    r, s = np.sqrt(np.random.rand(2048, 1)), np.random.rand(2048, 1)
    np.testing.assert_allclose(
        sample_surface(points, triangles, 2048, 42), (1 - r) * a[pick] + r * (1 - s) * b[pick] + r * s * c[pick], atol=1e-5
    )
    np.testing.assert_array_equal(compute_bps(points, triangles), compute_bps(points, triangles))


def test_samples_are_weighted_by_area():
    points = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [10, 0, 0], [11, 0, 0], [10, 2, 0]], np.float32)  # areas 3 and 1
    drawn = sample_surface(points, np.array([[0, 1, 2], [3, 4, 5]]), 20000, 42)
    assert np.mean(drawn[:, 0] < 5) == pytest.approx(0.75, abs=0.02)
    np.testing.assert_allclose(drawn[drawn[:, 0] < 5].mean(axis=0), [1.0, 2 / 3, 0.0], atol=0.03)


@pytest.mark.parametrize(
    ("points", "message"),
    [(np.zeros((0, 3)), "no mesh geometry"), (np.ones((5, 3)), "the same"), (np.full((5, 3), np.nan), "finite")],
)
def test_what_has_no_shape_is_refused(points, message):
    with pytest.raises(AssetError, match=message):
        compute_bps(points, NO_FACES)


def test_raw_points_ignore_transforms_and_fan_polygons(tmp_path):
    stage = Usd.Stage.CreateNew(str(tmp_path / "a.usda"))
    group = UsdGeom.Xform.Define(stage, "/Object")
    group.AddScaleOp().Set((10.0, 10.0, 10.0))
    first = UsdGeom.Mesh.Define(stage, "/Object/a")
    first.AddTranslateOp().Set((5.0, 0.0, 0.0))
    first.CreatePointsAttr([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0.5, 2, 0)])
    first.CreateFaceVertexCountsAttr([3, 5])
    first.CreateFaceVertexIndicesAttr([0, 1, 2, 4, 0, 1, 2, 3])
    second = UsdGeom.Mesh.Define(stage, "/Object/b")
    second.CreatePointsAttr([(0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)])
    second.CreateFaceVertexCountsAttr([4])
    second.CreateFaceVertexIndicesAttr([0, 1, 2, 3])
    UsdGeom.Cube.Define(stage, "/Object/cube")
    stage.GetRootLayer().Save()
    points, triangles = read_raw_points(tmp_path / "a.usda")
    assert points.max() == 2.0
    assert len(points) == 9
    assert triangles.tolist() == [[0, 1, 2], [4, 0, 1], [4, 1, 2], [4, 2, 3], [5, 6, 7], [5, 7, 8]]


def test_a_folder_gets_one_set_per_asset_and_the_basis(tmp_path):
    write_box_usd(tmp_path / "object_usd" / "small.usd", (0.1, 0.1, 0.1))
    write_box_usd(tmp_path / "object_usd" / "flat_placeholder.usd", (0.1, 0.1, 0.1))
    write_object_usd(tmp_path / "object_usd" / "bumpy.usd", [bumpy(2100)])
    (tmp_path / "object_usd" / "broken.usd").write_bytes(b"no usd")
    seen = []
    report = write_bps_library(
        find_object_usd(tmp_path), tmp_path / "bps", progress=lambda done, total, key: seen.append((done, total, key))
    )
    assert report.written == ("bumpy", "small")
    assert [item.key for item in report.skipped] == ["broken"]
    assert "not a readable USD file" in report.skipped[0].reason
    assert not report.ok
    assert seen[-1][:2] == (3, 3)
    assert sorted(path.name for path in (tmp_path / "bps").iterdir()) == ["_basis.npy", "bumpy.npy", "small.npy"]
    np.testing.assert_allclose(np.load(tmp_path / "bps" / "small.npy"), CUBE_SET, atol=1e-4)
    together = np.load(tmp_path / "bps" / "bumpy.npy")
    (tmp_path / "alone").mkdir()
    (tmp_path / "object_usd" / "bumpy.usd").rename(tmp_path / "alone" / "z.usd")
    write_bps_library(find_object_usd(tmp_path / "alone"), tmp_path / "alone_bps")
    np.testing.assert_array_equal(np.load(tmp_path / "alone_bps" / "z.npy"), together)


def test_a_folder_without_assets_is_refused(tmp_path):
    with pytest.raises(DataError, match="no object assets"):
        find_object_usd(tmp_path)


def test_real_objects_have_the_sets_that_came_with_them(real_data):
    library = real_data / "grail" / "largebox_ha"
    files = sorted((library / "object_usd").glob("*.usd"))
    assert len(files) == 3
    for path in files:
        np.testing.assert_allclose(
            compute_bps(*read_raw_points(path)), np.load(library / "bps" / f"{path.stem}.npy"), atol=1e-4
        )
    np.testing.assert_allclose(basis_points(), np.load(library / "bps" / "_basis.npy"), atol=1e-6)
