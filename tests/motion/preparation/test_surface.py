"""Closest points on triangle meshes, against trimesh, hand-computed values and MuJoCo's distances."""

import mujoco
import numpy as np
import pytest
import trimesh

from grail_framework.errors import AssetError
from grail_framework.motion.preparation.surface import Surface, closest_on_triangles, hull_triangles

RNG = np.random.default_rng(3)


def box(size):
    mesh = trimesh.creation.box(extents=size)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def test_a_box_has_the_distances_of_geometry():
    surface = Surface(*box((2.0, 4.0, 6.0)))
    points, distances = surface.closest(np.array([[3.0, 0, 0], [0, 2.5, 0], [4.0, 6.0, 3.0], [0.9, 0, 0], [2.0, 3.0, 4.0]]))
    np.testing.assert_allclose(distances, [2.0, 0.5, 5.0, 0.1, np.sqrt(3.0)], atol=1e-12)
    np.testing.assert_allclose(points, [[1, 0, 0], [0, 2, 0], [1, 2, 3], [1, 0, 0], [1, 2, 3]], atol=1e-12)


def test_triangles_agree_with_trimesh():
    corners, queries = RNG.normal(size=(3000, 3, 3)), RNG.normal(size=(3000, 3)) * 2.0
    expected = trimesh.triangles.closest_point(corners, queries)
    np.testing.assert_allclose(closest_on_triangles(queries, corners), expected, atol=1e-9)


def test_triangles_without_area_count_as_their_edges():
    flat = np.array([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0]], [[1.0, 1, 1]] * 3])
    closest = closest_on_triangles(np.array([[1.5, 1.0, 0.0], [0.0, 0.0, 0.0]]), flat)
    np.testing.assert_allclose(closest, [[1.5, 0, 0], [1, 1, 1]])


def test_small_and_large_triangles_together_agree_with_looking_at_all_of_them():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
    sheet = np.array([[-5.0, -5, -1], [5, -5, -1], [0, 8, -1]])
    points = np.concatenate([ball.vertices, sheet])
    triangles = np.concatenate([ball.faces, [[len(ball.vertices) + i for i in range(3)]]])
    queries = RNG.uniform(-1.2, 1.2, size=(100, 3))
    _, distances = Surface(points, triangles).closest(queries)
    every = [
        np.linalg.norm(closest_on_triangles(np.tile(query, (len(triangles), 1)), points[triangles]) - query, axis=1).min()
        for query in queries
    ]
    np.testing.assert_allclose(distances, every, atol=1e-12)


def test_distances_to_a_convex_mesh_are_mujocos():
    cloud = RNG.normal(size=(40, 3)) * (0.1, 0.2, 0.15)
    triangles = hull_triangles(cloud)
    spec = mujoco.MjSpec()
    spec.add_mesh(name="hull", uservert=cloud.astype(np.float32).ravel())
    body = spec.worldbody.add_body()
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="hull")
    probe = spec.worldbody.add_body()
    probe.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.01, 0, 0])
    probe.add_freejoint()
    model = spec.compile()
    data = mujoco.MjData(model)
    queries = RNG.normal(size=(50, 3)) * 0.6
    closest, gap = Surface(cloud, triangles).closest(queries)
    outside = 0
    for query, point, distance in zip(queries, closest, gap, strict=True):
        data.qpos[:3] = query
        mujoco.mj_forward(model, data)
        ends = np.zeros(6)
        measured = mujoco.mj_geomDistance(model, data, 0, 1, 10.0, ends)
        if measured > 0.0:
            outside += 1
            assert measured + 0.01 == pytest.approx(distance, abs=1e-5)
            np.testing.assert_allclose(ends[:3], point, atol=2e-4)
    assert outside > 20


def test_what_is_no_surface_is_refused():
    with pytest.raises(AssetError, match="no faces"):
        Surface(np.zeros((4, 3)), np.zeros((0, 3), int))
    with pytest.raises(AssetError, match="name point 9"):
        Surface(np.zeros((4, 3)), np.array([[0, 1, 9]]))
    with pytest.raises(AssetError, match="flat"):
        hull_triangles(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]))
