"""Convex pieces: what an object is made of where it collides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import mujoco as _mujoco
import numpy as np

from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

mujoco: Any = _mujoco  # its extension modules carry no types

CONCAVITY_TOLERANCE: Final = 0.05
"""Share by which a mesh's convex hull may exceed the mesh before the mesh counts as concave. [-]"""


@attrs.frozen(kw_only=True, eq=False)
class ConvexPiece:
    """A convex solid: the corners of its hull in the object's frame."""

    vertices: NDArray[np.float64]  # (V, 3) [m]
    volume: float
    """[m^3]"""


def convex_pieces(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[ConvexPiece, ...]:
    """Split a triangle mesh into convex pieces: today the mesh's own hull, where that is its shape.

    Args:
        vertices: (V, 3) [m].
        faces: (F, 3) indices; the orientation of the faces must be consistent.

    Raises:
        AssetError: the mesh is concave (its hull is more than `CONCAVITY_TOLERANCE` larger), open or has no volume.
    """
    piece, hull_faces, corners = _hull(vertices)
    if _is_closed(vertices, faces):
        own, of_hull, what = abs(_volume(vertices, faces)), piece.volume, "volume"
    else:
        # An open surface encloses nothing; a convex one that is all there has the area of its hull.
        own, of_hull, what = _area(vertices, faces), _area(corners, hull_faces), "surface"
    if of_hull > own * (1.0 + CONCAVITY_TOLERANCE):
        raise AssetError(
            f"the mesh is concave: its convex hull has {of_hull / max(own, 1e-300):.2f} times its {what} "
            f"(allowed {1.0 + CONCAVITY_TOLERANCE:.2f}). Split it into convex meshes, one prim each, or into Cube, Sphere, "
            "Cylinder and Capsule prims"
        )
    return (piece,)


def convex_hull(vertices: NDArray[np.float64]) -> ConvexPiece:
    """Return the convex hull of points (V, 3) [m].

    Raises:
        AssetError: fewer than four points, or all in one plane.
    """
    return _hull(vertices)[0]


def _hull(vertices: NDArray[np.float64]) -> tuple[ConvexPiece, NDArray[np.int64], NDArray[np.float64]]:
    """Return the hull, its triangles, and the points these index; MuJoCo (Qhull inside) does the work."""
    points = np.asarray(vertices, dtype=np.float64).reshape(-1, 3)
    spec = mujoco.MjSpec()
    spec.add_mesh(name="hull", uservert=points.astype(np.float32).ravel(), inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX)
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="hull")
    try:
        graph = np.asarray(spec.compile().mesh_graph, dtype=np.int64)
    except ValueError as error:
        reason = str(error).splitlines()[0].removeprefix("Error: ")
        raise AssetError(f"the points have no convex hull with a volume ({reason})") from error
    # Layout: counts of corners and triangles, corner edge offsets, corner ids, edges, triangles.
    num_corners, num_faces = int(graph[0]), int(graph[1])
    corner_ids = graph[2 + num_corners : 2 + 2 * num_corners]
    faces = graph[2 + 3 * num_corners + 3 * num_faces :][: 3 * num_faces].reshape(-1, 3)
    piece = ConvexPiece(vertices=points[np.sort(corner_ids)], volume=abs(_volume(points, faces)))
    return piece, faces, points


def _is_closed(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> bool:
    """Whether every edge is shared by exactly two triangles, once vertices at the same place count as one."""
    extent = float(np.ptp(vertices, axis=0).max())
    _, welded = np.unique(np.round(vertices / max(extent, 1e-12) * 1e6).astype(np.int64), axis=0, return_inverse=True)
    triangles = welded.reshape(-1)[faces]
    edges = np.sort(np.concatenate((triangles[:, (0, 1)], triangles[:, (1, 2)], triangles[:, (2, 0)])), axis=1)
    edges = edges[edges[:, 0] != edges[:, 1]]  # slivers welded to a line
    _, counts = np.unique(edges, axis=0, return_counts=True)
    return bool((counts % 2 == 0).all())


def _volume(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    """Signed volume inside a closed triangle mesh (divergence theorem)."""
    a, b, c = (vertices[faces[:, k]] - vertices[0] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


def _area(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())
