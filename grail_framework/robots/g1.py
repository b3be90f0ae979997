"""The Unitree G1 as the GRAIL release simulates it: with Dex3-1 hands (43 actuated joints) and with rubber ones (29).

Kinematics and inertias are Unitree's (`g1_table`), collision shapes primitives fitted to its meshes (`g1_colliders`). Actuators,
default pose and hand primitives are those of the release's "Model 12": K = armature w^2 and D = 2 zeta armature w with
w = 2 pi 10 rad/s and zeta = 2 for the motors of the body, and an action scale of a quarter of effort / K.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Final

import attrs

from grail_framework.robots.g1_colliders import EXCLUDED_PAIRS, colliders, rubber_hand_colliders
from grail_framework.robots.g1_table import FRAMES, INERTIAS, JOINTS, MASSES, RUBBER_HAND_WRISTS
from grail_framework.robots.spec import BodySpec, HandSpec, JointSpec, RobotSpec

if TYPE_CHECKING:
    from grail_framework.robots.spec import ColliderSpec, Quat, Vec3

_NATURAL_FREQUENCY: Final = 2.0 * math.pi * 10.0  # [rad/s]
_DAMPING_RATIO: Final = 2.0
_ACTION_SHARE: Final = 0.25
"""Share of effort / stiffness that a unit of action moves the joint target by."""


@attrs.frozen(kw_only=True)
class _Motor:
    """What drives a joint."""

    armature: float  # [kg m^2]
    effort: float  # [N m]
    velocity: float  # [rad/s]
    stiffness: float  # [N m/rad]
    damping: float  # [N m s/rad]


def _body_motor(armature: float, effort: float, velocity: float) -> _Motor:
    return _Motor(
        armature=armature,
        effort=effort,
        velocity=velocity,
        stiffness=armature * _NATURAL_FREQUENCY**2,
        damping=2.0 * _DAMPING_RATIO * armature * _NATURAL_FREQUENCY,
    )


_MOTORS: Final[tuple[tuple[str, _Motor], ...]] = (
    (r".*_(hip_pitch|hip_roll|knee)_joint", _body_motor(0.025101925, 139.0, 20.0)),  # motor 7520-22
    (r".*_hip_yaw_joint|waist_yaw_joint", _body_motor(0.01017752, 88.0, 32.0)),  # motor 7520-14
    (r".*_ankle_(pitch|roll)_joint|waist_(roll|pitch)_joint", _body_motor(0.00721945, 50.0, 37.0)),  # two motors 5020
    (r".*_(shoulder_(pitch|roll|yaw)|elbow|wrist_roll)_joint", _body_motor(0.003609725, 25.0, 37.0)),  # motor 5020
    (r".*_wrist_(pitch|yaw)_joint", _body_motor(0.00425, 5.0, 22.0)),  # motor 4010
    (r".*_hand_thumb_0_joint", _Motor(armature=0.001, effort=2.45, velocity=6.857, stiffness=2.0, damping=0.1)),
    (r".*_hand_.*_joint", _Motor(armature=0.001, effort=1.4, velocity=12.0, stiffness=0.5, damping=0.1)),
)
"""Motor by joint name; the first pattern that matches the whole name counts."""

_DEFAULT_POSE: Final[tuple[tuple[str, float], ...]] = (
    (r".*_hip_pitch_joint", -0.312),
    (r".*_knee_joint", 0.669),
    (r".*_ankle_pitch_joint", -0.363),
    (r".*_elbow_joint", 0.6),
    (r".*_shoulder_pitch_joint", 0.2),
    (r"left_shoulder_roll_joint", 0.2),
    (r"right_shoulder_roll_joint", -0.2),
    (r".*", 0.0),
)
"""[rad]; the first pattern that matches the whole name counts."""

_HAND_JOINTS: Final = ("index_0", "index_1", "middle_0", "middle_1", "thumb_0", "thumb_1", "thumb_2")
_LEFT_CLOSED: Final = (-1.42857143, -2.14285714, -1.42857143, -2.14285714, 0.0, 1.0, 1.0)
"""Raw action that closes the left hand; the right hand's is its negative."""


@functools.cache
def g1_43dof() -> RobotSpec:
    """Describe the G1 with Dex3-1 hands: 43 joints, 46 links.

    Joints: the 29 of the body breadth first, left before right, as Isaac Lab orders them; then the 14 of the hands. The order of the
    latter is no part of any published file: they are assumed breadth first too, which is index_0, middle_0, thumb_0 of the left
    hand and of the right one, then index_1, middle_1, thumb_1 of each, then both thumb_2. Nothing depends on it but the place of
    finger joints in observations and actions; hand primitives name their joints.
    """
    return _describe("g1_43dof", hands=True)


@functools.cache
def g1_29dof() -> RobotSpec:
    """Describe the G1 with rubber hands: the 29 joints of the body in the same order, 30 links.

    The wrist's last link carries mass and shape of the rubber hand, as in Unitree's `g1_29dof_rev_1_0`.
    """
    return _describe("g1_29dof", hands=False)


def _describe(name: str, *, hands: bool) -> RobotSpec:
    joint_of = {link: joint for joint, (link, *_) in JOINTS.items() if hands or "_hand_" not in joint}
    shapes = colliders() if hands else colliders() | rubber_hand_colliders()
    links = [link for link in FRAMES if hands or "_hand_" not in link]
    tracked = ("hip_roll", "knee", "ankle_roll"), ("shoulder_roll", "elbow", "wrist_yaw")
    return RobotSpec(
        name=name,
        bodies=tuple(_body(link, joint_of.get(link), shapes.get(link, ()), hands=hands) for link in links),
        joint_names=tuple(joint_of.values()),
        num_motion_joints=29,
        anchor_body="pelvis",
        tracked_bodies=(
            "pelvis",
            *(f"{side}_{link}_link" for side in ("left", "right") for link in tracked[0]),
            "torso_link",
            *(f"{side}_{link}_link" for side in ("left", "right") for link in tracked[1]),
        ),
        end_effectors=("left_ankle_roll_link", "right_ankle_roll_link", "left_wrist_yaw_link", "right_wrist_yaw_link"),
        hands={"left": _hand("left", 1.0), "right": _hand("right", -1.0)} if hands else {},
        spawn_height=0.76,
        soft_limit_factor=0.9,
        excluded_pairs=tuple(pair for pair in EXCLUDED_PAIRS if set(pair) <= set(links)),
        source="unitree_ros g1_description, BSD-3-Clause; actuators of the GRAIL release's Model 12",
    )


def _body(link: str, joint: str | None, shapes: tuple[ColliderSpec, ...], *, hands: bool) -> BodySpec:
    parent, pos, rpy = FRAMES[link]
    mass, com, inertia = (*MASSES[link], INERTIAS[link])
    if not hands and link in RUBBER_HAND_WRISTS:
        mass, com, inertia = RUBBER_HAND_WRISTS[link]
    return BodySpec(
        name=link,
        parent=parent,
        pos=pos,
        quat=_quat_from_rpy(rpy),
        mass=mass,
        com=com,
        inertia=inertia,
        joint=_joint(joint) if joint is not None else None,
        colliders=shapes,
    )


def _joint(name: str) -> JointSpec:
    _, axis, lower, upper = JOINTS[name]
    motor = _first_match(_MOTORS, name)
    return JointSpec(
        name=name,
        axis=axis,
        lower=lower,
        upper=upper,
        stiffness=motor.stiffness,
        damping=motor.damping,
        armature=motor.armature,
        effort=motor.effort,
        velocity=motor.velocity,
        action_scale=_ACTION_SHARE * motor.effort / motor.stiffness,
        default_pos=_first_match(_DEFAULT_POSE, name),
    )


def _hand(side: str, sign: float) -> HandSpec:
    return HandSpec(
        joints=tuple(f"{side}_hand_{joint}_joint" for joint in _HAND_JOINTS),
        open_action=(0.0,) * len(_HAND_JOINTS),
        closed_action=tuple(sign * value for value in _LEFT_CLOSED),
        palm=f"{side}_hand_palm_link",
        thumb_tip=f"{side}_hand_thumb_2_link",
        index_tip=f"{side}_hand_index_1_link",
        middle_tip=f"{side}_hand_middle_1_link",
    )


def _first_match[T](table: tuple[tuple[str, T], ...], name: str) -> T:
    return next(value for pattern, value in table if re.fullmatch(pattern, name))


def _quat_from_rpy(rpy: Vec3) -> Quat:
    """Turn roll, pitch, yaw about the fixed axes x, y, z [rad], as URDF writes them, into a quaternion wxyz."""
    (cr, cp, cy), (sr, sp, sy) = ([f(0.5 * angle) for angle in rpy] for f in (math.cos, math.sin))
    return (
        cr * cp * cy + sr * sp * sy,
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
    )
