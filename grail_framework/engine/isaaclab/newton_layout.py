"""Where robot, object and table lie in Newton's arrays: the same columns in every environment, found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from grail_framework.engine.isaaclab.scene import OBJECT, ROBOT, TABLE
from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_framework.robots.spec import RobotSpec

POSE_WIDTH = 7
"""Newton's transforms: position, then the quaternion as xyzw."""
WXYZ = (6, 3, 4, 5)
"""Columns of a transform that are its quaternion as wxyz."""
TWIST_WIDTH = 6
"""Newton's velocities: linear, of the centre of mass, then angular, both in world axes."""


@attrs.frozen(kw_only=True)
class NewtonLayout:
    """Positions within one environment's part of Newton's arrays."""

    coords: int
    """Joint coordinates of an environment."""
    dofs: int
    bodies: int
    joints: int
    articulations: int
    root_q: int
    """Where the root's seven coordinates start."""
    root_qd: int
    joint_q: tuple[int, ...]
    """Coordinate of each joint of the robot, in its order."""
    joint_qd: tuple[int, ...]
    links: tuple[int, ...]
    """Body of each link of the robot, in its order."""
    object_q: int | None
    """Where a dynamic object's coordinates start; None: no object, or a kinematic one."""
    object_qd: int | None
    object_body: int | None
    fixed_joints: dict[str, int]
    """Joint that holds each kinematic body, by prim name."""


def find_layout(model: Any, robot: RobotSpec, *, num_envs: int) -> NewtonLayout:
    """Find everything by name in the first environment of a Newton model.

    Raises:
        AssetError: a link or joint of the robot did not survive its conversion.
    """
    bodies, joints = model.body_count // num_envs, model.joint_count // num_envs
    body_of = _by_path(model.body_label[:bodies])
    joint_of = _by_path(model.joint_label[:joints])
    q_start, qd_start = model.joint_q_start.numpy(), model.joint_qd_start.numpy()
    links = _robot_part(body_of, robot.body_names, "link")
    hinges = _robot_part(joint_of, robot.joint_names, "joint")
    child = model.joint_child.numpy()[:joints]
    root = int(np.flatnonzero(child == links[0])[0])
    object_body = body_of.get((OBJECT,))
    fixed = {name: joint_of[path] for name in (OBJECT, TABLE) if (path := (name, "fixed")) in joint_of}
    free = None
    if object_body is not None and OBJECT not in fixed:
        free = int(np.flatnonzero(child == object_body)[0])
    return NewtonLayout(
        coords=model.joint_coord_count // num_envs,
        dofs=model.joint_dof_count // num_envs,
        bodies=bodies,
        joints=joints,
        articulations=model.articulation_count // num_envs,
        root_q=int(q_start[root]),
        root_qd=int(qd_start[root]),
        joint_q=tuple(int(q_start[index]) for index in hinges),
        joint_qd=tuple(int(qd_start[index]) for index in hinges),
        links=links,
        object_q=None if free is None else int(q_start[free]),
        object_qd=None if free is None else int(qd_start[free]),
        object_body=object_body,
        fixed_joints=fixed,
    )


def columns(starts: Sequence[int], offsets: Sequence[int]) -> list[int]:
    """Return the columns `start + offset` of every start, one start after the other."""
    return [start + offset for start in starts for offset in offsets]


def _by_path(labels: Sequence[str]) -> dict[tuple[str, ...], int]:
    """Index labels such as `/World/envs/env_0/Robot/.../pelvis` by their path below the environment."""
    return {tuple(label.split("/")[4:]): index for index, label in enumerate(labels)}


def _robot_part(found: dict[tuple[str, ...], int], names: Sequence[str], what: str) -> tuple[int, ...]:
    by_name = {path[-1]: index for path, index in found.items() if path and path[0] == ROBOT}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise AssetError(
            f"the robot's {what} {missing[0]!r} is not in the simulation after its conversion to USD ({len(missing)} missing); names may "
            "hold letters, digits and underscores only"
        )
    return tuple(by_name[name] for name in names)
