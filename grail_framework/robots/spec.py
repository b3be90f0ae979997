"""The table a robot is described by: links, joints, actuators, colliders, and the names training needs."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

import attrs

from grail_framework.errors import ConfigError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]


@attrs.frozen(kw_only=True)
class ColliderSpec:
    """A convex collision shape in its link's frame."""

    shape: str
    """box (half extents), sphere (radius), capsule or cylinder (radius, half length along z), mesh (no size)."""
    size: tuple[float, ...] = ()
    """[m]"""
    vertices: tuple[Vec3, ...] = attrs.field(default=(), repr=False)
    """Corners whose convex hull a mesh is; empty for the other shapes. [m]"""
    pos: Vec3 = (0.0, 0.0, 0.0)
    quat: Quat = (1.0, 0.0, 0.0, 0.0)


@attrs.frozen(kw_only=True)
class JointSpec:
    """A hinge with an implicit PD position actuator: torque = stiffness (target - q) - damping qd, bounded by effort."""

    name: str
    axis: Vec3
    lower: float
    """[rad]"""
    upper: float
    """[rad]"""
    stiffness: float
    """[N m/rad]"""
    damping: float
    """[N m s/rad]"""
    armature: float
    """[kg m^2]"""
    effort: float
    """[N m]"""
    velocity: float
    """[rad/s]"""
    action_scale: float
    """Joint target change per unit of action. [rad]"""
    default_pos: float = 0.0
    """[rad]"""


@attrs.frozen(kw_only=True)
class BodySpec:
    """A link: where it hangs in its parent, what it weighs, which joint moves it (None: fixed to the parent, or the floating root)."""

    name: str
    parent: str | None
    pos: Vec3 = (0.0, 0.0, 0.0)
    quat: Quat = (1.0, 0.0, 0.0, 0.0)
    mass: float = 0.0
    """[kg]"""
    com: Vec3 = (0.0, 0.0, 0.0)
    inertia: tuple[float, float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    """About the centre of mass in link axes: xx, yy, zz, xy, xz, yz. [kg m^2]"""
    joint: JointSpec | None = None
    colliders: tuple[ColliderSpec, ...] = ()


@attrs.frozen(kw_only=True)
class HandSpec:
    """A hand: its joints in the order of the primitives, and the raw actions that open and close it."""

    joints: tuple[str, ...]
    open_action: tuple[float, ...]
    closed_action: tuple[float, ...]
    """Before the joints' action scales."""
    palm: str
    thumb_tip: str
    index_tip: str
    middle_tip: str


@attrs.frozen(kw_only=True, slots=False)
class RobotSpec:
    """A robot. The order of `bodies` and of `joint_names` is the order of every tensor in the framework."""

    name: str
    bodies: tuple[BodySpec, ...]
    """The root first; a parent always before its children."""
    joint_names: tuple[str, ...]
    """Order of joint tensors; the `num_motion_joints` joints that motions describe come first."""
    num_motion_joints: int
    anchor_body: str
    tracked_bodies: tuple[str, ...]
    end_effectors: tuple[str, ...]
    hands: dict[str, HandSpec] = attrs.field(factory=dict)
    """By side, `left` and `right`; empty for a robot without hands."""
    spawn_height: float = 0.76
    """[m]"""
    soft_limit_factor: float = 0.9
    """Share of each joint's range that resets and the joint limit penalty respect. [-]"""
    self_collision: bool = True
    excluded_pairs: tuple[tuple[str, str], ...] = ()
    """Body pairs that never collide (besides parent and child)."""
    source: str = ""
    """Where the figures come from."""

    @cached_property
    def body_names(self) -> tuple[str, ...]:
        """Names of all bodies, in tensor order."""
        return tuple(body.name for body in self.bodies)

    @cached_property
    def joints(self) -> tuple[JointSpec, ...]:
        """All joints, in tensor order."""
        by_name = {body.joint.name: body.joint for body in self.bodies if body.joint is not None}
        return tuple(by_name[name] for name in self.joint_names)

    @property
    def num_joints(self) -> int:
        """Number of actuated joints."""
        return len(self.joint_names)

    def body_ids(self, names: Iterable[str]) -> list[int]:
        """Map body names to indices.

        Raises:
            ConfigError: a name that is no body of this robot; close matches are named.
        """
        return [self._index(name, self.body_names, "body") for name in names]

    def joint_ids(self, names: Iterable[str]) -> list[int]:
        """Map joint names to indices.

        Raises:
            ConfigError: a name that is no joint of this robot; close matches are named.
        """
        return [self._index(name, self.joint_names, "joint") for name in names]

    def match_bodies(self, patterns: Iterable[str]) -> tuple[str, ...]:
        """Resolve names or regular expressions (matched whole) to body names, in the order of the patterns, then of the robot.

        Raises:
            ConfigError: a pattern that matches no body.
        """
        found: list[str] = []
        for pattern in patterns:
            try:
                hits = [name for name in self.body_names if re.fullmatch(pattern, name)]
            except re.error as error:
                raise ConfigError(f"body pattern {pattern!r} is no regular expression: {error}") from error
            if not hits:
                raise ConfigError(f"robot {self.name!r} has no body {pattern!r}: {suggest(pattern, self.body_names)}")
            found.extend(name for name in hits if name not in found)
        return tuple(found)

    def _index(self, name: str, names: tuple[str, ...], what: str) -> int:
        if name not in names:
            raise ConfigError(f"robot {self.name!r} has no {what} {name!r}: {suggest(name, names)}")
        return names.index(name)
