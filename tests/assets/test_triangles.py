from __future__ import annotations

import numpy as np
import pytest
import trimesh

from grail_framework.assets import triangles
from grail_framework.assets.polygons import clip_ears, triangulate

from .solids import arrays, ell, ell_polygons, mug, torus


def moved(mesh):
    mesh = mesh.copy()
    mesh.apply_transform(trimesh.transformations.compose_matrix(angles=(0.3, -1.1, 2.0), translate=(0.4, -3.0, 1.5)))
    return mesh


@pytest.mark.parametrize(
    "make", [ell, mug, torus, lambda: trimesh.creation.box((0.1, 0.2, 0.4))], ids=["ell", "mug", "torus", "box"]
)
@pytest.mark.parametrize("inverted", [False, True])
def test_mass_properties_agree_with_trimesh(make, inverted):
    mesh = moved(make())
    vertices, faces = arrays(mesh)
    body = triangles.solid(vertices, faces[:, ::-1] if inverted else faces)
    assert body.volume == pytest.approx(mesh.volume, rel=1e-12)
    np.testing.assert_allclose(body.com, mesh.center_mass, atol=1e-12)
    np.testing.assert_allclose(body.inertia, mesh.moment_inertia, atol=1e-9 * mesh.moment_inertia.max())


def test_bodies_add_up_and_a_cavity_is_taken_off():
    outer, inner = trimesh.creation.box((0.4, 0.4, 0.4)), trimesh.creation.box((0.2, 0.2, 0.2))
    inner.apply_translation((0.05, 0.0, 0.0))
    hollow = triangles.combined([triangles.solid(*arrays(outer)), triangles.solid(*arrays(inner)).scaled(-1.0)])
    expected = trimesh.util.concatenate([outer, trimesh.Trimesh(inner.vertices, inner.faces[:, ::-1])])
    assert hollow.volume == pytest.approx(0.4**3 - 0.2**3)
    np.testing.assert_allclose(hollow.com, expected.center_mass, atol=1e-12)
    np.testing.assert_allclose(hollow.inertia, expected.moment_inertia, atol=1e-12)


def test_cleaning_welds_and_drops_what_is_no_surface():
    vertices, faces = arrays(trimesh.creation.box((1.0, 1.0, 1.0)))
    soup = vertices[faces].reshape(-1, 3)
    triples = np.arange(len(soup)).reshape(-1, 3)
    triples = np.concatenate((triples, triples[:2, ::-1], [[0, 0, 1]]))  # two back faces and a sliver
    welded, cleaned = triangles.clean(np.concatenate((soup, [[9.0, 9.0, 9.0]]))[: len(soup)], triples)
    assert welded.shape == (8, 3)
    assert len(cleaned) == 12
    assert triangles.is_closed(cleaned)


def test_parts_are_found_and_turned_over_faces_agree_again():
    first, second = trimesh.creation.box((1.0, 1.0, 1.0)), trimesh.creation.icosphere(2, 0.5)
    second.apply_translation((3.0, 0.0, 0.0))
    found = triangles.parts(*arrays(trimesh.util.concatenate([first, second])))
    assert [len(own) for _, own in found] == [12, len(second.faces)]
    ball, own = found[1]
    mixed = own.copy()
    mixed[::3] = mixed[::3, ::-1]
    assert not triangles.is_closed(mixed)
    mended = triangles.consistent(mixed)
    assert triangles.is_closed(mended)
    assert abs(triangles.signed_volume(ball, mended)) == pytest.approx(second.volume)


def touching(shared_indices):
    """Three boxes: two with a common edge, and one on top of the second with a common side."""
    boxes = [trimesh.creation.box((1.0, 1.0, 1.0)) for _ in range(3)]
    boxes[1].apply_translation((1.0, 0.0, 1.0))
    boxes[2].apply_translation((1.0, 0.0, 2.0))
    vertices, faces = arrays(trimesh.util.concatenate(boxes))
    if shared_indices:
        return vertices, faces
    return vertices[faces].reshape(-1, 3), np.arange(3 * len(faces)).reshape(-1, 3)


def test_solids_that_touch_stay_apart_where_the_file_keeps_them_apart():
    assert [len(own) for _, own in triangles.parts(*touching(True))] == [12, 12, 12]
    # In a soup of triangles the common side ties the upper two together, and they the edge.
    (soup,) = triangles.parts(*touching(False))
    assert triangles.is_closed(soup[1])
    assert triangles.signed_volume(*soup) == pytest.approx(3.0)
    vertices, faces = touching(True)
    corners = faces[:24]  # without the third box
    apart = triangles.parts(vertices[corners].reshape(-1, 3), np.arange(corners.size).reshape(-1, 3))
    assert [triangles.signed_volume(*part) for part in apart] == pytest.approx([1.0, 1.0])


def test_the_winding_number_tells_inside_from_outside():
    points = np.random.default_rng(0).uniform(-0.11, 0.11, (400, 3))
    ring = np.hypot(np.hypot(points[:, 0], points[:, 1]) - 0.08, points[:, 2])
    clear = np.abs(ring - 0.02) > 2e-3  # the mesh is a polyhedron
    around = triangles.winding_number(points, *arrays(torus()))
    np.testing.assert_allclose(around[clear], (ring < 0.02)[clear], atol=1e-9)


def test_surface_samples_lie_on_the_faces_and_spread_evenly():
    vertices, faces = arrays(trimesh.creation.box((2.0, 2.0, 2.0)))
    points, face = triangles.surface_samples(vertices, faces, 12_000)
    np.testing.assert_allclose(np.abs(points).max(axis=1), 1.0)
    np.testing.assert_allclose(np.bincount(face, minlength=12), 1000, atol=2)
    np.testing.assert_allclose(points.mean(axis=0), 0.0, atol=0.01)


def test_how_far_a_piece_sticks_out():
    inner, outer = arrays(trimesh.creation.box((0.2, 0.2, 0.2))), arrays(trimesh.creation.box((0.2, 0.2, 0.26)))
    assert triangles.how_far_beyond([inner], *outer) == 0.0
    assert triangles.how_far_beyond([outer], *inner) == pytest.approx(0.03, abs=1e-6)


def test_polygons_are_cut_within_their_outline():
    points, polygons = ell_polygons()
    vertices = np.array(points)
    counts = np.array([len(polygon) for polygon in polygons])
    faces = triangulate(vertices, counts, np.concatenate([np.array(polygon) for polygon in polygons]))
    assert len(faces) == 2 * 4 + 6 * 2
    assert triangles.is_closed(faces)
    assert triangles.area(vertices, faces) == pytest.approx(2 * 0.03 + 0.8 * 0.2)
    assert triangles.signed_volume(vertices, faces) == pytest.approx(0.03 * 0.2)


def test_ears_of_a_comb():
    outline = [(0, 0), (5, 0), (5, 3), (4, 3), (4, 1), (3, 1), (3, 3), (2, 3), (2, 1), (1, 1), (1, 3), (0, 3)]
    points = np.array([(x, 0.5, y) for x, y in outline])  # in a plane of constant y, seen from behind
    faces = clip_ears(points, np.arange(12))
    assert len(faces) == 10
    assert triangles.area(points, faces) == pytest.approx(15 - 4)
    normals = np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]])
    assert (normals[:, 1] < 0).all()


def test_lines_and_points_give_no_triangles():
    points = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)], dtype=float)
    faces = triangulate(points, np.array([2, 3, 1, 0]), np.array([0, 1, 0, 1, 2, 2]))
    assert faces.tolist() == [[0, 1, 2]]
