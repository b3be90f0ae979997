"""Objects into USD files: rigid bodies of triangle meshes, in metres, z up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pxr.Gf
import pxr.Tf
import pxr.Usd
import pxr.UsdGeom
import pxr.UsdPhysics
import pxr.Vt

from grail_framework.assets.usd import first_reason, quiet
from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# The bindings' stubs call half of what they return optional.
Gf: Any = pxr.Gf
Tf: Any = pxr.Tf
Usd: Any = pxr.Usd
UsdGeom: Any = pxr.UsdGeom
UsdPhysics: Any = pxr.UsdPhysics
Vt: Any = pxr.Vt

_BOX_QUADS = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]


def write_object_usd(
    path: str | Path,
    meshes: Sequence[tuple[NDArray[np.floating], NDArray[np.integer]]],
    *,
    mass: float | None = None,
    dynamic: bool = True,
    approximation: str = "convexHull",
) -> Path:
    """Write one object of one or more meshes in the object's frame; the file appears whole or not at all. Return the path.

    Args:
        path: ends in .usd, .usda or .usdc; parents are made.
        meshes: (vertices (V, 3) [m], faces (F, 3 or 4) indices, counter-clockwise seen from outside) each.
        mass: of the whole object [kg]; None: not stated.
        dynamic: a rigid body; false: a static collider, as terrain is.
        approximation: collision approximation of each mesh as USD's physics schema names it: convexHull, convexDecomposition, none.

    Raises:
        AssetError: the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.stem}.partial{path.suffix}")
    with quiet():
        try:
            stage = Usd.Stage.CreateNew(str(fresh))
        except Tf.ErrorException as error:
            raise AssetError(
                f"{path}: cannot be written as USD ({first_reason(error)}); the name must end in .usd, .usda or .usdc"
            ) from error
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        root = UsdGeom.Xform.Define(stage, "/Object").GetPrim()
        stage.SetDefaultPrim(root)
        if dynamic:
            UsdPhysics.RigidBodyAPI.Apply(root)
        if mass is not None:
            UsdPhysics.MassAPI.Apply(root).CreateMassAttr(float(mass))
        for index, (vertices, faces) in enumerate(meshes):
            _add_mesh(stage, "/Object/mesh" if index == 0 else f"/Object/mesh_{index}", vertices, faces, approximation)
        stage.GetRootLayer().Save()
    fresh.replace(path)
    return path


def write_box_usd(path: str | Path, size: tuple[float, float, float], mass: float | None = None) -> Path:
    """Write a rigid box with edges of `size` [m], its centre at the origin, and optionally a mass [kg]; return the path.

    Raises:
        AssetError: the file cannot be written.
    """
    # A mesh with its eight corners rather than a Cube prim: training reads object shapes from mesh points.
    corners = 0.5 * np.array(size) * [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    return write_object_usd(path, [(corners, np.array(_BOX_QUADS))], mass=mass)


def _add_mesh(stage: Any, name: str, vertices: NDArray[np.floating], faces: NDArray[np.integer], approximation: str) -> None:
    mesh = UsdGeom.Mesh.Define(stage, name)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(vertices, dtype=np.float32)))
    mesh.CreateFaceVertexCountsAttr([faces.shape[1]] * len(faces))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(faces, dtype=np.int32).ravel()))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())
    UsdPhysics.MeshCollisionAPI.Apply(mesh.GetPrim()).CreateApproximationAttr(approximation)
