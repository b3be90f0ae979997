"""The object or terrain that goes with imported clips: a mesh or USD file becomes the asset of a motion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from grail_framework.assets.meshes import MESH_SUFFIXES, read_mesh
from grail_framework.assets.usd import read_object
from grail_framework.assets.usd_copy import copy_usd
from grail_framework.assets.usd_points import read_raw_points
from grail_framework.assets.usd_writer import write_object_usd
from grail_framework.errors import ConfigError, DataError
from grail_framework.motion.preparation.bps import compute_bps
from grail_framework.motion.preparation.surface import Surface, hull_triangles

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

USD_SUFFIXES: Final = (".usd", ".usda", ".usdc")
OBJECT_SUFFIXES: Final = (*MESH_SUFFIXES, *USD_SUFFIXES)
APPROXIMATIONS: Final = ("convexHull", "convexDecomposition")


@attrs.frozen(kw_only=True)
class ObjectOptions:
    """How a mesh becomes an object."""

    scale: float = 1.0
    """Metres per unit of the mesh file."""
    mass: float | None = None
    """None: not stated in the asset; the task decides. [kg]"""
    approximation: str = "convexHull"
    """Collision shape: convexHull or convexDecomposition."""


@attrs.frozen(kw_only=True, eq=False)
class ObjectSource:
    """A file read once, written as the asset of any number of motions."""

    path: Path
    points: NDArray[np.floating]  # (V, 3) as the asset stores them
    triangles: NDArray[np.integer]  # (F, 3)
    surface: Surface | None
    """What hands touch, in the object's frame; None for terrain."""
    bps: NDArray[np.float32] | None
    """None for terrain."""
    options: ObjectOptions

    def write(self, path_without_suffix: Path) -> Path:
        """Write the asset and return its path; a USD file is copied.

        Raises:
            AssetError: the file cannot be written.
        """
        if self.path.suffix.lower() in USD_SUFFIXES:
            return copy_usd(self.path, path_without_suffix.with_name(path_without_suffix.name + self.path.suffix.lower()))
        return write_object_usd(
            path_without_suffix.with_name(path_without_suffix.name + ".usd"),
            [(self.points, self.triangles)],
            mass=self.options.mass,
            dynamic=self.surface is not None,
            approximation=self.options.approximation if self.surface is not None else "none",
        )


def read_object_source(path: Path, options: ObjectOptions) -> ObjectSource:
    """Read the object's mesh, or its USD file.

    Contacts are sought on what will be simulated: the convex hull of the mesh, or the mesh itself where it is decomposed.

    Raises:
        AssetError: the file is missing or unreadable, or no solid.
        ConfigError: a scale, mass or approximation is given for a USD file, which is taken as it is.
    """
    if path.suffix.lower() in USD_SUFFIXES:
        if options != ObjectOptions():
            raise ConfigError(
                f"{path}: a USD file is taken as it is; leave out --object-scale, --object-mass and --object-approximation "
                "(mass can be set for training: scene.object.mass=0.1)"
            )
        points, triangles = read_raw_points(path)
        corners = [piece.vertices for piece in read_object(path).pieces]
        starts = np.cumsum([0, *(len(own) for own in corners[:-1])])
        faces = [hull_triangles(own) + start for own, start in zip(corners, starts, strict=True)]
        surface = Surface(np.concatenate(corners), np.concatenate(faces))
    else:
        mesh = read_mesh(path, scale=options.scale)
        points, triangles = mesh.points, mesh.triangles
        surface = Surface(points, hull_triangles(points) if options.approximation == "convexHull" else triangles)
    shape = compute_bps(points, triangles)
    return ObjectSource(path=path, points=points, triangles=triangles, surface=surface, bps=shape, options=options)


def read_terrain_source(path: Path, scale: float) -> ObjectSource:
    """Read the mesh of a terrain: static, collided with as it is, in the frame of the motions' world.

    Raises:
        AssetError: the file is missing or unreadable.
    """
    mesh = read_mesh(path, scale=scale)
    return ObjectSource(
        path=path, points=mesh.points, triangles=mesh.triangles, surface=None, bps=None, options=ObjectOptions(scale=scale)
    )


def pair_by_stem(given: Path, stem: str, suffixes: tuple[str, ...]) -> Path:
    """Return the file that goes with a motion: `given`, or the one with the motion's stem where `given` is a folder.

    Raises:
        DataError: there is no such file, or several.
    """
    if not given.is_dir():
        return given
    found = sorted(path for path in given.iterdir() if path.stem == stem and path.suffix.lower() in suffixes)
    if len(found) != 1:
        what = "no file" if not found else "several files"
        raise DataError(
            f"{given}: {what} for the motion {stem!r}; one called {stem} with a suffix of {', '.join(suffixes)} is needed"
        )
    return found[0]
