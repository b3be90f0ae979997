"""Polygons of a mesh into triangles, also where a polygon is not convex."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type Points = NDArray[np.float64]
    type Indices = NDArray[np.int64]


def triangulate(points: Points, counts: Indices, indices: Indices) -> Indices:
    """Cut polygons into triangles of the same orientation: fans, and ears where a fan would leave the polygon.

    Args:
        points: (V, 3).
        counts: corners of each polygon (F,); polygons of fewer than three are left out.
        indices: corners of all polygons, one behind the other.

    Returns:
        (T, 3) indices, polygons with fans first.
    """
    starts = np.cumsum(counts) - counts
    ears = _not_convex(points, counts, indices)
    fans = ~ears
    triangles = [
        np.stack([indices[starts[chosen] + corner] for corner in (0, k, k + 1)], axis=1)
        for k in range(1, int(counts.max(initial=0)) - 1)
        for chosen in (fans & (counts > k + 1),)
    ]
    clipped = [
        clip_ears(points, indices[start : start + count]) for start, count in zip(starts[ears], counts[ears], strict=True)
    ]
    return np.concatenate([np.empty((0, 3), dtype=np.int64), *triangles, *clipped])


def clip_ears(points: Points, polygon: Indices) -> Indices:
    """Cut one polygon (K,) of indices into K - 2 triangles by taking off ears: corners whose triangle holds no other corner."""
    normal = _newell(points[polygon])
    drop = int(np.argmax(np.abs(normal)))
    axes = [(1, 2), (2, 0), (0, 1)][drop]
    flat = points[:, axes] * (1.0 if normal[drop] >= 0.0 else (-1.0, 1.0))
    left, triangles = polygon.tolist(), []
    while len(left) > 3:
        k = next((k for k in range(len(left)) if _is_ear(flat, left, k)), 0)
        triangles.append((left[k - 1], left[k], left[(k + 1) % len(left)]))
        del left[k]
    return np.array([*triangles, left], dtype=np.int64)


def _is_ear(flat: Points, left: list[int], k: int) -> bool:
    a, b, c = flat[left[k - 1]], flat[left[k]], flat[left[(k + 1) % len(left)]]
    if _turn(a, b, c) <= 0.0:
        return False
    others = np.array([i for i in left if not any(np.array_equal(flat[i], corner) for corner in (a, b, c))], dtype=np.int64)
    inside = [(_turn(p, q, flat[others]) >= 0.0) for p, q in ((a, b), (b, c), (c, a))]
    return not (inside[0] & inside[1] & inside[2]).any()


def _turn(a: Points, b: Points, c: Points) -> Points:
    """Twice the signed area of a, b, c (..., 2): positive where they turn left."""
    return (b[0] - a[0]) * (c[..., 1] - a[1]) - (b[1] - a[1]) * (c[..., 0] - a[0])


def _newell(corners: Points) -> Points:
    """Normal of a polygon (K, 3), not normalised."""
    return np.cross(corners, np.roll(corners, -1, axis=0)).sum(axis=0)


def _not_convex(points: Points, counts: Indices, indices: Indices) -> NDArray[np.bool_]:
    """Mark the polygons (F,) that have a corner turning the other way."""
    marked = np.zeros(len(counts), dtype=np.bool_)
    starts = np.cumsum(counts) - counts
    for size in np.unique(counts[counts > 3]):
        of_size = np.flatnonzero(counts == size)
        corners = points[indices[starts[of_size, None] + np.arange(size)]]
        edges = np.roll(corners, -1, axis=1) - corners
        normals = np.cross(corners, np.roll(corners, -1, axis=1)).sum(axis=1)
        turns = np.einsum("fki,fi->fk", np.cross(edges, np.roll(edges, -1, axis=1)), normals)
        marked[of_size] = (turns < -1e-9 * np.abs(turns).max(axis=1, keepdims=True)).any(axis=1)
    return marked
