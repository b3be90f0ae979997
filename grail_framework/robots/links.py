"""What a robot file says, whatever its format: links, the joints that move them, collision shapes. No names or gains of ours yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.robots.spec import ColliderSpec, Quat, Vec3

Inertia = tuple[float, float, float, float, float, float]


@attrs.frozen(kw_only=True)
class AssetJoint:
    """How a link moves in its parent."""

    name: str
    kind: str
    """`hinge`, or what the file calls another type."""
    axis: Vec3 = (0.0, 0.0, 1.0)
    """Unit vector in the link's frame."""
    limits: tuple[float, float] | None = None
    """[rad]; None: the file gives none."""
    anchor: Vec3 = (0.0, 0.0, 0.0)
    """Point of the axis in the link's frame. [m]"""


@attrs.frozen(kw_only=True)
class AssetLink:
    """A link as it stands where every joint is at 0."""

    name: str
    parent: str | None
    """None: the root."""
    pos: Vec3
    """Origin in the parent's frame. [m]"""
    quat: Quat
    """Orientation in the parent's frame, wxyz."""
    mass: float
    """[kg]"""
    com: Vec3
    """[m]"""
    inertia: Inertia
    """About the centre of mass in link axes: xx, yy, zz, xy, xz, yz. [kg m^2]"""
    joint: AssetJoint | None
    """None: fixed to the parent, or the root."""
    colliders: tuple[ColliderSpec, ...] = ()


@attrs.frozen(kw_only=True)
class RobotAsset:
    """A robot file, read."""

    path: Path
    links: tuple[AssetLink, ...]
    """The root first; a parent always before its children."""
    excluded_pairs: tuple[tuple[str, str], ...] = ()
    """Link pairs that the file keeps from colliding."""
    notes: tuple[str, ...] = ()
    """What of the file was left out."""


def inertia_row(matrix: np.ndarray) -> Inertia:
    """Write a symmetric matrix (3, 3) as xx, yy, zz, xy, xz, yz."""
    pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    xx, yy, zz, xy, xz, yz = (float(matrix[pair]) for pair in pairs)
    return (xx, yy, zz, xy, xz, yz)


def inertia_matrix(row: Inertia) -> np.ndarray:
    """Write xx, yy, zz, xy, xz, yz as a symmetric matrix (3, 3)."""
    xx, yy, zz, xy, xz, yz = row
    return np.array(((xx, xy, xz), (xy, yy, yz), (xz, yz, zz)))


def vec3(values: object) -> Vec3:
    """Return three numbers as a tuple of plain floats."""
    x, y, z = np.asarray(values, dtype=np.float64).tolist()
    return (x, y, z)


def quat4(values: object) -> Quat:
    """Return four numbers as a tuple of plain floats."""
    w, x, y, z = np.asarray(values, dtype=np.float64).tolist()
    return (w, x, y, z)


def parents_first(links: list[AssetLink], path: Path) -> tuple[AssetLink, ...]:
    """Sort links so that each follows its parent.

    Raises:
        AssetError: a parent that is no link, a loop, or not exactly one root.
    """
    roots = [link for link in links if link.parent is None]
    if len(roots) != 1:
        names = ", ".join(link.name for link in roots[:4]) or "none"
        raise AssetError(f"{path}: a robot is one tree of links; this file has {len(roots)} roots ({names})")
    children: dict[str | None, list[AssetLink]] = {}
    for link in links:
        children.setdefault(link.parent, []).append(link)
    found: list[AssetLink] = []
    waiting = roots
    while waiting:
        link = waiting.pop(0)
        found.append(link)
        waiting.extend(children.get(link.name, []))
    if len(found) != len(links):
        lost = next(link.name for link in links if link not in found)
        raise AssetError(f"{path}: the link {lost!r} does not hang on the root {roots[0].name!r}; links must form one tree")
    return tuple(found)
