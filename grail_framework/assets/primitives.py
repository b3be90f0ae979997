"""Points of USD's shape prims, so that each becomes a convex piece like any mesh.

Round shapes are polyhedra with their corners on the surface: 32 sides around, which takes 0.6 % of a cylinder's volume and 1.6 % of
a sphere's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_SIDES: Final = 32
_RINGS: Final = 16  # from pole to pole


def cube(prim: Any) -> NDArray[np.float64]:
    """Return the 8 corners of a Cube prim, in its own coordinates."""
    half = 0.5 * _value(prim, "size")
    return half * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)


def sphere_points(radius: float) -> NDArray[np.float64]:
    """Return points (V, 3) on a sphere around the origin."""
    return _capsule_points(radius, 0.0)


def sphere(prim: Any) -> NDArray[np.float64]:
    """Return points on a Sphere prim."""
    return sphere_points(_value(prim, "radius"))


def capsule(prim: Any) -> NDArray[np.float64]:
    """Return points on a Capsule prim: `height` is that of the cylinder between the caps."""
    return _along_axis(prim, _capsule_points(_value(prim, "radius"), 0.5 * _value(prim, "height")))


def cylinder(prim: Any) -> NDArray[np.float64]:
    """Return the two rims of a Cylinder prim."""
    half, ring = 0.5 * _value(prim, "height"), _ring(_value(prim, "radius"))
    return _along_axis(prim, np.concatenate([np.column_stack((ring, np.full(_SIDES, z))) for z in (-half, half)]))


SHAPES: Final[dict[str, Callable[[Any], NDArray[np.float64]]]] = {
    "Cube": cube,
    "Sphere": sphere,
    "Cylinder": cylinder,
    "Capsule": capsule,
}
"""By USD type name: (prim) -> (V, 3) points whose hull is the shape."""


def _capsule_points(radius: float, half: float) -> NDArray[np.float64]:
    """Points of a capsule along z; a sphere where `half` is 0."""
    polar = np.pi * np.arange(1, _RINGS // 2 + 1) / _RINGS
    cap = [np.array([[0.0, 0.0, half + radius]])]
    for angle in polar:
        height = np.full(_SIDES, half + radius * np.cos(angle))
        cap.append(np.column_stack((_ring(radius * float(np.sin(angle))), height)))
    upper = np.concatenate(cap)
    return np.concatenate((upper, upper * (1.0, 1.0, -1.0)))


def _ring(radius: float) -> NDArray[np.float64]:
    angle = 2.0 * np.pi * np.arange(_SIDES) / _SIDES
    return radius * np.column_stack((np.cos(angle), np.sin(angle)))


def _along_axis(prim: Any, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn points made along z to the prim's axis."""
    shift = {"X": 1, "Y": 2, "Z": 0}[str(prim.GetAttribute("axis").Get() or "Z")]
    return np.roll(points, shift, axis=1)


def _value(prim: Any, attribute: str) -> float:
    return float(prim.GetAttribute(attribute).Get())
