"""Collision shapes of the Unitree G1: primitives shaped like the links.

Capsules are least-squares fits to the convex hulls of the published link meshes (unitree_ros g1_description, BSD-3-Clause),
rounded to a millimetre, those of the torso no wider than its mesh; the palm and the sole, where flatness counts, are boxes at the
levels of the meshes. The root mean square distance between hull and shapes is below 9 mm on the torso, 7.5 mm on pelvis and legs,
5 mm on the arms, 3 mm on the palms and 2.5 mm on the fingers. Small links that others enclose (waist yaw and roll, ankle pitch) and
the top of the foot, which the shin's fork reaches around, have none. Only the left side is written down; the right one is its
mirror image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from grail_framework.robots.spec import ColliderSpec

if TYPE_CHECKING:
    from grail_framework.robots.spec import Quat, Vec3

_CENTRE: dict[str, tuple[tuple[Vec3, Vec3, float], ...]] = {
    "pelvis": (((0.0, 0.0, -0.089), (0.0, 0.0, -0.060), 0.069),),
    "torso_link": (
        ((0.004, -0.032, 0.055), (0.004, 0.032, 0.055), 0.066),
        ((0.005, -0.028, 0.142), (0.005, 0.028, 0.142), 0.075),
        ((0.003, -0.036, 0.234), (0.003, 0.036, 0.234), 0.072),
        ((-0.001, 0.0, 0.330), (0.008, 0.0, 0.420), 0.069),  # head, moved from the head link's frame
    ),
}
_LEFT: dict[str, tuple[tuple[Vec3, Vec3, float], ...]] = {
    "hip_pitch_link": (((0.001, 0.056, -0.038), (-0.002, 0.035, -0.010), 0.045),),
    "hip_roll_link": (((0.028, 0.0, -0.094), (0.043, 0.0, -0.014), 0.049),),
    "hip_yaw_link": (((-0.002, 0.0, -0.033), (-0.074, -0.009, -0.176), 0.050),),
    "knee_link": (
        ((0.012, 0.006, -0.010), (0.009, -0.001, -0.144), 0.045),
        ((0.009, 0.0, -0.178), (0.011, 0.0, -0.270), 0.033),
    ),
    "shoulder_pitch_link": (((0.0, 0.040, -0.018), (0.0, 0.026, 0.002), 0.037),),
    "shoulder_roll_link": (((0.0, 0.007, -0.065), (-0.001, 0.002, 0.001), 0.039),),
    "shoulder_yaw_link": (((0.001, 0.0, 0.003), (0.013, -0.007, -0.081), 0.037),),
    "elbow_link": (((0.074, 0.0, -0.011), (0.011, 0.015, -0.003), 0.031),),
    "wrist_roll_link": (((0.024, -0.005, 0.0), (0.024, 0.005, 0.0), 0.029),),
    "wrist_pitch_link": (((0.001, 0.0, 0.0), (0.046, 0.0, 0.0), 0.029),),
    "wrist_yaw_link": (((0.009, 0.0, 0.0), (0.020, 0.0, 0.0), 0.029),),
    "hand_thumb_0_link": (((0.0, -0.008, 0.0), (0.0, -0.019, 0.0), 0.012),),
    "hand_thumb_1_link": (((0.0, -0.008, 0.0), (-0.001, -0.043, 0.0), 0.014),),
    "hand_thumb_2_link": (((0.0, -0.003, 0.0), (-0.001, -0.039, 0.0), 0.011),),
    "hand_middle_0_link": (((0.008, 0.0, 0.0), (0.044, 0.001, 0.0), 0.014),),
    "hand_middle_1_link": (((0.003, 0.0, 0.0), (0.039, 0.001, 0.0), 0.011),),
    "hand_index_0_link": (((0.008, 0.0, 0.0), (0.044, 0.001, 0.0), 0.014),),
    "hand_index_1_link": (((0.003, 0.0, 0.0), (0.039, 0.001, 0.0), 0.011),),
}
"""Capsules: the two ends of the axis, and the radius [m]."""

_FOOT = (
    ColliderSpec(shape="box", size=(0.090, 0.031, 0.013), pos=(0.035, 0.0, -0.022)),
    ColliderSpec(shape="box", size=(0.054, 0.036, 0.008), pos=(0.084, 0.0, -0.023)),
)
"""The sole, from heel to toe ball and as wide as the published contact points, their lowest level 35 mm below the ankle; and the
full width and length of the toes, 4 mm above that level, so that flat ground is met by the sole alone."""
_LEFT_PALM = (
    ColliderSpec(shape="box", size=(0.034, 0.0196, 0.041), pos=(0.038, 0.0012, 0.0)),
    ColliderSpec(shape="box", size=(0.008, 0.015, 0.039), pos=(0.078, 0.004, 0.0)),
)
"""The hand's body with its palm 18.4 mm from the middle, as flat as the mesh's; and the knuckles, whose palm side lies back."""

_LEFT_RUBBER_HAND: tuple[Vec3, Vec3, float] = ((0.07, 0.0, 0.0), (0.15, -0.02, 0.0), 0.035)
"""Capsule of the rubber hand in the frame of the wrist's last link (mjlab's G1, Apache-2.0)."""

_EXCLUDED: tuple[tuple[str, str], ...] = (
    # The hull of the upper arm's first link reaches into the shoulder's recess in the torso; a short link is between them.
    ("{side}_shoulder_roll_link", "torso_link"),
    # Where wrist pitch and yaw are both near 90 degrees, even the hulls of the meshes meet; a short link is between them.
    ("{side}_wrist_roll_link", "{side}_wrist_yaw_link"),
    # The thumb is hinged inside the palm, on a swivel that is wholly in it.
    ("{side}_hand_palm_link", "{side}_hand_thumb_1_link"),
)

EXCLUDED_PAIRS: tuple[tuple[str, str], ...] = tuple(
    (first.format(side=side), second.format(side=side)) for side in ("left", "right") for first, second in _EXCLUDED
)
"""Links next but one in the chain whose shapes overlap though the links do not hinder each other."""


def colliders() -> dict[str, tuple[ColliderSpec, ...]]:
    """Return the collision shapes of each link that has any, in link frames."""
    found = {link: tuple(capsule_between(*capsule) for capsule in capsules) for link, capsules in _CENTRE.items()}
    for side, mirror in (("left", 1.0), ("right", -1.0)):
        for link, capsules in _LEFT.items():
            found[f"{side}_{link}"] = tuple(capsule_between(_flip(a, mirror), _flip(b, mirror), r) for a, b, r in capsules)
        found[f"{side}_ankle_roll_link"] = _FOOT
        found[f"{side}_hand_palm_link"] = tuple(attrs.evolve(box, pos=_flip(box.pos, mirror)) for box in _LEFT_PALM)
    return found


def rubber_hand_colliders() -> dict[str, tuple[ColliderSpec, ...]]:
    """Return the shapes of the wrist's last link where it carries a rubber hand: its own and the hand's."""
    found = {}
    for side, mirror in (("left", 1.0), ("right", -1.0)):
        start, end, radius = _LEFT_RUBBER_HAND
        hand = capsule_between(_flip(start, mirror), _flip(end, mirror), radius)
        link = f"{side}_wrist_yaw_link"
        found[link] = (*colliders()[link], hand)
    return found


def capsule_between(start: Vec3, end: Vec3, radius: float) -> ColliderSpec:
    """Make the capsule of a radius [m] around the segment between two points [m]."""
    axis = tuple(b - a for a, b in zip(start, end, strict=True))
    length = math.hypot(*axis)
    middle = (0.5 * (start[0] + end[0]), 0.5 * (start[1] + end[1]), 0.5 * (start[2] + end[2]))
    return ColliderSpec(
        shape="capsule",
        size=(radius, 0.5 * length),
        pos=middle,
        quat=_turn_z_to((axis[0] / length, axis[1] / length, axis[2] / length)),
    )


def _turn_z_to(direction: Vec3) -> Quat:
    """Return the shortest rotation (wxyz) that takes the z axis to a unit vector."""
    x, y, z = direction
    if z < -0.999999:
        return (0.0, 1.0, 0.0, 0.0)
    norm = math.sqrt(2.0 * (1.0 + z))
    return (0.5 * norm, -y / norm, x / norm, 0.0)


def _flip(point: Vec3, mirror: float) -> Vec3:
    return (point[0], mirror * point[1], point[2])
