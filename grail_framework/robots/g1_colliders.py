"""Collision shapes of the Unitree G1: primitives shaped like the links.

Capsules are least-squares fits to the convex hulls of the published link meshes (unitree_ros g1_description, BSD-3-Clause),
rounded to a millimetre, those of the torso no wider than its mesh: the root mean square distance between hull and capsule is
below 9 mm on the torso and the legs and below 2.5 mm on the fingers. Small links that others enclose (waist yaw and roll, ankle
pitch) have none. Only the left side is written down; the right one is its mirror image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grail_framework.robots.spec import ColliderSpec

if TYPE_CHECKING:
    from grail_framework.robots.spec import Quat, Vec3

_CENTRE: dict[str, tuple[tuple[Vec3, Vec3, float], ...]] = {
    "pelvis": (((0.0, -0.004, -0.077), (0.0, 0.004, -0.077), 0.066),),
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
    "elbow_link": (((0.077, 0.0, -0.011), (0.011, 0.015, -0.003), 0.031),),
    "wrist_roll_link": (((0.024, -0.005, 0.0), (0.024, 0.005, 0.0), 0.029),),
    "wrist_pitch_link": (((-0.002, 0.0, 0.0), (0.047, 0.0, 0.0), 0.029),),
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

_SOLE = ColliderSpec(shape="box", size=(0.090, 0.031, 0.013), pos=(0.035, 0.0, -0.022))
"""From heel to toe ball and as wide as the published contact points, their lowest level 35 mm below the ankle."""
_PALM = ColliderSpec(shape="box", size=(0.040, 0.013, 0.040), pos=(0.044, 0.0, 0.0))

EXCLUDED_PAIRS: tuple[tuple[str, str], ...] = tuple(
    (f"{side}_{first}", second if second == "torso_link" else f"{side}_{second}")
    for side in ("left", "right")
    for first, second in (
        ("shoulder_roll_link", "torso_link"),
        ("elbow_link", "wrist_pitch_link"),
        ("wrist_roll_link", "wrist_yaw_link"),
        ("hand_palm_link", "hand_thumb_1_link"),
    )
)
"""Next but one in the chain, whose shapes overlap in most poses though the links never touch."""


def colliders() -> dict[str, tuple[ColliderSpec, ...]]:
    """Return the collision shapes of each link that has any, in link frames."""
    found = {link: tuple(capsule_between(*capsule) for capsule in capsules) for link, capsules in _CENTRE.items()}
    for side, mirror in (("left", 1.0), ("right", -1.0)):
        for link, capsules in _LEFT.items():
            found[f"{side}_{link}"] = tuple(capsule_between(_flip(a, mirror), _flip(b, mirror), r) for a, b, r in capsules)
        found[f"{side}_ankle_roll_link"] = (_SOLE,)
        found[f"{side}_hand_palm_link"] = (_PALM,)
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
