"""Mass, centre of mass and inertia of an object, from what its file states and the shape of its geometry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import pxr.UsdPhysics

from grail_framework.assets.triangles import combined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grail_framework.assets.triangles import Solid

# The bindings' stubs call half of what they return optional.
UsdPhysics: Any = pxr.UsdPhysics

DEFAULT_DENSITY: Final = 1000.0
"""Where nothing states mass or density: the default of USD's physics schema. [kg/m^3]"""


@attrs.frozen(kw_only=True, eq=False)
class MassProperties:
    """How heavy an object is and how its mass is spread."""

    mass: float | None
    """[kg]; None: nothing states it."""
    density: float | None
    """[kg/m^3]; None: nothing states it."""
    volume: float
    """[m^3]"""
    com: NDArray[np.float64]  # (3,) centre of mass in the object's frame [m]
    gyration: NDArray[np.float64]  # (3, 3) inertia about the centre of mass, per mass, in the object's axes [m^2]


@attrs.frozen(kw_only=True)
class Stated:
    """What the physics schema's mass attributes of one prim say, in SI units; None where they say nothing."""

    prim: str
    mass: float | None = None
    density: float | None = None
    com: tuple[float, float, float] | None = None
    """In the prim's coordinates, in the file's units."""
    inertia: tuple[float, float, float] | None = None
    """Principal moments. [kg m^2]"""
    axes: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """Of the principal moments, wxyz, in the prim's axes."""


def read_stated(prim: Any, unit: float, kilogram: float) -> Stated | None:
    """Read a prim's mass attributes; `unit` is metres, `kilogram` kilograms per unit of the file. None: it has none."""
    if not prim.HasAPI(UsdPhysics.MassAPI):
        return None
    api = UsdPhysics.MassAPI(prim)
    mass, density = float(api.GetMassAttr().Get() or 0.0), float(api.GetDensityAttr().Get() or 0.0)
    com, inertia = api.GetCenterOfMassAttr().Get(), api.GetDiagonalInertiaAttr().Get()
    axes: Any = api.GetPrincipalAxesAttr().Get()
    # The schema's words for "not stated": mass, density and inertia 0, a centre of mass at minus infinity, axes of zero length.
    return Stated(
        prim=str(prim.GetPath()),
        mass=mass * kilogram if mass > 0.0 else None,
        density=density * kilogram / unit**3 if density > 0.0 else None,
        com=_triple(com) if com is not None and np.isfinite(_triple(com)).all() else None,
        inertia=_triple(np.array(inertia) * kilogram * unit**2) if inertia is not None and all(inertia) else None,
        axes=(float(axes.GetReal()), *_triple(axes.GetImaginary()))
        if axes and axes.GetLength() > 0.0
        else (1.0, 0.0, 0.0, 0.0),
    )


def mass_properties(
    body: Stated | None, parts: Sequence[tuple[Solid, Stated | None]], matrix: NDArray[np.float64]
) -> MassProperties:
    """Combine what is stated for the body and for parts of it with their shapes.

    A mass of the whole goes before masses of parts, which go before densities; the parts share what is left open by volume.

    Args:
        body: stated for the body as a whole.
        parts: each geometry's shape and what is stated for it or for the group it is in, in the same order always.
        matrix: (4, 4) from the body's coordinates to the object's frame [m], for row vectors.
    """
    volume = sum(solid.volume for solid, _ in parts)
    own = [density_of(stated, parts) for _, stated in parts]
    common = body.density if body is not None else None
    weights = [density or common or DEFAULT_DENSITY for density in own]
    whole = combined([solid.scaled(weight) for (solid, _), weight in zip(parts, weights, strict=True)])
    mass = body.mass if body is not None and body.mass is not None else (whole.volume if any(own) else None)
    com, gyration = whole.com, whole.inertia / whole.volume
    if body is not None and body.com is not None:
        com = np.array(body.com) @ matrix[:3, :3] + matrix[3, :3]
    if body is not None and body.inertia is not None:
        turn = _rotation(body.axes).T @ _without_scale(matrix[:3, :3])
        gyration = turn.T @ np.diag(body.inertia) @ turn / (mass or whole.volume)
    return MassProperties(mass=mass, density=common if mass is None else None, volume=volume, com=com, gyration=gyration)


def density_of(stated: Stated | None, parts: Sequence[tuple[Solid, Stated | None]]) -> float | None:
    """Density of the parts that one statement is for: its mass over their volume, else its density; None: it states neither."""
    if stated is None:
        return None
    if stated.mass is not None:
        return stated.mass / sum(solid.volume for solid, other in parts if other is not None and other.prim == stated.prim)
    return stated.density


def _without_scale(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def _rotation(quat: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Matrix of a quaternion (wxyz) for column vectors."""
    w, x, y, z = np.array(quat) / np.linalg.norm(quat)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return (x, y, z)
