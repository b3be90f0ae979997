"""Objects of the demo libraries: convex meshes of everyday sizes, centred on the middle of their height."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from scipy.spatial import ConvexHull

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDES: Final = 24
_RINGS: Final = 12  # from pole to pole

Mesh = tuple["NDArray[np.float64]", "NDArray[np.int64]"]


@attrs.frozen(kw_only=True, eq=False)
class Shape:
    """An object that stands on its lowest points when upright at its half height."""

    name: str
    pieces: tuple[Mesh, ...]
    """Convex meshes: corners (V, 3) [m] and triangles (F, 3), counter-clockwise seen from outside."""
    half_height: float
    """[m]"""
    mass: float = 0.1
    """The release's object mass of the pick-and-place tasks. [kg]"""

    @property
    def corners(self) -> tuple[NDArray[np.float64], ...]:
        """Corner points of each piece (V, 3) [m]."""
        return tuple(points for points, _ in self.pieces)

    def of_density(self, density: float) -> Shape:
        """Return the shape with the mass that a density gives it [kg/m^3]; pieces that overlap count twice."""
        return attrs.evolve(self, mass=density * sum(ConvexHull(points).volume for points in self.corners))


def box(name: str, x: float, y: float, z: float) -> Shape:
    """Make a box with edges [m]."""
    corners = 0.5 * np.array([[i * x, j * y, k * z] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
    return Shape(name=name, pieces=(hull_mesh(corners),), half_height=0.5 * z)


def cylinder(name: str, radius: float, height: float) -> Shape:
    """Make a cylinder that stands on its end [m]."""
    return Shape(name=name, pieces=(hull_mesh(_tube(radius, 0.5 * height)),), half_height=0.5 * height)


def bottle(name: str, radius: float, height: float) -> Shape:
    """Make a bottle: a cylinder with a neck of a quarter of its height, two convex pieces [m]."""
    neck = 0.25 * height
    body = _tube(radius, 0.5 * (height - neck)) - np.array([0.0, 0.0, 0.5 * neck])
    top = _tube(0.45 * radius, 0.5 * neck) + np.array([0.0, 0.0, 0.5 * (height - neck)])
    return Shape(name=name, pieces=(hull_mesh(body), hull_mesh(top)), half_height=0.5 * height)


def barrel(name: str, radius: float, height: float) -> Shape:
    """Make a barrel that stands on its end, its ends four fifths as wide as its middle [m]."""
    rings = [_ring(radius * share, 0.5 * height * level) for share, level in ((0.8, 1.0), (0.95, 0.5), (1.0, 0.0))]
    points = np.concatenate((*rings, *(ring * (1.0, 1.0, -1.0) for ring in rings[:2])))
    return Shape(name=name, pieces=(hull_mesh(points),), half_height=0.5 * height)


def ball(name: str, radius: float) -> Shape:
    """Make a ball [m]; its lowest point is a small flat facet, on which it comes to rest."""
    levels = np.pi * np.arange(1, _RINGS) / _RINGS
    points = np.concatenate([_ring(radius * float(np.sin(a)), radius * float(np.cos(a))) for a in levels])
    return Shape(name=name, pieces=(hull_mesh(points),), half_height=float(points[:, 2].max()))


def cup(name: str, radius: float, height: float) -> Shape:
    """Make a cup, solid: a cylinder whose foot is four fifths as wide as its rim [m]."""
    points = np.concatenate((_ring(0.8 * radius, -0.5 * height), _ring(radius, 0.5 * height)))
    return Shape(name=name, pieces=(hull_mesh(points),), half_height=0.5 * height)


def rack(name: str, radius: float, height: float, width: float) -> Shape:
    """Make two posts, `width` apart along y, that a board joins near the ground, three convex pieces [m]."""
    post = _tube(radius, 0.5 * height)
    side = np.array([0.0, 0.5 * width, 0.0])
    thick, tall = 0.6 * radius, 0.3 * height
    board = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * (thick, 0.5 * width, 0.5 * tall)
    board = board + np.array([0.0, 0.0, 0.5 * (tall - height)])
    return Shape(name=name, pieces=(hull_mesh(post + side), hull_mesh(board), hull_mesh(post - side)), half_height=0.5 * height)


def hull_mesh(points: NDArray[np.float64]) -> Mesh:
    """Return the convex hull of points (n, 3) as corners and triangles that face outward."""
    hull = ConvexHull(points)
    number = {int(old): new for new, old in enumerate(hull.vertices)}
    triangles = np.array([[number[int(i)] for i in simplex] for simplex in hull.simplices], dtype=np.int64)
    corners = points[hull.vertices]
    a, b, c = (corners[triangles[:, k]] for k in range(3))
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), hull.equations[:, :3]) < 0.0
    triangles[inward] = triangles[inward][:, ::-1]
    return corners, triangles


def _tube(radius: float, half: float) -> NDArray[np.float64]:
    return np.concatenate((_ring(radius, -half), _ring(radius, half)))


def _ring(radius: float, height: float) -> NDArray[np.float64]:
    angle = 2.0 * np.pi * np.arange(_SIDES) / _SIDES
    return np.column_stack((radius * np.cos(angle), radius * np.sin(angle), np.full(_SIDES, height)))
