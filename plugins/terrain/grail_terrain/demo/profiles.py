"""Terrains of the demo library: a profile along the way, as wide everywhere, and where feet go on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mesh = tuple[NDArray[np.float64], NDArray[np.int64]]

WIDTH: Final = 1.4
"""Of every terrain, across the way. [m]"""
_LANDING: Final = 0.9
"""Length of the level ground on top, where a walk starts or ends. [m]"""
_BLOCK: Final = (
    (0, 3, 2), (0, 1, 3), (4, 7, 5), (4, 6, 7), (0, 5, 1), (0, 4, 5), (2, 7, 6), (2, 3, 7), (1, 7, 3), (1, 5, 7), (0, 6, 4), (0, 2, 6),
)  # fmt: skip
"""Triangles of eight corners numbered x, y, z with z fastest, counter-clockwise seen from outside."""


@attrs.frozen(kw_only=True, eq=False)
class Profile:
    """A terrain as it is walked over along x, from the ground at height 0 or up there back to it."""

    name: str
    stride: float
    """Way from one foothold to the next, of the other foot. [m]"""
    strides: int
    """Footholds after the first."""
    segments: tuple[tuple[float, float, float, float], ...]
    """From x to x, from height to height; what is in no segment is the ground at height 0. [m]"""

    def height(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the heights at places along the way, same shape [m]."""
        found = np.zeros(np.shape(x))
        for start, end, low, high in self.segments:
            inside = (x >= start) & (x <= end)
            found = np.where(inside, np.maximum(found, low + (x - start) / (end - start) * (high - low)), found)
        return found

    def under_foot(self, x: NDArray[np.float64], pitch: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
        """Return the height (T,) of the middle of a sole that just touches, at places (T,) and pitches (T,) and so long either way."""
        along = np.linspace(-reach, reach, 81)
        return (self.height(x[:, None] + np.cos(pitch)[:, None] * along) + np.sin(pitch)[:, None] * along).max(axis=1)

    def foothold(self, index: int) -> tuple[float, float, float]:
        """Return place along the way [m], height [m] and pitch [rad] (upwards negative, about y) of the middle of a foothold."""
        x = index * self.stride
        z = float(self.height(np.array(x)))
        ahead, behind = self.height(np.array([x + 0.02, x - 0.02]))
        return x, z, float(np.arctan2(behind - ahead, 0.04))

    def meshes(self) -> tuple[Mesh, ...]:
        """Return one closed mesh for each segment, standing on the ground; a segment without height has none."""
        return tuple(block((start, end), (0.0, low), (0.0, high)) for start, end, low, high in self.segments)


def stairs(*, up: bool, rise: float, depth: float, count: int) -> Profile:
    """Make stairs of `count` treads with a deep one on top; every tread is one foothold.

    Args:
        up: which way they are walked; downwards from the top one.
        rise: of each step [m].
        depth: of each tread [m].
        count: treads, the top one included.
    """
    # Going up the first foothold is on the ground, half a tread before the first step.
    edges = [(k + 0.5) * depth for k in range(count + 1)]
    edges[count] += _LANDING
    steps = [(edges[k], edges[k + 1], (k + 1) * rise, (k + 1) * rise) for k in range(count)]
    return _walked(f"stairs_{'up' if up else 'down'}", steps, depth, count, up=up)


def slope(*, up: bool, pitch: float, stride: float, count: int) -> Profile:
    """Make a slope of `count` strides with level ground on top.

    Args:
        up: which way it is walked; downwards from the top.
        pitch: of the slope [rad].
        stride: [m].
        count: footholds on the slope.
    """
    start, end = 0.5 * stride, (0.5 + count) * stride
    top = (end - start) * float(np.tan(pitch))
    segments = [(start, end, 0.0, top), (end, end + _LANDING, top, top)]
    return _walked(f"slope_{'up' if up else 'down'}", segments, stride, count + 1, up=up)


def curb(*, rise: float, stride: float, count: int, off: bool) -> Profile:
    """Make a curb to be walked onto and along for `count` footholds [m]; `off` leads down again on the other side."""
    end = (count + 0.5) * stride if off else count * stride + _LANDING
    return Profile(
        name="curb_over" if off else "curb_onto",
        stride=stride,
        strides=count + 1 if off else count,
        segments=((0.5 * stride, end, rise, rise),),
    )


def _walked(name: str, segments: list[tuple[float, float, float, float]], stride: float, strides: int, *, up: bool) -> Profile:
    """Return the terrain with the way as it is, or with the last foothold as the first of the way back."""
    if not up:
        last = strides * stride
        segments = [(last - end, last - start, high, low) for start, end, low, high in reversed(segments)]
    return Profile(name=name, stride=stride, strides=strides, segments=tuple(segments))


def block(
    x: tuple[float, float], start: tuple[float, float], end: tuple[float, float], *, half_width: float = 0.5 * WIDTH
) -> Mesh:
    """Return a closed mesh from x to x whose bottom and top are at given heights at either end [m]."""
    sides = ((x[0], start), (x[1], end))
    corners = [(place, y, z) for place, levels in sides for y in (-half_width, half_width) for z in levels]
    points, triangles = np.array(corners), np.array(_BLOCK, dtype=np.int64)
    # Where a slope meets the ground its edge has no height: corners coincide, and triangles between them have no area.
    _, kept, number = np.unique(points, axis=0, return_index=True, return_inverse=True)
    triangles = number.reshape(-1)[triangles]
    distinct = [len(set(row)) == 3 for row in triangles.tolist()]
    return points[kept], triangles[distinct]
