"""Terrain that is no staircase, as triangle meshes: a chair in one piece, and a slope; and where a robot may stand on them."""

from __future__ import annotations

import math

import numpy as np
import trimesh

SEAT, THICK = 0.46, 0.06
"""Height of the seat, and what of it is solid. [m]"""
PITCH = math.radians(3.0)
"""Of a slope on which a robot with stiff ankles, upright, stays standing."""
_OUTSIDE = 0.17
"""From the middle of a standing robot to the farthest corner of a sole. [m]"""


def chair() -> trimesh.Trimesh:
    """A seat of 0.54 x 0.6 m on four legs with a back behind it (x < -0.3): one closed, concave part, made of the cells of a grid."""
    planes = (
        np.array([-0.36, -0.3, -0.24, 0.24, 0.3]),
        np.array([-0.3, -0.24, 0.24, 0.3]),
        np.array([0, SEAT - THICK, SEAT, 0.95]),
    )
    solid = np.zeros((6, 5, 5), dtype=bool)  # with an empty cell on every side
    solid[1:-1, 1:-1, 2] = True  # the seat
    solid[1, 1:-1, 2:-1] = True  # the back
    for i, j in ((2, 1), (2, 3), (4, 1), (4, 3)):
        solid[i, j, 1] = True  # a leg
    number = np.arange(5 * 4 * 4).reshape(5, 4, 4)
    triangles = []
    for axis in range(3):
        cells = np.moveaxis(solid, axis, 0)
        corners = np.moveaxis(number, axis, 0)
        for i, j, k in np.argwhere(cells[1:] != cells[:-1]):
            a, b, c, d = (int(corners[i, j - 1 + u, k - 1 + v]) for u, v in ((0, 0), (1, 0), (1, 1), (0, 1)))
            outward = cells[i, j, k] == (axis != 1)  # the two other axes and this one are right-handed, but for the middle one
            triangles += [(a, b, c), (a, c, d)] if outward else [(c, b, a), (d, c, a)]
    points = np.stack(np.meshgrid(*planes, indexing="ij"), axis=-1).reshape(-1, 3)
    mesh = trimesh.Trimesh(points, triangles, process=False)
    mesh.remove_unreferenced_vertices()
    return mesh


def slope(pitch: float = PITCH) -> trimesh.Trimesh:
    """A wedge that rises along x from -1 to 1 m, 1.2 m wide, 0.1 m high at its low end."""
    corners = [(x, y, z) for x in (-1.0, 1.0) for y in (-0.6, 0.6) for z in (0.0, slope_height(x, pitch))]
    return trimesh.convex.convex_hull(np.array(corners))


def slope_height(x: float, pitch: float = PITCH) -> float:
    """Height of the slope at a place along it [m]."""
    return 0.1 + (x + 1.0) * math.tan(pitch)


FURNITURE = {
    "chair": (chair, (-0.02, 0.0, 0.0, SEAT)),
    "slope": (slope, (0.0, 0.0, 45.0, slope_height(_OUTSIDE))),
}
"""What there is, and x, y [m], yaw [deg] and level [m] of a place to stand on it: on the slope a corner of a sole touches first."""
