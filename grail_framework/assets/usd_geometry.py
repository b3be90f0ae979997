"""One geometry prim of a USD file as points and triangles in the object's frame, with what its author wants it to collide as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import pxr.Usd
import pxr.UsdGeom
import pxr.UsdPhysics

from grail_framework.assets.convex import (
    CONCAVITY_TOLERANCE,
    ConvexShape,
    convex_hull,
    convex_pieces,
    solid_of_mesh,
    solid_of_pieces,
)
from grail_framework.assets.hull import find_hull
from grail_framework.assets.polygons import triangulate
from grail_framework.assets.primitives import SHAPES, sphere_points
from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.assets.triangles import Faces, Points

# The bindings' stubs call half of what they return optional; their values are checked where they enter.
Usd: Any = pxr.Usd
UsdGeom: Any = pxr.UsdGeom
UsdPhysics: Any = pxr.UsdPhysics

_AS_IT_IS: Final = ("none", "meshSimplification")
_SPLIT: Final = ("", "convexDecomposition", "sdf")
_ENCLOSED: Final = ("convexHull", "boundingCube", "boundingSphere")
_SAID: Final = {
    "meshSimplification": "its approximation meshSimplification is ignored: it collides as the mesh it is",
    "sdf": "its approximation sdf is replaced by convex pieces",
    "boundingCube": "it collides as its bounding box, as the file asks",
    "boundingSphere": "it collides as its bounding sphere, as the file asks",
}


@attrs.frozen(kw_only=True, eq=False)
class Geometry:
    """A prim's own points and how they come into the object's frame."""

    name: str
    points: NDArray[np.float64]  # (V, 3) in the prim's coordinates
    faces: NDArray[np.int64] | None  # (F, 3); None: the points' hull is the shape
    matrix: NDArray[np.float64]  # (4, 4) from the prim's coordinates to the object's frame [m], for row vectors
    approximation: str = ""
    """As USD's physics schema names it; empty: the file says nothing."""
    notes: tuple[str, ...] = ()
    """What the user should know about it, without its name."""

    def surface(self) -> tuple[Points, Faces]:
        """Return its points (V, 3) [m] and triangles (F, 3) in the object's frame.

        Raises:
            AssetError: it is the hull of points that have none.
        """
        points = _transform(self.points, self.matrix)
        try:
            return points, find_hull(points).faces if self.faces is None else self.faces
        except AssetError as error:
            raise AssetError(f"{self.name}: {error}") from error

    def shape(self, max_pieces: int) -> ConvexShape:
        """Make convex pieces of it; the notes are all there are, each with the prim's name.

        Raises:
            AssetError: it has no volume or takes more pieces.
        """
        try:
            made = self._shape(max_pieces)
        except AssetError as error:
            raise AssetError(f"{self.name}: {error}") from error
        return attrs.evolve(made, notes=tuple(f"{self.name}: {note}" for note in (*self.notes, *made.notes)))

    def _shape(self, max_pieces: int) -> ConvexShape:
        points = _transform(self.points, self.matrix)
        if self.faces is None:
            pieces = (convex_hull(points),)
            return ConvexShape(pieces=pieces, solid=solid_of_pieces(pieces))
        said = (_SAID[self.approximation],) if self.approximation in _SAID else ()
        if self.approximation in _ENCLOSED:
            pieces = (convex_hull(_transform(_enclosing(self.points, self.approximation), self.matrix)),)
            solid = solid_of_mesh(points, self.faces) or solid_of_pieces(pieces)
            more = pieces[0].volume / solid.volume
            if self.approximation == "convexHull" and more > 1.0 + CONCAVITY_TOLERANCE:
                said = (f"it collides as its convex hull, as the file asks: {more:.2f} times its volume",)
            return ConvexShape(pieces=pieces, solid=solid, notes=said)
        made = convex_pieces(points, self.faces, max_pieces=max_pieces, merge=self.approximation in _SPLIT)
        return attrs.evolve(made, notes=(*said, *made.notes))


def read_geometry(prim: Any, matrix: NDArray[np.float64]) -> Geometry:
    """Read a mesh or shape prim; `matrix` (4, 4) takes its coordinates to the object's frame, for row vectors.

    Raises:
        AssetError: a prim that is no solid, or whose arrays do not fit together.
    """
    name = str(prim.GetPath())
    try:
        approximation = _approximation(prim)
        if prim.IsA(UsdGeom.Mesh):
            points, faces, notes = _mesh(UsdGeom.Mesh(prim))
            return Geometry(name=name, points=points, faces=faces, matrix=matrix, approximation=approximation, notes=notes)
        shape = SHAPES.get(str(prim.GetTypeName()))
        if shape is None:
            raise AssetError(f"a {prim.GetTypeName()} cannot be simulated; allowed: Mesh, {', '.join(SHAPES)}")
        return Geometry(name=name, points=shape(prim), faces=None, matrix=matrix)
    except AssetError as error:
        raise AssetError(f"{name}: {error}") from error


def _approximation(prim: Any) -> str:
    """What the prim, or the nearest group above it, is to collide as."""
    holder = prim
    while holder and not holder.IsPseudoRoot():
        attribute = UsdPhysics.MeshCollisionAPI(holder).GetApproximationAttr()
        if attribute and attribute.HasAuthoredValue():
            found = str(attribute.Get())
            allowed = [name for name in (*_AS_IT_IS, *_SPLIT, *_ENCLOSED) if name]
            if found not in allowed:
                raise AssetError(f"its collision approximation is {found!r}; allowed: {', '.join(allowed)}")
            return found
        holder = holder.GetParent()
    return ""


def _mesh(mesh: Any) -> tuple[NDArray[np.float64], NDArray[np.int64], tuple[str, ...]]:
    """Return points, triangles that look outwards where the file's do, and notes."""
    moving = mesh.GetPointsAttr().GetNumTimeSamples() > 1
    points, counts, indices = (
        np.asarray(() if value is None else value)
        for value in (
            _first(mesh.GetPointsAttr()),
            _first(mesh.GetFaceVertexCountsAttr()),
            _first(mesh.GetFaceVertexIndicesAttr()),
        )
    )
    points = points.astype(np.float64).reshape(-1, 3)
    counts, indices = counts.astype(np.int64), indices.astype(np.int64)
    if len(points) < 4 or len(counts) == 0:
        raise AssetError(f"the mesh has {len(points)} points and {len(counts)} faces; a solid needs at least 4 of each")
    if counts.min() < 0 or counts.sum() != len(indices) or indices.min() < 0 or indices.max() >= len(points):
        raise AssetError("the mesh's face counts, face indices and points do not fit together")
    if not np.isfinite(points).all():
        raise AssetError("the mesh has points that are not finite")
    holes = np.asarray(_first(mesh.GetHoleIndicesAttr()) or (), dtype=np.int64)
    kept = np.ones(len(counts), dtype=np.bool_)
    kept[holes[(holes >= 0) & (holes < len(counts))]] = False
    indices, counts = indices[np.repeat(kept, counts)], counts[kept]
    faces = triangulate(points, counts, indices)
    if str(mesh.GetOrientationAttr().Get()) == "leftHanded":
        faces = faces[:, ::-1]
    notes = ("its points move with time: the first sample is taken",) if moving else ()
    return points, faces, notes


def _first(attribute: Any) -> Any:
    """Value of an attribute, or its earliest time sample."""
    return attribute.Get(Usd.TimeCode.EarliestTime())


def _enclosing(points: NDArray[np.float64], approximation: str) -> NDArray[np.float64]:
    """Points, in the prim's coordinates, whose hull is what the mesh is to collide as."""
    if approximation == "convexHull":
        return points
    low, high = points.min(axis=0), points.max(axis=0)
    if approximation == "boundingCube":
        return np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    centre = 0.5 * (low + high)
    return centre + sphere_points(float(np.linalg.norm(points - centre, axis=1).max()))


def _transform(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return points @ matrix[:3, :3] + matrix[3, :3]
