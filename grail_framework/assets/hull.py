"""Convex hulls of point clouds: MuJoCo (Qhull inside) does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import mujoco as _mujoco
import numpy as np

from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

mujoco: Any = _mujoco  # its extension modules carry no types


@attrs.frozen(kw_only=True, eq=False)
class Hull:
    """A convex hull."""

    points: NDArray[np.float64]  # (V, 3) [m]: all points, as they were given
    corners: NDArray[np.int64]  # (C,) which of the points are corners, ascending
    faces: NDArray[np.int64]  # (F, 3) triangles, as indices of points


def find_hull(points: NDArray[np.floating], *, max_corners: int | None = None) -> Hull:
    """Find the convex hull of points (V, 3) [m]; with `max_corners`, of the corners that matter most where there are more.

    Raises:
        AssetError: fewer than four points, or all in one plane.
    """
    given = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    spec = mujoco.MjSpec()
    limit = {} if max_corners is None else {"maxhullvert": max_corners}
    convex = mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
    spec.add_mesh(name="hull", uservert=given.astype(np.float32).ravel(), inertia=convex, **limit)
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="hull")
    try:
        graph = np.asarray(spec.compile().mesh_graph, dtype=np.int64)
    except ValueError as error:
        reason = str(error).splitlines()[0].removeprefix("Error: ")
        raise AssetError(f"the points have no convex hull with a volume ({reason})") from error
    return hull_of_graph(given, graph)


def hull_of_graph(points: NDArray[np.float64], graph: NDArray[np.int64]) -> Hull:
    """Read the hull that MuJoCo's convex hull graph of a mesh with these points (V, 3) names."""
    # Layout: counts of corners and triangles, offsets of the corners' edges, the corners' numbers, edges, triangles.
    num_corners, num_faces = int(graph[0]), int(graph[1])
    faces = graph[2 + 3 * num_corners + 3 * num_faces :][: 3 * num_faces].reshape(-1, 3)
    return Hull(points=points, corners=np.sort(graph[2 + num_corners : 2 + 2 * num_corners]), faces=faces)
