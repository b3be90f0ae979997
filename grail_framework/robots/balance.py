"""Balance of a motion: where the ground would have to push, from inverse dynamics, and where the feet are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import mujoco as _mujoco
import numpy as np
from scipy.spatial import ConvexHull

from grail_framework.robots.builder import build_robot
from grail_framework.robots.inverse_kinematics import without_fingers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.robots.inverse_kinematics import RobotTrack
    from grail_framework.robots.spec import ColliderSpec, RobotSpec

mujoco: Any = _mujoco  # its extension modules carry no types

_STANDING = 0.003
"""Height of a sole's corner over the ground up to which it carries weight. [m]"""


@attrs.frozen(kw_only=True, eq=False)
class Reaction:
    """What a motion asks of the ground, by frame, and where the soles are that it could come through."""

    force: NDArray[np.float64]  # (T, 3) [N]
    moment: NDArray[np.float64]  # (T, 3) about the world's origin [N m]
    soles: NDArray[np.float64]  # (T, 2, corners, 3) corners of the left and the right sole, world frame [m]

    def pressure(self, height: float | NDArray[np.float64] = 0.0) -> NDArray[np.float64]:
        """Return the point (T, 2) of a level [m], one for all or one each, where the wrench has no horizontal moment."""
        force, moment = self.force, self.moment
        lever = np.column_stack((-moment[:, 1], moment[:, 0])) + np.reshape(height, (-1, 1)) * force[:, :2]
        return lever / force[:, 2:]


@attrs.frozen(kw_only=True, eq=False)
class Balance:
    """Balance of a motion by frame; the ground is at height 0."""

    pressure: NDArray[np.float64]  # (T, 2) centre of pressure [m]
    margin: NDArray[np.float64]
    """(T,) distance from the centre of pressure to the border of the support polygon, negative outside. [m]"""
    soles: NDArray[np.float64]  # (T, 2, corners, 3) corners of the left and the right sole, world frame [m]


def balance(robot: RobotSpec, track: RobotTrack, fps: float, feet: tuple[str, str]) -> Balance:
    """Compute where the centre of pressure is over a motion, and how far inside the support polygon.

    Inverse dynamics gives the wrench on the root that the ground has to make up for; the point of the ground where it has no
    horizontal moment is the centre of pressure (equal to the zero-moment point). Derivatives are central differences.

    Args:
        robot: the robot; its fingers are taken as rigid.
        track: the motion, T frames.
        fps: [1/s].
        feet: links of the left and the right foot.
    """
    wanted = reaction(robot, track, fps, feet)
    pressure, flat = wanted.pressure(), wanted.soles.reshape(len(wanted.soles), -1, 3)
    margin = [inside(point, soles[soles[:, 2] < _STANDING][:, :2]) for point, soles in zip(pressure, flat, strict=True)]
    return Balance(pressure=pressure, margin=np.array(margin), soles=wanted.soles)


def reaction(robot: RobotSpec, track: RobotTrack, fps: float, feet: tuple[str, str]) -> Reaction:
    """Compute the wrench that the ground has to give over a motion, by inverse dynamics; arguments as in `balance`."""
    spec = build_robot(without_fingers(robot))
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
    model = spec.compile()
    data = mujoco.MjData(model)
    qpos = _qpos(model, track)
    qvel, qacc = _derivatives(model, qpos, fps)
    corners = sole_corners(robot, feet[0]), sole_corners(robot, feet[1])
    frames = len(qpos)
    force, moment = np.zeros((frames, 3)), np.zeros((frames, 3))
    soles = np.zeros((frames, 2, len(corners[0]), 3))
    for frame in range(frames):
        data.qpos[:], data.qvel[:], data.qacc[:] = qpos[frame], qvel[frame], qacc[frame]
        mujoco.mj_inverse(model, data)
        force[frame], moment[frame] = _root_wrench(data)
        for side, foot in enumerate(feet):
            body = data.body(foot)
            soles[frame, side] = corners[side] @ body.xmat.reshape(3, 3).T + body.xpos
    return Reaction(force=force, moment=moment, soles=soles)


def inside(point: NDArray[np.float64], corners: NDArray[np.float64]) -> float:
    """Return the distance of a point (2,) to the border of the convex hull of points (n, 2); negative outside, -inf without area."""
    if len(corners) < 3 or np.linalg.matrix_rank(corners - corners.mean(axis=0), tol=1e-6) < 2:
        return -np.inf
    hull = ConvexHull(corners)
    return float(-(hull.equations[:, :2] @ point + hull.equations[:, 2]).max())


def sole_corners(robot: RobotSpec, foot: str) -> NDArray[np.float64]:
    """Return the lowest points (n, 3) of a foot's colliders in its own frame, those within a millimetre of the lowest [m]."""
    body = robot.bodies[robot.body_ids([foot])[0]]
    points = np.concatenate([_lowest(collider) for collider in body.colliders])
    return points[points[:, 2] < points[:, 2].min() + 1e-3]


def _lowest(collider: ColliderSpec) -> NDArray[np.float64]:
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, np.array(collider.quat))
    axes, centre = rotation.reshape(3, 3), np.array(collider.pos)
    if collider.shape == "box":
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        return (signs * np.array(collider.size)) @ axes.T + centre
    half = collider.size[1] if collider.shape in ("capsule", "cylinder") else 0.0
    ends = np.array([[0.0, 0.0, -half], [0.0, 0.0, half]]) @ axes.T + centre
    return ends - np.array([0.0, 0.0, collider.size[0]])


def _qpos(model: Any, track: RobotTrack) -> NDArray[np.float64]:
    qpos = np.zeros((len(track.root_pos), model.nq))
    qpos[:, :3], qpos[:, 3:7] = track.root_pos, track.root_quat
    qpos[:, [model.joint(name).qposadr[0] for name in track.joint_names]] = track.joint_pos
    return qpos


def _derivatives(model: Any, qpos: NDArray[np.float64], fps: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return velocities and accelerations (T, nv); the robot rests before the first and after the last frame."""
    steps = np.zeros((len(qpos) + 1, model.nv))
    for frame in range(1, len(qpos)):
        mujoco.mj_differentiatePos(model, steps[frame], 1.0 / fps, qpos[frame - 1], qpos[frame])
    return 0.5 * (steps[1:] + steps[:-1]), (steps[1:] - steps[:-1]) * fps


def _root_wrench(data: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the force on the root and its moment about the world's origin."""
    force = data.qfrc_inverse[:3].copy()
    # A free joint's moment is about the root's origin, in the root's axes.
    return force, data.xmat[1].reshape(3, 3) @ data.qfrc_inverse[3:6] + np.cross(data.xpos[1], force)
