"""Bare mesh points of a USD file, as shape descriptors of the GRAIL release see them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pxr.Tf
import pxr.Usd
import pxr.UsdGeom

import grail_framework.assets.usd_schemas  # noqa: F401 - before any stage is opened
from grail_framework.assets.usd import first_reason, quiet
from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The bindings' stubs call half of what they return optional.
Tf: Any = pxr.Tf
Usd: Any = pxr.Usd
UsdGeom: Any = pxr.UsdGeom


def read_raw_points(path: str | Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read the points of all Mesh prims of a file, one behind the other, as they are stored.

    Transforms, scales and units are ignored, as in the GRAIL release; meshes without faces are left out; polygons become fans.

    Returns:
        Points (V, 3) in the units of the file, and triangles (F, 3).

    Raises:
        AssetError: the file cannot be read, has no mesh with faces, or a mesh whose faces and points do not fit together.
    """
    path = Path(path)
    points: list[NDArray[np.float32]] = []
    triangles: list[NDArray[np.int64]] = []
    with quiet():
        try:
            stage = Usd.Stage.Open(str(path))
        except Tf.ErrorException as error:
            raise AssetError(f"{path}: not a readable USD file ({first_reason(error)}); export it again") from error
        for prim in stage.Traverse():
            if not prim.IsA(UsdGeom.Mesh):
                continue
            own, faces = _mesh(UsdGeom.Mesh(prim), f"{path}: {prim.GetPath()}")
            if len(faces):
                triangles.append(faces + sum(len(part) for part in points))
                points.append(own)
    if not points:
        raise AssetError(f"{path}: no mesh geometry; shape prims (Cube, Sphere, ...) have no points, convert them to a Mesh")
    return np.concatenate(points), np.concatenate(triangles)


def fan_triangles(counts: NDArray[np.int64], indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut polygons into triangles around their first corners, polygon by polygon.

    Args:
        counts: corners of each polygon (F,).
        indices: corners of all polygons, one behind the other.

    Returns:
        (T, 3) indices.
    """
    inner = np.maximum(counts - 2, 0)
    polygon = np.repeat(np.arange(len(counts)), inner)
    first = (np.cumsum(counts) - counts)[polygon]
    step = np.arange(len(polygon)) - np.repeat(np.cumsum(inner) - inner, inner) + 1
    return np.stack((indices[first], indices[first + step], indices[first + step + 1]), axis=-1)


def _mesh(mesh: Any, where: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    points = np.asarray(mesh.GetPointsAttr().Get() or (), dtype=np.float32).reshape(-1, 3)
    counts = np.asarray(mesh.GetFaceVertexCountsAttr().Get() or (), dtype=np.int64)
    indices = np.asarray(mesh.GetFaceVertexIndicesAttr().Get() or (), dtype=np.int64)
    if counts.sum() != len(indices) or (len(indices) and not 0 <= indices.min() <= indices.max() < len(points)):
        raise AssetError(f"{where}: the mesh's face counts, face indices and points do not fit together")
    return points, fan_triangles(counts, indices)
