"""From a `RobotSpec` to MuJoCo's model specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import mujoco as _mujoco

from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.robots.spec import BodySpec, ColliderSpec, JointSpec, RobotSpec

mujoco: Any = _mujoco  # its extension modules carry no types

ROOT_JOINT: Final = "root"
"""Name of the free joint of the robot's root body."""

_SHAPES: Final = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "mesh": mujoco.mjtGeom.mjGEOM_MESH,
}


def build_robot(robot: RobotSpec) -> Any:
    """Make the `mujoco.MjSpec` of a robot alone: links, hinges, position actuators, colliders, a free root joint.

    Bodies, joints and actuators carry the names of the robot's table. MuJoCo orders bodies depth first, so map by name.

    Raises:
        AssetError: a collider of an unknown shape.
    """
    spec = mujoco.MjSpec()
    spec.modelname = robot.name
    spec.compiler.degree = False
    spec.compiler.autolimits = True
    made: dict[str, Any] = {}
    for body in robot.bodies:
        parent = spec.worldbody if body.parent is None else made[body.parent]
        made[body.name] = _add_body(spec, parent, body, robot)
    for joint in robot.joints:
        _add_actuator(spec, joint)
    for first, second in robot.excluded_pairs:
        spec.add_exclude(name=f"{first}-{second}", bodyname1=first, bodyname2=second)
    return spec


def write_mjcf(robot: RobotSpec, path: Path) -> Path:
    """Write a robot as an MJCF file, whole in itself: what other engines import, and what a viewer opens.

    Returns:
        The path.

    Raises:
        AssetError: a collider of an unknown shape.
    """
    spec = build_robot(robot)
    spec.compile()  # the writer needs what compilation settles
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(spec.to_xml(), encoding="utf-8")
    return path


def _add_body(spec: Any, parent: Any, body: BodySpec, robot: RobotSpec) -> Any:
    made = parent.add_body(name=body.name, pos=body.pos, quat=body.quat)
    if body.parent is None:
        made.add_freejoint(name=ROOT_JOINT)
    made.explicitinertial = True
    made.mass = body.mass
    made.ipos = body.com
    made.fullinertia = body.inertia
    if body.joint is not None:
        made.add_joint(
            name=body.joint.name,
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=body.joint.axis,
            range=(body.joint.lower, body.joint.upper),
            armature=body.joint.armature,
        )
    for index, collider in enumerate(body.colliders):
        _add_collider(spec, made, f"{body.name}-{index}", collider, robot)
    return made


def _add_collider(spec: Any, body: Any, name: str, collider: ColliderSpec, robot: RobotSpec) -> None:
    if collider.shape not in _SHAPES:
        raise AssetError(f"robot {robot.name!r}: collider {name!r} is a {collider.shape!r}; allowed: {', '.join(_SHAPES)}")
    if collider.shape == "mesh":
        spec.add_mesh(
            name=name,
            uservert=[coordinate for vertex in collider.vertices for coordinate in vertex],
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX,
        )
    body.add_geom(
        name=name,
        type=_SHAPES[collider.shape],
        meshname=name if collider.shape == "mesh" else "",
        size=(*collider.size, 0.0, 0.0, 0.0)[:3],
        pos=collider.pos,
        quat=collider.quat,
        # A pair collides where the type of one meets the affinity of the other: without a type of its own the robot still
        # meets the world, but not itself.
        contype=1 if robot.self_collision else 0,
        conaffinity=1,
        mass=0.0,
    )


def _add_actuator(spec: Any, joint: JointSpec) -> None:
    actuator = spec.add_actuator(
        name=joint.name,
        target=joint.name,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        forcelimited=mujoco.mjtLimited.mjLIMITED_TRUE,
        forcerange=(-joint.effort, joint.effort),
    )
    actuator.set_to_position(kp=joint.stiffness, kv=joint.damping)
