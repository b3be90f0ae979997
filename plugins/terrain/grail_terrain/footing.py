"""Whether the terrain is there under the feet of a motion: a mesh with a hole lets the robot fall where the reference stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
import torch

from grail_framework.assets.usd import read_triangles
from grail_framework.motion.faults import ClipFault
from grail_framework.robots.rotations import quat_apply, quat_conj

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from grail_framework.motion.library import MotionLibrary

    type Points = NDArray[np.float64]

_PERIOD: Final = 0.08
"""How often a motion is looked at. [s]"""
_LASTS: Final = 3
"""Looks in a row in which nothing carries the robot before that is a fault. [-]"""
_GAP: Final = 0.15
"""Distance of a sole over the ground from which on it carries nothing; retargeted feet are off by up to 11 cm in usable motions. [m]"""
_STILL: Final = 0.4
"""Speed up to which a foot stands; that of its link, which also turns. [m/s]"""
_SWINGS: Final = 0.5
"""Speed from which on a foot carries nothing, wherever it is. [m/s]"""
_SEAT: Final = 0.35
"""Height of the root over what is below it, up to which the robot sits or lies there. [m]"""
_THICKEST_SOLE: Final = 0.1
"""Upper bound of the height of a foot's link over the sole. [m]"""
_TOO_MUCH: Final = 0.1
"""Share of a motion without ground from which on it cannot be trained; scanned stairs end a step early now and then. [-]"""
_CELL: Final = 0.2
"""Side of a grid cell. [m]"""
_CELLS: Final = 200
"""Upper bound of the cells along a side. [-]"""
_ROW: Final = 2 * _CELLS
_SOLE: Final = tuple((x, y, 0.0) for x in (-0.05, 0.0, 0.06, 0.12) for y in (-0.03, 0.03))
"""Where a foot is looked under, in its link's frame, for a sole like that of the G1. [m]"""
_ABOVE: Final = 0.05
"""How far above the point looked from a surface may be and still count as below: feet sink in. [m]"""


@attrs.frozen(kw_only=True, eq=False)
class Looks:
    """What is looked at of a motion of F looks, in the frame of the terrain: z is up."""

    times: Points  # (F,) [s]
    feet: Points  # (F, 2, P, 3) points of the feet [m]
    speed: Points  # (F, 2) of the feet [m/s]
    root: Points  # (F, 3) [m]
    ground: Points  # (F,) height of the flat ground [m]


@attrs.frozen(kw_only=True)
class Hole:
    """Where a motion first has nothing under the feet."""

    time: float
    """[s]"""
    foot: str
    """Which foot stands there, `left` or `right`."""
    gap: float
    """From its sole down to the next surface. [m]"""
    share: float
    """Of the motion, in which nothing carries the robot. [-]"""

    def __str__(self) -> str:
        return (
            f"has nothing under the feet for {self.share:.0%} of the motion, first at {self.time:.1f} s, where the {self.foot} foot stands "
            f"{self.gap:.2f} m above the terrain: the mesh has a hole there, or is not the one of this motion. Close it, or pair the "
            "motion with its own"
        )


def footing_faults(motions: MotionLibrary) -> list[ClipFault]:
    """Return a fault for each motion with a terrain that is not there while the robot stands on it."""
    bodies = motions.robot.tracked_bodies
    feet = [bodies.index(name) for name in bodies if "ankle_roll" in name]
    if len(feet) != 2:
        return []
    found: list[ClipFault] = []
    for index, (key, path) in enumerate(zip(motions.keys, motions.object_usd, strict=True)):
        if path is None or not bool(motions.has_object[index]):
            continue
        hole = missing_ground(_looks(motions, index, feet), *_triangles(path))
        if hole is not None:
            found.append(ClipFault(path=path, key=key, reason=str(hole), fatal=hole.share >= _TOO_MUCH))
    return found


def missing_ground(looks: Looks, points: Points, faces: NDArray[np.int64]) -> Hole | None:
    """Find where nothing carries the robot though it stands still on a foot; None: nowhere.

    Args:
        looks: of the motion.
        points: (V, 3) of the terrain [m].
        faces: (T, 3) triangles of them.
    """
    terrain = _Terrain(points, faces)
    height = np.full(looks.speed.shape, np.inf)
    for look, foot in np.argwhere(looks.speed < _SWINGS):  # the others carry nothing, wherever they are
        height[look, foot] = terrain.clearance(looks.feet[look, foot], float(looks.ground[look]))
    lowest = height.min(axis=1)
    lowest = lowest[np.isfinite(lowest)]
    if not len(lowest):
        return None
    # What the lowest stance has is how far the sole is below the link.
    gap = height - min(float(np.quantile(lowest, 0.05)), _THICKEST_SOLE)  # (F, 2)
    carries = gap <= _GAP
    stands = ~carries & (looks.speed < _STILL)
    floats = ~carries.any(axis=1) & stands.any(axis=1)
    for look in np.flatnonzero(floats):  # a robot that sits or lies needs no feet
        floats[look] = terrain.clearance(looks.root[look, None], float(looks.ground[look])) >= _SEAT
    lasting = np.convolve(floats, np.ones(_LASTS), mode="valid") == _LASTS if len(floats) >= _LASTS else np.zeros(0, dtype=bool)
    if not lasting.any():
        return None
    look = int(lasting.argmax())
    foot = int(stands[look].argmax())
    return Hole(
        time=float(looks.times[look]), foot=("left", "right")[foot], gap=float(gap[look, foot]), share=float(floats.mean())
    )


def _looks(motions: MotionLibrary, index: int, feet: list[int]) -> Looks:
    step = max(1, round(_PERIOD * motions.fps))
    frames = torch.arange(0, int(motions.num_frames[index]), step, device=motions.device)
    reference = motions.frame(torch.full_like(frames, index), frames)
    back, origin = quat_conj(reference.object_quat_w), reference.object_pos_w
    sole = torch.tensor(_SOLE, device=motions.device)
    pos, quat = reference.body_pos_w[:, feet], reference.body_quat_w[:, feet]
    shape = (*pos.shape[:2], len(_SOLE))
    reach = quat_apply(quat.unsqueeze(2).expand(*shape, 4), sole.expand(*shape, 3))
    points = pos.unsqueeze(2) + reach - origin.view(-1, 1, 1, 3)
    return Looks(
        times=_numpy(frames) / motions.fps,
        feet=_numpy(quat_apply(back.view(-1, 1, 1, 4).expand(*shape, 4), points)),
        speed=_numpy(reference.body_lin_vel_w[:, feet].norm(dim=-1)),
        root=_numpy(quat_apply(back, reference.root_pos - origin)),
        ground=_numpy(-origin[:, 2]),
    )


class _Terrain:
    """Triangles by the cells of a grid that they reach into, asked for what is below a point."""

    def __init__(self, points: Points, faces: NDArray[np.int64]) -> None:
        corners = points[faces]  # (T, 3, 3)
        ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
        level = np.abs(area) > 1e-12  # what stands upright carries nothing
        corners, self._ab, self._ac, self._area = corners[level], ab[level], ac[level], area[level]
        self._a = corners[:, 0]
        low, high = corners[:, :, :2].min(axis=1), corners[:, :, :2].max(axis=1)
        self._origin = low.min(axis=0, initial=0.0)
        self._cell = max(_CELL, float((high.max(axis=0, initial=0.0) - self._origin).max()) / _CELLS)
        self._codes, self._owners = self._enter(self._cells(low), self._cells(high))

    def clearance(self, points: Points, ground: float) -> float:
        """Return the smallest height of any of the points (P, 3) over what is below it: the flat ground or a triangle."""
        near = self._near(points[:, :2].min(axis=0), points[:, :2].max(axis=0))
        ab, ac, area = self._ab[near], self._ac[near], self._area[near]
        ap = points[:, None] - self._a[near]  # (P, n, 3)
        v = (ap[..., 0] * ac[:, 1] - ap[..., 1] * ac[:, 0]) / area
        w = (ab[:, 0] * ap[..., 1] - ab[:, 1] * ap[..., 0]) / area
        over = ap[..., 2] - v * ab[:, 2] - w * ac[:, 2]
        below = (v >= -1e-9) & (w >= -1e-9) & (v + w <= 1.0 + 1e-9) & (over >= -_ABOVE)
        # Of what is below one point the highest counts, and that is the ground where there is nothing else.
        found = float(points[:, 2].min()) - ground
        return min(found, float(np.where(below, over, np.inf).min(initial=np.inf)))

    def _enter(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the cells and the triangles of all pairs of a triangle and a cell that its bounds, cells (T, 2), reach into."""
        spans = last - first + 1
        count = spans.prod(axis=1)
        owner = np.repeat(np.arange(len(first)), count)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        column, row = first[owner, 0] + place // spans[owner, 1], first[owner, 1] + place % spans[owner, 1]
        code = column * _ROW + row
        order = np.argsort(code, kind="stable")
        return code[order], owner[order]

    def _near(self, low: Points, high: Points) -> NDArray[np.int64]:
        """Return the triangles that may lie over a rectangle."""
        # Cells outside the grid hold nothing; clipped, so that the number of one stays its own.
        (x0, y0), (x1, y1) = self._cells(np.stack((low, high))).clip(-1, _ROW - 1)
        columns = np.arange(max(x0, 0), x1 + 1) * _ROW
        begins = np.searchsorted(self._codes, columns + max(y0, 0), side="left")
        ends = np.searchsorted(self._codes, columns + y1, side="right")
        return np.concatenate([self._owners[:0], *(self._owners[b:e] for b, e in zip(begins, ends, strict=True))])

    def _cells(self, places: Points) -> NDArray[np.int64]:
        return np.floor((places - self._origin) / self._cell).astype(np.int64)


def _triangles(path: Path) -> tuple[Points, NDArray[np.int64]]:
    points, faces = read_triangles(path)
    return np.asarray(points, dtype=np.float64), np.asarray(faces, dtype=np.int64)


def _numpy(values: torch.Tensor) -> Points:
    return values.double().cpu().numpy()
