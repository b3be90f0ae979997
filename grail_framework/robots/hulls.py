"""Convex hulls of link meshes, with few enough corners to collide fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grail_framework.assets.hull import Hull, find_hull, hull_of_graph

if TYPE_CHECKING:
    import numpy as np

    from grail_framework.robots.spec import Vec3

MAX_CORNERS: Final = 64
"""Of a link's hull: what PhysX allows, and what Isaac Lab gives a convex hull. [-]"""


def hull_corners(points: np.ndarray) -> tuple[Vec3, ...]:
    """Return the corners of the convex hull of points (V, 3) [m], the `MAX_CORNERS` that matter most where there are more.

    Raises:
        AssetError: fewer than four points, or all in one plane.
    """
    return _corners(find_hull(points, max_corners=MAX_CORNERS))


def corners_of_graph(points: np.ndarray, graph: np.ndarray) -> tuple[Vec3, ...]:
    """Return the corners (of points (V, 3)) that MuJoCo's convex hull graph of a mesh names."""
    return _corners(hull_of_graph(points, graph))


def _corners(hull: Hull) -> tuple[Vec3, ...]:
    return tuple((x, y, z) for x, y, z in hull.points[hull.corners].astype(float).tolist())
