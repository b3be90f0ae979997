"""A sole put on a convex mesh in many places, for the tests of collision detection."""

from __future__ import annotations

import mujoco
import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

HALF = (0.09, 0.031, 0.013)
"""Half the extent of the sole. [m]"""


def sole_on(points):
    """MuJoCo's model of a free sole and the hull of points (P, 3), which is a kinematic body."""
    spec = mujoco.MjSpec()
    spec.add_mesh(
        name="stone",
        uservert=points.astype(np.float32).ravel(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX,
    )
    spec.worldbody.add_body(name="stone", mocap=True).add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="stone")
    sole = spec.worldbody.add_body(name="sole")
    sole.add_freejoint()
    sole.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=HALF)
    return spec.compile()


def poses(points, count):
    """Poses (count, 7) of the sole up to 6 mm deep in the upper side of the hull of points, tilted against it by about a degree."""
    random = np.random.default_rng(1)
    planes = ConvexHull(points).equations
    upper = planes[planes[:, 2] > 1e-9]
    low, high = 0.8 * points.min(axis=0), 0.8 * points.max(axis=0)
    found = []
    while len(found) < count:
        x, y = random.uniform(low[:2], high[:2])
        heights = -(upper[:, :2] @ (x, y) + upper[:, 3]) / upper[:, 2]
        normal = upper[heights.argmin(), :3]
        if normal[2] < 0.97 or heights.min() < points[:, 2].mean():
            continue
        place = np.array([x, y, heights.min()]) + normal * (HALF[2] - random.uniform(2e-4, 6e-3))
        turn = Rotation.align_vectors([normal], [[0, 0, 1]])[0] * Rotation.from_euler(
            "zyx", [random.uniform(0.0, 2.0 * np.pi), *random.normal(0.0, 0.01, 2)]
        )
        found.append([*place, *turn.as_quat(scalar_first=True)])
    return np.array(found)
