"""Triangle meshes from mesh files: OBJ, STL and PLY."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
import trimesh

from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MESH_SUFFIXES: Final = (".obj", ".stl", ".ply")
_PLAUSIBLE_EXTENT: Final = (1e-3, 1000.0)
"""Smallest and largest believable extent of an object or a terrain. [m]"""


@attrs.frozen(kw_only=True, eq=False)
class TriangleMesh:
    """Points and triangles, in the frame of the file they come from."""

    points: NDArray[np.float64]  # (V, 3) [m]
    triangles: NDArray[np.int64]  # (F, 3), counter-clockwise seen from outside


def read_mesh(path: str | Path, *, scale: float = 1.0) -> TriangleMesh:
    """Read a mesh file as one mesh; its points keep their order and their places.

    STL has no shared points, so equal ones are merged there.

    Args:
        path: ends in .obj, .stl or .ply.
        scale: metres per unit of the file.

    Raises:
        AssetError: the file is missing, unreadable, of another kind, has no faces, points that are not finite, or is not of a
            believable size.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise AssetError(
            f"{path}: a {path.suffix or 'file without suffix'} cannot be read as a mesh; allowed: {', '.join(MESH_SUFFIXES)}"
        )
    if not path.is_file():
        raise AssetError(f"{path}: no such file")
    try:
        loaded = trimesh.load_mesh(path, process=suffix == ".stl", maintain_order=True, skip_materials=True)
    except Exception as error:
        # The parsers raise whatever the first wrong token leads to.
        raise AssetError(f"{path}: not a readable mesh ({type(error).__name__}: {error}); export it again") from error
    if not isinstance(loaded, trimesh.Trimesh) or len(loaded.faces) == 0:
        raise AssetError(f"{path}: has no faces; a mesh with triangles or polygons is needed, not points or lines")
    points = np.asarray(loaded.vertices, dtype=np.float64) * scale
    if not np.isfinite(points).all():
        raise AssetError(f"{path}: has points that are not finite")
    extent = float(np.ptp(points, axis=0).max())
    low, high = _PLAUSIBLE_EXTENT
    if not low <= extent <= high:
        raise AssetError(f"{path}: is {extent:.3g} m across, expected {low:g} to {high:g} m; give the metres per unit as scale")
    return TriangleMesh(points=points, triangles=np.asarray(loaded.faces, dtype=np.int64))
