"""Objects from USD files."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import pxr.Gf
import pxr.Tf
import pxr.Usd
import pxr.UsdGeom
import pxr.UsdPhysics
import pxr.UsdUtils

from grail_framework.assets.convex import ConvexPiece, convex_hull, convex_pieces
from grail_framework.assets.primitives import SHAPES
from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# The bindings' stubs call half of what they return optional; their values are checked where they enter.
Gf: Any = pxr.Gf
Tf: Any = pxr.Tf
Usd: Any = pxr.Usd
UsdGeom: Any = pxr.UsdGeom
UsdPhysics: Any = pxr.UsdPhysics
UsdUtils: Any = pxr.UsdUtils

_PLAUSIBLE_EXTENT: Final = (1e-3, 100.0)
"""Smallest and largest believable extent of an object; beyond, the file's unit is wrong. [m]"""


@attrs.frozen(kw_only=True, eq=False)
class ObjectAsset:
    """An object as its file describes it, in the frame of its rigid body: metres, z up."""

    path: Path
    pieces: tuple[ConvexPiece, ...]
    mass: float | None = None
    """[kg]; None: the file gives none."""
    density: float | None = None
    """[kg/m^3]; None: the file gives none."""

    @property
    def volume(self) -> float:
        """Sum of the pieces' volumes. [m^3]"""
        return sum(piece.volume for piece in self.pieces)


def read_object(path: str | Path) -> ObjectAsset:
    """Read the collision geometry and the mass of the one object in a USD file.

    The object's frame is that of its rigid body (physics schema), else of the file's default prim; scale is applied. Prims marked
    as colliders count, or all geometry where none is marked. A file that states no unit is in metres. Centre of mass and inertia
    follow from the geometry.

    Raises:
        AssetError: the file is missing or unreadable, has no geometry, several rigid bodies, a shape that cannot be used, or a
            concave mesh.
    """
    path = Path(path)
    if not path.is_file():
        raise AssetError(f"{path}: no such file; an object is one USD file (.usd, .usda, .usdc, .usdz) per motion stem")
    with quiet() as diagnostics:
        try:
            stage = Usd.Stage.Open(str(path))
        except Tf.ErrorException as error:
            raise AssetError(f"{path}: not a readable USD file ({first_reason(error)}); export it again") from error
        problems = [item.commentary for item in diagnostics.TakeUncoalescedDiagnostics()]
        if problems:
            raise AssetError(f"{path}: {problems[0]}; put the missing layer beside the file or flatten the stage")
        root = _root(stage, path)
        asset = ObjectAsset(
            path=path,
            pieces=tuple(piece for prim in _geometry(stage, root, path) for piece in _pieces(stage, root, prim, path)),
            mass=_mass_property(root, "GetMassAttr"),
            density=_mass_property(root, "GetDensityAttr"),
        )
    _check_extent(asset)
    return asset


@contextmanager
def quiet() -> Iterator[Any]:
    """Collect USD's diagnostics, which otherwise go straight to stderr."""
    delegate = UsdUtils.CoalescingDiagnosticDelegate()
    try:
        yield delegate
    finally:
        delegate.TakeUncoalescedDiagnostics()


def first_reason(error: Exception) -> str:
    """Pick the readable part of a USD error: the text in quotes at the end of its first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rpartition(" : ")[2].strip("'") if lines else type(error).__name__


def _prims(stage: Any) -> list[Any]:
    return list(Usd.PrimRange(stage.GetPseudoRoot(), Usd.TraverseInstanceProxies()))


def _root(stage: Any, path: Path) -> Any:
    """Return the prim whose frame is the object's."""
    bodies = [prim for prim in _prims(stage) if prim.HasAPI(UsdPhysics.RigidBodyAPI)]
    if len(bodies) > 1:
        names = ", ".join(str(prim.GetPath()) for prim in bodies[:4])
        raise AssetError(f"{path}: {len(bodies)} rigid bodies ({names}); an object file holds one")
    return bodies[0] if bodies else stage.GetDefaultPrim() or stage.GetPseudoRoot()


def _geometry(stage: Any, root: Any, path: Path) -> list[Any]:
    shapes = [prim for prim in _prims(stage) if prim.IsA(UsdGeom.Gprim) and prim.GetPath().HasPrefix(root.GetPath())]
    colliders = [prim for prim in shapes if _collides(prim)]
    chosen = colliders or [prim for prim in shapes if not prim.HasAPI(UsdPhysics.CollisionAPI)]
    if not chosen:
        raise AssetError(f"{path}: no geometry below {root.GetPath()}; an object needs at least one Mesh or shape prim")
    return chosen


def _collides(prim: Any) -> bool:
    """Whether the prim, or a group above it, is marked as a collider and switched on."""
    while prim.GetPath() != prim.GetStage().GetPseudoRoot().GetPath():
        if prim.HasAPI(UsdPhysics.CollisionAPI):
            return bool(UsdPhysics.CollisionAPI(prim).GetCollisionEnabledAttr().Get())
        prim = prim.GetParent()
    return False


def _pieces(stage: Any, root: Any, prim: Any, path: Path) -> tuple[ConvexPiece, ...]:
    to_object = _to_object(stage, root, prim)
    try:
        if prim.IsA(UsdGeom.Mesh):
            points, faces = _triangles(UsdGeom.Mesh(prim))
            return convex_pieces(_transform(points, to_object), faces)
        shape = SHAPES.get(str(prim.GetTypeName()))
        if shape is None:
            raise AssetError(f"a {prim.GetTypeName()} cannot be simulated; allowed: Mesh, {', '.join(SHAPES)}")
        return (convex_hull(_transform(shape(prim), to_object)),)
    except AssetError as error:
        raise AssetError(f"{path}: {prim.GetPath()}: {error}") from error


def _triangles(mesh: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return points and fan-triangulated faces of a mesh prim."""
    points = np.asarray(mesh.GetPointsAttr().Get() or (), dtype=np.float64).reshape(-1, 3)
    counts = np.asarray(mesh.GetFaceVertexCountsAttr().Get() or (), dtype=np.int64)
    indices = np.asarray(mesh.GetFaceVertexIndicesAttr().Get() or (), dtype=np.int64)
    if len(points) < 4 or len(counts) == 0:
        raise AssetError(f"the mesh has {len(points)} points and {len(counts)} faces; a solid needs at least 4 of each")
    if counts.sum() != len(indices) or indices.min() < 0 or indices.max() >= len(points):
        raise AssetError("the mesh's face counts, face indices and points do not fit together")
    if not np.isfinite(points).all():
        raise AssetError("the mesh has points that are not finite")
    starts = np.cumsum(counts) - counts
    faces = [
        np.stack(
            (indices[starts[counts > k + 1]], indices[(starts + k)[counts > k + 1]], indices[(starts + k + 1)[counts > k + 1]])
        )
        for k in range(1, int(counts.max()) - 1)
    ]
    return points, np.concatenate(faces, axis=1).T


def _to_object(stage: Any, root: Any, prim: Any) -> NDArray[np.float64]:
    """Return the 4x4 matrix from prim coordinates to the object's frame in metres, z up, for row vectors as USD has them."""
    cache = UsdGeom.XformCache(Usd.TimeCode.EarliestTime())
    frame = cache.GetLocalToWorldTransform(root) if root.GetPath() != stage.GetPseudoRoot().GetPath() else Gf.Matrix4d(1.0)
    matrix = np.array(cache.GetLocalToWorldTransform(prim) * frame.RemoveScaleShear().GetInverse())
    unit = UsdGeom.GetStageMetersPerUnit(stage) if UsdGeom.StageHasAuthoredMetersPerUnit(stage) else 1.0
    matrix = matrix @ np.diag((unit, unit, unit, 1.0))
    if UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.y:
        matrix = matrix @ np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
    return matrix


def _transform(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return points @ matrix[:3, :3] + matrix[3, :3]


def _mass_property(root: Any, getter: str) -> float | None:
    """Read mass or density of the root, else the sum (mass) or the first value (density) found below it; 0 means not given."""
    found = []
    for prim in Usd.PrimRange(root, Usd.TraverseInstanceProxies()):
        if prim.HasAPI(UsdPhysics.MassAPI):
            value = float(getattr(UsdPhysics.MassAPI(prim), getter)().Get() or 0.0)
            if value > 0.0 and prim == root:
                return value
            if value > 0.0:
                found.append(value)
    if not found:
        return None
    return sum(found) if getter == "GetMassAttr" else found[0]


def _check_extent(asset: ObjectAsset) -> None:
    points = np.concatenate([piece.vertices for piece in asset.pieces])
    extent = float(np.ptp(points, axis=0).max())
    low, high = _PLAUSIBLE_EXTENT
    if not low <= extent <= high:
        raise AssetError(
            f"{asset.path}: the object is {extent:.3g} m across, expected {low:g} to {high:g} m; check the file's metersPerUnit"
        )
