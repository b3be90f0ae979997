"""Convex hulls of link meshes, with few enough corners to collide fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import mujoco as _mujoco
import numpy as np

from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from grail_framework.robots.spec import Vec3

mujoco: Any = _mujoco  # its extension modules carry no types

MAX_CORNERS: Final = 64
"""Of a link's hull: what PhysX allows, and what Isaac Lab gives a convex hull. [-]"""


def hull_corners(points: np.ndarray) -> tuple[Vec3, ...]:
    """Return the corners of the convex hull of points (V, 3) [m], the `MAX_CORNERS` that matter most where there are more.

    Raises:
        AssetError: fewer than four points, or all in one plane.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    spec = mujoco.MjSpec()
    spec.add_mesh(
        name="hull",
        uservert=points.astype(np.float32).ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX,
        maxhullvert=MAX_CORNERS,
    )
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="hull")
    try:
        graph = np.asarray(spec.compile().mesh_graph, dtype=np.int64)
    except ValueError as error:
        reason = str(error).splitlines()[0].removeprefix("Error: ")
        raise AssetError(f"the points have no convex hull with a volume ({reason})") from error
    return corners_of_graph(points, graph)


def corners_of_graph(points: np.ndarray, graph: np.ndarray) -> tuple[Vec3, ...]:
    """Return the corners (of points (V, 3)) that MuJoCo's convex hull graph of a mesh names."""
    # Layout: counts of corners and triangles, offsets of the corners' edges, then the corners' numbers among the points.
    count = int(graph[0])
    corners = np.asarray(points, dtype=np.float64)[np.sort(graph[2 + count : 2 + 2 * count])]
    return tuple((x, y, z) for x, y, z in corners.tolist())
