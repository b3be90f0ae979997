"""Objects from USD files."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
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

import grail_framework.assets.usd_schemas  # noqa: F401 - before any stage is opened
from grail_framework.assets.convex import MAX_PIECES, ConvexPiece
from grail_framework.assets.usd_geometry import Geometry, read_geometry
from grail_framework.assets.usd_mass import Stated, mass_properties, read_stated
from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from grail_framework.assets.triangles import Faces, Points

# The bindings' stubs call half of what they return optional; their values are checked where they enter.
Gf: Any = pxr.Gf
Tf: Any = pxr.Tf
Usd: Any = pxr.Usd
UsdGeom: Any = pxr.UsdGeom
UsdPhysics: Any = pxr.UsdPhysics
UsdUtils: Any = pxr.UsdUtils

_log: Final = logging.getLogger(__name__)
_PLAUSIBLE_EXTENT: Final = (1e-3, 100.0)
"""Smallest and largest believable extent of an object; beyond, the file's unit is wrong. [m]"""
_NOTES_LOGGED: Final = 20
_Y_UP_TO_Z_UP: Final = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=np.float64)


@attrs.frozen(kw_only=True, eq=False)
class ObjectAsset:
    """An object as its file describes it, in the frame of its rigid body: metres, z up."""

    path: Path
    pieces: tuple[ConvexPiece, ...]
    volume: float
    """[m^3]"""
    com: NDArray[np.float64]  # (3,) centre of mass [m]
    gyration: NDArray[np.float64]  # (3, 3) inertia about the centre of mass, per mass [m^2]
    mass: float | None = None
    """[kg]; None: the file gives none."""
    density: float | None = None
    """[kg/m^3]; None: the file gives none."""
    notes: tuple[str, ...] = ()
    """What was converted or left out, a sentence each."""


@attrs.frozen(kw_only=True, eq=False)
class _Description:
    """What a file holds, before it is split into convex pieces."""

    path: Path
    geometry: tuple[Geometry, ...]
    stated: Stated | None
    """Of the whole body."""
    stated_parts: tuple[Stated | None, ...]
    """Of each geometry, or of the group it is in."""
    matrix: NDArray[np.float64]
    notes: tuple[str, ...]


def read_object(path: str | Path, *, max_pieces: int = MAX_PIECES) -> ObjectAsset:
    """Read the collision geometry and the mass of the one object in a USD file.

    The object's frame is that of its rigid body (physics schema), else of the file's default prim; scale is applied. Prims marked
    as colliders count, or all geometry where none is marked, each as its collision approximation says: what is concave and is not
    to collide as its hull is split into convex pieces (CoACD, kept in the user's cache folder). A file that states no unit is in
    metres. Centre of mass and inertia are those the file states, else follow from the geometry: from a mesh itself where it is
    closed, not from its pieces. What was converted or left out is logged.

    Args:
        path: .usd, .usda, .usdc or .usdz.
        max_pieces: bound of the number of convex pieces.

    Raises:
        AssetError: the file is missing or unreadable, has no geometry, several rigid bodies, a shape that cannot be used, or takes
            more pieces than allowed.
    """
    return read_objects([path], max_pieces=[max_pieces])[0]


def read_objects(paths: Sequence[str | Path], *, max_pieces: Sequence[int]) -> list[ObjectAsset]:
    """Read several objects as `read_object` does; concave ones are split on all cores.

    Raises:
        AssetError: the first file that cannot be used.
    """
    assets = []
    for found in examine_objects(paths, max_pieces=max_pieces):
        if isinstance(found, AssetError):
            raise found
        assets.append(found)
    return assets


def read_triangles(path: str | Path) -> tuple[Points, Faces]:
    """Read the surface of the one object in a USD file: its triangles as they are in the file, none split, mended or left out.

    Frame, unit and the choice of prims are those of `read_object`; a shape prim (Cube, Sphere, ...) gives the hull of its points.

    Returns:
        Points (V, 3) [m] and triangles (F, 3), of all prims one behind the other.

    Raises:
        AssetError: the file is missing or unreadable, has no geometry, several rigid bodies, or a mesh that cannot be used.
    """
    points: list[Points] = []
    faces: list[Faces] = []
    for geometry in _describe(Path(path)).geometry:
        own, triangles = geometry.surface()
        faces.append(triangles + sum(len(others) for others in points))
        points.append(own)
    return np.concatenate(points), np.concatenate(faces)


def examine_objects(paths: Sequence[str | Path], *, max_pieces: Sequence[int]) -> list[ObjectAsset | AssetError]:
    """Read several objects as `read_object` does, and return the error of each that cannot be used in its place.

    A file that this process has read before, and that is still as it was, is not read again.
    """
    wanted = [(Path(path), count) for path, count in zip(paths, max_pieces, strict=True)]
    keys = [_key(path, count) for path, count in wanted]
    described = {key: _describe_or_error(key[0]) for key in dict.fromkeys(keys) if key not in _known}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # the work is done in child processes
        made = dict(
            zip(described, pool.map(_assemble_or_error, described.values(), [key[1] for key in described]), strict=True)
        )
    _say([asset for asset in made.values() if isinstance(asset, ObjectAsset)])
    found = [made[key] if key in made else _known[key] for key in keys]
    _keep(made)
    return found


_Key = tuple[Path, int, int, int]
"""File, bound of the pieces, size, time of the last change [ns]."""
_known: Final[dict[_Key, ObjectAsset]] = {}
"""What this process has read: the check before a run, its engine, and the engines of its evaluations want the same objects."""
_KNOWN_AT_MOST: Final = 4096


def _key(path: Path, max_pieces: int) -> _Key:
    try:
        status = path.stat()
    except OSError:
        return path, max_pieces, -1, -1  # reading says what is wrong
    return path, max_pieces, status.st_size, status.st_mtime_ns


def _keep(made: dict[_Key, ObjectAsset | AssetError]) -> None:
    for key, asset in made.items():
        if isinstance(asset, ObjectAsset):
            _known[key] = asset
    while len(_known) > _KNOWN_AT_MOST:
        del _known[next(iter(_known))]


def _say(assets: Sequence[ObjectAsset]) -> None:
    said = [(asset.path, note) for asset in assets for note in asset.notes]
    for path, note in said[:_NOTES_LOGGED]:
        _log.info("%s: %s", path, note)
    if len(said) > _NOTES_LOGGED:
        _log.info("%d more such notes on %d objects", len(said) - _NOTES_LOGGED, len(assets))


def _describe_or_error(path: Path) -> _Description | AssetError:
    try:
        return _describe(path)
    except AssetError as error:
        return error


def _assemble_or_error(found: _Description | AssetError, max_pieces: int) -> ObjectAsset | AssetError:
    if isinstance(found, AssetError):
        return found
    try:
        return _assemble(found, max_pieces)
    except AssetError as error:
        return error


def _describe(path: Path) -> _Description:
    """Read what a file holds.

    Raises:
        AssetError: as `read_object`.
    """
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
        root, notes = _root(stage, path)
        prims, left_out = _geometry(stage, root, path)
        unit, kilogram = _unit(stage), UsdPhysics.GetStageKilogramsPerUnit(stage)
        try:
            geometry = tuple(read_geometry(prim, _to_object(stage, root, prim)) for prim in prims)
        except AssetError as error:
            raise AssetError(f"{path}: {error}") from error
        return _Description(
            path=path,
            geometry=geometry,
            stated=read_stated(root, unit, kilogram) if not root.IsPseudoRoot() else None,
            stated_parts=tuple(_stated_part(prim, root, unit, kilogram) for prim in prims),
            matrix=_to_object(stage, root, root),
            notes=(*_stage_notes(stage), *notes, *left_out),
        )


def _assemble(found: _Description, max_pieces: int) -> ObjectAsset:
    """Split a description's geometry into convex pieces and add up its mass."""
    try:
        # Every further geometry takes a piece at least.
        shapes = [geometry.shape(max(max_pieces - len(found.geometry) + 1, 1)) for geometry in found.geometry]
        pieces = tuple(piece for shape in shapes for piece in shape.pieces)
        if len(pieces) > max_pieces:
            raise AssetError(
                f"{len(found.geometry)} prims take {len(pieces)} convex pieces, and {max_pieces} are allowed; set "
                f"scene.object.max_pieces={len(pieces)} or more, or simplify the object"
            )
    except AssetError as error:
        raise AssetError(f"{found.path}: {error}") from error
    _check_extent(found.path, pieces)
    parts = [(shape.solid, stated) for shape, stated in zip(shapes, found.stated_parts, strict=True)]
    spread = mass_properties(found.stated, parts, found.matrix)
    return ObjectAsset(
        path=found.path,
        pieces=pieces,
        volume=spread.volume,
        com=spread.com,
        gyration=spread.gyration,
        mass=spread.mass,
        density=spread.density,
        notes=(*found.notes, *(note for shape in shapes for note in shape.notes)),
    )


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


def _root(stage: Any, path: Path) -> tuple[Any, tuple[str, ...]]:
    """Return the prim whose frame is the object's, and a note where it is no rigid body."""
    bodies = [prim for prim in _prims(stage) if prim.HasAPI(UsdPhysics.RigidBodyAPI) and _is_on(prim)]
    if len(bodies) > 1:
        names = ", ".join(str(prim.GetPath()) for prim in bodies[:4]) + (", ..." if len(bodies) > 4 else "")
        raise AssetError(f"{path}: {len(bodies)} rigid bodies ({names}); an object file holds one. Write one file for each")
    if bodies:
        return bodies[0], ()
    return stage.GetDefaultPrim() or stage.GetPseudoRoot(), ("no rigid body is marked: all of it is one",)


def _is_on(body: Any) -> bool:
    return UsdPhysics.RigidBodyAPI(body).GetRigidBodyEnabledAttr().Get() is not False


def _geometry(stage: Any, root: Any, path: Path) -> tuple[list[Any], tuple[str, ...]]:
    """Return the prims that collide, and a note on those that are no part of the object."""
    everything = [prim for prim in _prims(stage) if prim.IsA(UsdGeom.Gprim)]
    shapes = [prim for prim in everything if prim.GetPath().HasPrefix(root.GetPath())]
    colliders = [prim for prim in shapes if _collides(prim)]
    chosen = colliders or [prim for prim in shapes if not prim.HasAPI(UsdPhysics.CollisionAPI)]
    if not chosen:
        raise AssetError(f"{path}: no geometry below {root.GetPath()}; an object needs at least one Mesh or shape prim")
    outside = [str(prim.GetPath()) for prim in everything if prim not in shapes and _collides(prim)]
    more = ", ..." if len(outside) > 4 else ""
    return chosen, (f"left out, no part of {root.GetPath()}: {', '.join(outside[:4])}{more}",) if outside else ()


def _collides(prim: Any) -> bool:
    """Whether the prim, or a group above it, is marked as a collider and switched on."""
    while not prim.IsPseudoRoot():
        if prim.HasAPI(UsdPhysics.CollisionAPI):
            return bool(UsdPhysics.CollisionAPI(prim).GetCollisionEnabledAttr().Get())
        prim = prim.GetParent()
    return False


def _to_object(stage: Any, root: Any, prim: Any) -> NDArray[np.float64]:
    """Return the 4x4 matrix from prim coordinates to the object's frame in metres, z up, for row vectors as USD has them."""
    cache = UsdGeom.XformCache(Usd.TimeCode.EarliestTime())
    frame = cache.GetLocalToWorldTransform(root) if not root.IsPseudoRoot() else Gf.Matrix4d(1.0)
    own = cache.GetLocalToWorldTransform(prim) if not prim.IsPseudoRoot() else Gf.Matrix4d(1.0)
    unit = _unit(stage)
    matrix = np.array(own * frame.RemoveScaleShear().GetInverse()) @ np.diag((unit, unit, unit, 1.0))
    return matrix @ _Y_UP_TO_Z_UP if _is_y_up(stage) else matrix


def _unit(stage: Any) -> float:
    """Metres per unit of the file."""
    return float(UsdGeom.GetStageMetersPerUnit(stage)) if UsdGeom.StageHasAuthoredMetersPerUnit(stage) else 1.0


def _is_y_up(stage: Any) -> bool:
    return bool(UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.y)


def _stage_notes(stage: Any) -> tuple[str, ...]:
    said = []
    if _is_y_up(stage):
        said.append("y is up in the file: turned to z up")
    if not UsdGeom.StageHasAuthoredMetersPerUnit(stage):
        said.append("the file states no unit: read as metres")
    elif _unit(stage) != 1.0:
        said.append(f"the file's unit is {_unit(stage):g} m: converted to metres")
    moving = [str(prim.GetPath()) for prim in _prims(stage) if _moves(prim)]
    if moving:
        said.append(f"transforms change with time ({', '.join(moving[:4])}): their first samples are taken")
    return tuple(said)


def _moves(prim: Any) -> bool:
    return bool(prim.IsA(UsdGeom.Xformable) and UsdGeom.Xformable(prim).TransformMightBeTimeVarying())


def _stated_part(prim: Any, root: Any, unit: float, kilogram: float) -> Stated | None:
    """Mass statement of a geometry, or of the nearest group above it that has one, below the object's root."""
    while prim and prim != root:
        stated = read_stated(prim, unit, kilogram)
        if stated is not None and (stated.mass is not None or stated.density is not None):
            return stated
        prim = prim.GetParent()
    return None


def _check_extent(path: Path, pieces: tuple[ConvexPiece, ...]) -> None:
    points = np.concatenate([piece.vertices for piece in pieces])
    extent = float(np.ptp(points, axis=0).max())
    low, high = _PLAUSIBLE_EXTENT
    if not low <= extent <= high:
        raise AssetError(
            f"{path}: the object is {extent:.3g} m across, expected {low:g} to {high:g} m; check the file's metersPerUnit"
        )
