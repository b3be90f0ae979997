"""Contact points of the hands on the object, from the distance between them.

Clips without finger motion show hands that hover around what they hold, so touch itself cannot be read off. A hand counts as in
contact where its palm's centre is nearer to the object's surface than `contact_distance`; the contact points are then the points of
the surface that are closest to the palm and to each finger link, as far as these are that near as well.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
import torch

from grail_framework.errors import ConfigError, DataError
from grail_framework.motion.preparation.bodies import body_poses
from grail_framework.robots.rotations import quat_apply, quat_apply_inverse, quat_normalize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.motion.clip import MotionClip
    from grail_framework.motion.preparation.surface import Surface
    from grail_framework.robots.spec import BodySpec, ColliderSpec, HandSpec, RobotSpec

CONTACT_DISTANCE: Final = 0.12
"""From the palm's centre to the object's surface. [m]"""
_SPACING: Final = 0.04
"""Largest distance between the points that stand for a link's shape: half a finger link, half a palm. [m]"""


@attrs.frozen(kw_only=True, eq=False)
class HandShape:
    """The links of one hand as points: those of a link lie on its shape, or inside at `radius` from its surface."""

    palm: int
    """Row of the palm among the robot's bodies."""
    palm_center: NDArray[np.float64]  # (3,) palm frame [m]
    bodies: NDArray[np.int64]  # (K,) body of each point
    points: NDArray[np.float64]  # (K, 3) in its body's frame [m]
    radii: NDArray[np.float64]  # (K,) [m]


def hand_shapes(robot: RobotSpec) -> dict[str, HandShape]:
    """Turn the colliders of palms and finger links into points, by hand.

    The palm's centre is that of its colliders, or the palm's origin where it has none.

    Raises:
        ConfigError: the robot has no hands.
    """
    if not robot.hands:
        raise ConfigError(f"robot {robot.name!r} has no hands, so there are no contact points; name another with --robot")
    return {side: _hand_shape(robot, hand) for side, hand in robot.hands.items()}


def find_contacts(
    clip: MotionClip, robot: RobotSpec, surface: Surface, *, contact_distance: float = CONTACT_DISTANCE
) -> dict[str, dict[int, NDArray[np.float32]]]:
    """Return contact points by hand and frame: (n, 3) in the object's frame [m]; frames without contact are absent.

    Args:
        clip: with an object of the robot's frame rate.
        robot: a robot with hands.
        surface: of the object, in its frame.
        contact_distance: between the palm's centre and the surface, and between a link's own surface and the object's [m].

    Raises:
        DataError: the clip has no object, or robot and object have different frame rates.
        ConfigError: the robot has no hands.
    """
    track = clip.object
    if track is None:
        raise DataError(f"{clip.path} (motion {clip.key!r}): no object motion, so no contacts can be found")
    if abs(track.fps - clip.fps) > 1e-6:
        raise DataError(
            f"{clip.path} (motion {clip.key!r}): robot at {clip.fps:g} fps, object at {track.fps:g}; contacts need one frame rate"
        )
    frames = min(len(track.pos), len(clip.root_pos))
    pos, quat = (torch.from_numpy(value[:frames]) for value in body_poses(clip, robot))
    object_pos = torch.from_numpy(np.array(track.pos[:frames], dtype=np.float64))
    object_quat = quat_normalize(torch.from_numpy(np.array(track.quat[:frames], dtype=np.float64)))
    contacts: dict[str, dict[int, NDArray[np.float32]]] = {}
    for side, hand in hand_shapes(robot).items():
        center = pos[:, hand.palm] + quat_apply(quat[:, hand.palm], torch.from_numpy(hand.palm_center))
        _, gap = surface.closest(quat_apply_inverse(object_quat, center - object_pos).numpy())
        near = np.flatnonzero(gap < contact_distance)
        links = torch.from_numpy(hand.bodies)
        points = pos[near][:, links] + quat_apply(quat[near][:, links], torch.from_numpy(hand.points))
        local = quat_apply_inverse(object_quat[near][:, None], points - object_pos[near][:, None]).numpy()
        contacts[side] = dict(zip(near.tolist(), _link_contacts(local, hand, surface, contact_distance), strict=True))
    return contacts


def _link_contacts(
    local: NDArray[np.float64], hand: HandShape, surface: Surface, contact_distance: float
) -> list[NDArray[np.float32]]:
    """Return the contact points of each frame from the hand's points (T, K, 3) in the object's frame; the nearest link always has one."""
    frames, count = local.shape[:2]
    closest, gap = surface.closest(local.reshape(-1, 3))
    closest, gap = closest.reshape(frames, count, 3), gap.reshape(frames, count) - hand.radii
    columns = [np.flatnonzero(hand.bodies == body) for body in dict.fromkeys(hand.bodies.tolist())]
    best = np.stack([own[gap[:, own].argmin(axis=1)] for own in columns], axis=1)
    gap = np.take_along_axis(gap, best, axis=1)
    closest = np.take_along_axis(closest, best[..., None], axis=1)
    kept = (gap < contact_distance) | (gap == gap.min(axis=1, keepdims=True))
    return [closest[frame, kept[frame]].astype(np.float32) for frame in range(frames)]


def _hand_shape(robot: RobotSpec, hand: HandSpec) -> HandShape:
    palm = robot.body_ids([hand.palm])[0]
    fingers = [index for index, body in enumerate(robot.bodies) if body.joint is not None and body.joint.name in hand.joints]
    parts = [(index, *_body_points(robot.bodies[index])) for index in (palm, *fingers)]
    colliders = robot.bodies[palm].colliders
    center = np.mean([_collider_points(shape)[0].mean(axis=0) for shape in colliders], axis=0) if colliders else np.zeros(3)
    return HandShape(
        palm=palm,
        palm_center=np.asarray(center, dtype=np.float64),
        bodies=np.concatenate([np.full(len(points), index) for index, points, _ in parts]),
        points=np.concatenate([points for _, points, _ in parts]),
        radii=np.concatenate([radii for _, _, radii in parts]),
    )


def _body_points(body: BodySpec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points of a body's colliders (its origin where it has none) in its frame, and how far inside the surface they lie."""
    if not body.colliders:
        return np.zeros((1, 3)), np.zeros(1)
    parts = [_collider_points(shape) for shape in body.colliders]
    return np.concatenate([points for points, _ in parts]), np.concatenate([np.full(len(points), r) for points, r in parts])


def _collider_points(shape: ColliderSpec) -> tuple[NDArray[np.float64], float]:
    if shape.shape == "box":
        axes = [np.linspace(-half, half, _steps(2.0 * half)) for half in shape.size]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        points = grid[(np.abs(np.abs(grid) - np.array(shape.size)) < 1e-9).any(axis=1)]
        radius = 0.0
    elif shape.shape == "mesh":
        points, radius = np.asarray(shape.vertices, dtype=np.float64), 0.0
    else:
        # A cylinder counts as the capsule around its axis.
        half = shape.size[1] if shape.shape in ("capsule", "cylinder") else 0.0
        heights = np.linspace(-half, half, _steps(2.0 * half))
        points = np.stack((np.zeros_like(heights), np.zeros_like(heights), heights), axis=-1)
        radius = shape.size[0]
    turned = quat_apply(torch.tensor(shape.quat, dtype=torch.float64), torch.from_numpy(points)).numpy()
    return turned + np.array(shape.pos), radius


def _steps(length: float) -> int:
    return max(2, math.ceil(length / _SPACING)) + 1 if length > 0.0 else 1
