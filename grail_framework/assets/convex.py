"""Convex pieces: what an object is made of where it collides, and the mass properties of the solid they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from grail_framework.assets import triangles
from grail_framework.assets.decompose import decompose
from grail_framework.assets.hull import find_hull
from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.assets.triangles import Faces, Points, Solid

CONCAVITY_TOLERANCE: Final = 0.05
"""Share by which a mesh's convex hull may exceed the mesh before the mesh counts as concave. [-]"""
MAX_PIECES: Final = 16
"""Convex pieces of an object unless the configuration says otherwise. [-]"""


@attrs.frozen(kw_only=True, eq=False)
class ConvexPiece:
    """A convex solid: the corners of its hull in the object's frame."""

    vertices: NDArray[np.float64]  # (V, 3) [m]
    volume: float
    """[m^3]"""


@attrs.frozen(kw_only=True, eq=False)
class ConvexShape:
    """A mesh as it is simulated: pieces to collide with, and the mass properties of the mesh itself where it encloses a volume."""

    pieces: tuple[ConvexPiece, ...]
    solid: Solid
    notes: tuple[str, ...] = ()
    """What the user should know about the conversion, a sentence each."""


@attrs.frozen(kw_only=True, eq=False)
class _Part:
    """A connected part of a mesh."""

    vertices: Points
    faces: Faces
    hull: ConvexPiece
    closed: bool
    convex: bool
    signed_volume: float


def convex_pieces(vertices: Points, faces: Faces, *, max_pieces: int = MAX_PIECES, merge: bool = True) -> ConvexShape:
    """Split a triangle mesh into convex pieces.

    A connected part that is convex is one piece, exactly; the concave ones are split by CoACD. Parts inside others add no piece.

    Args:
        vertices: (V, 3) [m].
        faces: (F, 3) indices.
        max_pieces: bound of the number of pieces.
        merge: where there are more convex parts than that, let CoACD merge them; false: that is an error.

    Raises:
        AssetError: the mesh has no volume, has more parts than pieces are allowed, or CoACD failed.
    """
    parts = _parts(vertices, faces)
    if not parts:
        raise AssetError(f"the points have no convex hull with a volume ({len(vertices)} points, {len(faces)} faces)")
    pieces, notes = _split([part for part in parts if not _is_cavity(part, parts)], max_pieces, merge)
    solid = _solid(parts)
    if solid is None:
        solid = solid_of_pieces(pieces)
        notes = (*notes, "the surface is open: volume, centre of mass and inertia are those of its convex pieces")
    return ConvexShape(pieces=pieces, solid=solid, notes=notes)


def convex_hull(vertices: NDArray[np.float64]) -> ConvexPiece:
    """Return the convex hull of points (V, 3) [m].

    Raises:
        AssetError: fewer than four points, or all in one plane.
    """
    return _hull(vertices)[0]


def solid_of_pieces(pieces: tuple[ConvexPiece, ...]) -> Solid:
    """Return the mass properties of convex pieces, each counted whole."""
    hulls = [_hull(piece.vertices) for piece in pieces]
    return triangles.combined([triangles.solid(points, faces) for _, faces, points in hulls])


def solid_of_mesh(vertices: Points, faces: Faces) -> Solid | None:
    """Return the mass properties of the body inside a mesh; None where a part of it is open."""
    return _solid(_parts(vertices, faces))


def _solid(parts: list[_Part]) -> Solid | None:
    if not parts or not all(part.closed for part in parts):
        return None
    bodies = [(triangles.solid(part.vertices, part.faces), _is_cavity(part, parts)) for part in parts]
    return triangles.combined([body.scaled(-1.0) if hidden else body for body, hidden in bodies])


def _parts(vertices: Points, faces: Faces) -> list[_Part]:
    """Describe the connected parts of a mesh; flat ones are left out."""
    return [part for own in triangles.parts(vertices, faces) if (part := _part(*own)) is not None]


def _part(vertices: Points, faces: Faces) -> _Part | None:
    """Describe a connected part; None where it is flat."""
    try:
        hull, hull_faces, corners = _hull(vertices)
    except AssetError:
        return None
    faces = faces if triangles.is_closed(faces) else triangles.consistent(faces)
    closed = triangles.encloses(vertices, faces, hull.volume)
    signed = triangles.signed_volume(vertices, faces)
    if closed:
        own, of_hull = abs(signed), hull.volume
    else:
        # An open surface encloses nothing; a convex one that is all there has the area of its hull.
        own, of_hull = triangles.area(vertices, faces), triangles.area(corners, hull_faces)
    convex = of_hull <= own * (1.0 + CONCAVITY_TOLERANCE)
    return _Part(vertices=vertices, faces=faces, hull=hull, closed=closed, convex=convex, signed_volume=signed)


def _is_cavity(part: _Part, parts: list[_Part]) -> bool:
    """Whether a closed part lies inside a larger one and is turned the other way: the wall of a hollow."""
    around = [
        other
        for other in parts
        if other.closed
        and abs(other.signed_volume) > abs(part.signed_volume)
        and other.signed_volume * part.signed_volume < 0.0
    ]
    probe = part.vertices[:1]
    return part.closed and any(abs(triangles.winding_number(probe, o.vertices, o.faces)[0]) > 0.5 for o in around)


def _split(parts: list[_Part], max_pieces: int, merge: bool) -> tuple[tuple[ConvexPiece, ...], tuple[str, ...]]:
    concave = [part for part in parts if not part.convex]
    whole = [part.hull for part in parts if part.convex]
    if len(parts) > max_pieces and not merge:
        raise AssetError(
            f"the mesh has {len(parts)} separate parts, each at least one convex piece, and {max_pieces} pieces are allowed; set "
            f"scene.object.max_pieces={max(len(parts), max_pieces)} or more, or mark the mesh for convexDecomposition to have parts merged"
        )
    if not concave and len(whole) <= max_pieces:
        return tuple(whole), ()
    split = [_decomposed([part], max_pieces) for part in concave] if len(parts) <= max_pieces else []
    pieces, reach = (*whole, *(piece for some, _ in split for piece in some)), max([far for _, far in split], default=0.0)
    if not split or len(pieces) > max_pieces:
        if len(parts) > 1 and not merge:
            raise AssetError(
                f"the mesh takes {len(pieces)} convex pieces, and {max_pieces} are allowed; set scene.object.max_pieces={len(pieces)} or "
                "more, or mark the mesh for convexDecomposition to have parts merged"
            )
        pieces, reach = _decomposed(parts, max_pieces)
    note = f"concave: {len(pieces)} convex pieces (at most {max_pieces} allowed), which reach up to {1e3 * reach:.1f} mm beyond the mesh"
    return pieces, (note,)


def _decomposed(parts: list[_Part], max_pieces: int) -> tuple[tuple[ConvexPiece, ...], float]:
    """Split parts together, each turned to face outwards, which CoACD expects; return the pieces and their reach [m]."""
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    faces = [
        (part.faces if part.signed_volume >= 0.0 else part.faces[:, ::-1]) + offset
        for part, offset in zip(parts, offsets, strict=True)
    ]
    found = decompose(np.concatenate([part.vertices for part in parts]), np.concatenate(faces), max_pieces)
    pieces = []
    for corners in found.pieces:
        try:
            pieces.append(convex_hull(corners))
        except AssetError:
            continue  # a sliver without a volume: nothing can touch it that would not touch its neighbours
    if not pieces:
        raise AssetError("CoACD gave only pieces without a volume; is the mesh a solid? Repair it")
    return tuple(pieces), found.reach


def _hull(vertices: NDArray[np.float64]) -> tuple[ConvexPiece, Faces, Points]:
    """Return the hull, its triangles, and the points these index."""
    hull = find_hull(vertices)
    volume = abs(triangles.signed_volume(hull.points, hull.faces))
    return ConvexPiece(vertices=hull.points[hull.corners], volume=volume), hull.faces, hull.points
