"""Face normals of the meshes that MuJoCo compiles, mended.

MuJoCo joins neighbouring triangles of nearly the same direction to a polygon, and takes the polygon's normal from its first three
corners. Where the surface is slightly curved such a polygon can have a reentrant corner there, and its normal points into the mesh:
a contact found by its faces, as several points at once are, then pulls the bodies into each other instead of apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mend_polygon_normals(model: Any) -> None:
    """Give each polygon of a model's meshes the direction of its area vector (Newell's method), in place.

    Args:
        model: MuJoCo's compiled model; nothing else of it changes.
    """
    if not model.nmeshpoly:
        return
    count, start = model.mesh_polyvertnum, model.mesh_polyvertadr
    mesh = np.repeat(np.arange(model.nmesh), model.mesh_polynum)
    corner = model.mesh_vert[model.mesh_polyvert + np.repeat(model.mesh_vertadr[mesh], count)].astype(np.float64)
    following = np.arange(len(corner)) + 1
    following[start + count - 1] = start
    origin = np.repeat(corner[start], count, axis=0)
    area = np.add.reduceat(np.cross(corner - origin, corner[following] - origin), start, axis=0)
    size = np.linalg.norm(area, axis=1, keepdims=True)
    model.mesh_polynormal[:] = np.where(size > 0.0, _unit(area, size), model.mesh_polynormal)


def _unit(vectors: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.where(size > 0.0, size, 1.0)
