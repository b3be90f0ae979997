"""Closest points on the surface of a triangle mesh, for many query points at once."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial import ConvexHull, KDTree, QhullError

from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK: Final = 2_000_000
"""Point-triangle pairs that are looked at together; bounds memory at about half a gigabyte."""


class Surface:
    """A triangle mesh made ready for closest-point queries; it need not be closed or consistently oriented."""

    def __init__(self, points: NDArray[np.floating], triangles: NDArray[np.integer]) -> None:
        """Sort the triangles by size.

        Args:
            points: (V, 3) [m].
            triangles: (F, 3) indices into the points.

        Raises:
            AssetError: there are no triangles, or they name points that do not exist.
        """
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        triangles = np.asarray(triangles, dtype=np.int64).reshape(-1, 3)
        if len(triangles) == 0:
            raise AssetError("the mesh has no faces; contact points need a surface")
        if triangles.min() < 0 or triangles.max() >= len(points):
            raise AssetError(f"the mesh has {len(points)} points, but its faces name point {int(triangles.max())}")
        self.corners: NDArray[np.float64] = points[triangles]  # (F, 3, 3)
        self._low: NDArray[np.float64] = self.corners.min(axis=1)
        self._high: NDArray[np.float64] = self.corners.max(axis=1)
        centers = self.corners.mean(axis=1)
        radii = np.linalg.norm(self.corners - centers[:, None], axis=-1).max(axis=1)
        # One tree per size class: a few large triangles must not widen the search among many small ones.
        size_class = np.ceil(np.log2(np.maximum(radii, 1e-9))).astype(np.int64)
        self._classes = [
            (ids, KDTree(centers[ids]), float(radii[ids].max()))
            for ids in (np.flatnonzero(size_class == value) for value in np.unique(size_class))
        ]

    def closest(self, queries: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the closest point on the surface to each query.

        Args:
            queries: (N, 3) in the mesh's frame [m].

        Returns:
            Points (N, 3) [m] and unsigned distances (N,) [m].
        """
        queries = np.asarray(queries, dtype=np.float64).reshape(-1, 3)
        points = np.empty_like(queries)
        distances = np.full(len(queries), np.inf)
        for ids, tree, _ in self._classes:
            # A first guess, which is most often the answer, keeps the search below small.
            nearest = ids[np.asarray(tree.query(queries)[1], dtype=np.int64)]
            self._improve(queries, points, distances, np.arange(len(queries)), nearest)
        for ids, tree, radius in self._classes:
            found = tree.query_ball_point(queries, (distances + radius) * (1.0 + 1e-9), return_sorted=False)
            counts = np.array([len(hits) for hits in found], dtype=np.int64)
            for start, stop in _spans(counts):
                of_query = np.repeat(np.arange(start, stop), counts[start:stop])
                if len(of_query):
                    hits = np.fromiter(chain.from_iterable(found[start:stop]), dtype=np.int64, count=len(of_query))
                    self._improve(queries, points, distances, of_query, ids[hits])
        return points, distances

    def _improve(
        self,
        queries: NDArray[np.float64],
        points: NDArray[np.float64],
        distances: NDArray[np.float64],
        of_query: NDArray[np.int64],
        of_triangle: NDArray[np.int64],
    ) -> None:
        """Look at pairs of query (sorted) and triangle, and write what is closer than before into points and distances."""
        # No point of a triangle is nearer than its bounding box.
        given = queries[of_query]
        to_box = np.maximum(np.maximum(self._low[of_triangle] - given, given - self._high[of_triangle]), 0.0)
        promising = np.einsum("ij,ij->i", to_box, to_box) < distances[of_query] ** 2
        of_query, of_triangle = of_query[promising], of_triangle[promising]
        if len(of_query) == 0:
            return
        candidate = closest_on_triangles(queries[of_query], self.corners[of_triangle])
        gap = np.linalg.norm(candidate - queries[of_query], axis=-1)
        rows, firsts = np.unique(of_query, return_index=True)
        best = _first_minimum(gap, firsts)
        better = gap[best] < distances[rows]
        points[rows[better]] = candidate[best[better]]
        distances[rows[better]] = gap[best[better]]


def hull_triangles(points: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the triangles (F, 3) of the convex hull of points (V, 3).

    Raises:
        AssetError: the points lie in a plane, or there are fewer than four.
    """
    try:
        return np.asarray(ConvexHull(np.asarray(points, dtype=np.float64)).simplices, dtype=np.int64)
    except (QhullError, ValueError) as error:
        raise AssetError("the mesh is flat or has fewer than 4 points, so it has no convex hull") from error


def closest_on_triangles(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the point of each triangle (N, 3, 3) that is closest to each point (N, 3).

    The foot of the perpendicular where it lies inside, else the closest point of the three edges. A triangle without area counts
    as its edges.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    normal = np.cross(b - a, c - a)
    area = np.einsum("ij,ij->i", normal, normal)
    safe = np.where(area > 0.0, area, 1.0)
    rel = points - a
    v = np.einsum("ij,ij->i", np.cross(rel, c - a), normal) / safe
    w = np.einsum("ij,ij->i", np.cross(b - a, rel), normal) / safe
    inside = (area > 0.0) & (v >= 0.0) & (w >= 0.0) & (v + w <= 1.0)
    best = a + v[:, None] * (b - a) + w[:, None] * (c - a)
    outer = np.flatnonzero(~inside)
    if len(outer):
        best[outer] = _closest_on_edges(points[outer], corners[outer])
    return best


def _closest_on_edges(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    start = corners
    along = np.roll(corners, -1, axis=1) - corners
    length = np.einsum("nij,nij->ni", along, along)
    share = np.einsum("nij,nij->ni", points[:, None] - start, along) / np.where(length > 0.0, length, 1.0)
    feet = start + np.clip(share, 0.0, 1.0)[..., None] * along
    gap = ((feet - points[:, None]) ** 2).sum(-1)
    return feet[np.arange(len(points)), gap.argmin(axis=1)]


def _first_minimum(values: NDArray[np.float64], firsts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the smallest value is in each run of values; the runs start at `firsts`."""
    lowest = np.minimum.reduceat(values, firsts)
    lengths = np.diff(np.append(firsts, len(values)))
    hits = np.flatnonzero(values == np.repeat(lowest, lengths))
    run_of_hit = np.searchsorted(firsts, hits, side="right") - 1
    return hits[np.searchsorted(run_of_hit, np.arange(len(firsts)))]


def _spans(counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Cut queries into spans of at most `_CHUNK` candidates together; a single query may have more."""
    spans: list[tuple[int, int]] = []
    start, total = 0, 0
    for index, count in enumerate(counts.tolist()):
        if total + count > _CHUNK and index > start:
            spans.append((start, index))
            start, total = index, 0
        total += count
    spans.append((start, len(counts)))
    return spans
