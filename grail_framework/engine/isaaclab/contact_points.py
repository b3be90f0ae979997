"""Steady contact between boxes and convex meshes on the device.

Where MuJoCo-Warp has found how deep a box or mesh is in another, it takes a face of each that are parallel and cuts one to the outline
of the other to get several points. Two things of that are changed here:

- Faces count as parallel up to an angle. It is so small there that a sole which is not exactly flat on its ground stands on one
  corner, in the next step on another, and chatters.
- On a surface of many nearly parallel faces it may take one that is beside the contact: nothing is left of it then, and it reports no
  contact at all. The deepest point is kept instead, as MuJoCo does.

Written in the subset of Python that Warp compiles, whose types a type checker does not know.
"""

# pyright: reportInvalidTypeForm=false, reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math
from typing import Any, Final

import warp as wp
from mujoco_warp._src import collision_convex as _collision_convex
from mujoco_warp._src import collision_gjk as _collision_gjk
from mujoco_warp._src import warp_util
from mujoco_warp._src.collision_core import Geom  # noqa: TC002  Warp evaluates the annotations
from mujoco_warp._src.types import mat43

collision_convex: Any = _collision_convex  # what is replaced below is not declared to be
collision_gjk: Any = _collision_gjk
several_points = _collision_gjk.multicontact

_PARALLEL: Final = 0.01
"""Angle up to which faces count as parallel [rad]. All points of a contact get its depth, so over a sole of 20 cm it may be wrong by
2 mm; MuJoCo-Warp's own is 0.0016."""


@wp.func
def _at_least_one(
    polygon: wp.array[wp.vec3],
    clipped: wp.array[wp.vec3],
    plane_normal: wp.array[wp.vec3],
    plane_dist: wp.array[float],
    idx1: wp.array[int],
    idx2: wp.array[int],
    n1: wp.array[wp.vec3],
    n2: wp.array[wp.vec3],
    endvert: wp.array[wp.vec3],
    face1: wp.array[wp.vec3],
    face2: wp.array[wp.vec3],
    epa_vert: wp.array[wp.vec3],
    epa_vert_index: wp.array[int],
    epa_face: int,
    x1: wp.vec3,
    x2: wp.vec3,
    geom1: Geom,
    geom2: Geom,
    geomtype1: int,
    geomtype2: int,
) -> tuple[int, mat43, mat43]:
    """Return number and pairs of points as MuJoCo-Warp finds them, or the deepest pair alone where it finds none."""
    count, on_first, on_second = several_points(
        polygon,
        clipped,
        plane_normal,
        plane_dist,
        idx1,
        idx2,
        n1,
        n2,
        endvert,
        face1,
        face2,
        epa_vert,
        epa_vert_index,
        epa_face,
        x1,
        x2,
        geom1,
        geom2,
        geomtype1,
        geomtype2,
    )
    if count == 0:
        on_first = mat43()
        on_second = mat43()
        on_first[0] = x1
        on_second[0] = x2
        count = 1
    return count, on_first, on_second


def steady_contacts() -> None:
    """Make MuJoCo-Warp's collision kernels work as above, those too that this process has built already."""
    if collision_convex.multicontact is _at_least_one:
        return
    collision_convex.multicontact = _at_least_one
    collision_gjk.FACE_TOL, collision_gjk.EDGE_TOL = math.cos(_PARALLEL), math.sin(_PARALLEL)
    builder = hash(collision_convex.ccd_kernel_builder.__name__)
    for key in [key for key in warp_util._KERNEL_CACHE if key[-1] == builder]:
        del warp_util._KERNEL_CACHE[key]
