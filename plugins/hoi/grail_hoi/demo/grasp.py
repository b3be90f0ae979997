"""Search for a grasp by trying it: a hand alone, its fingers driven by the closing primitive, lifts the object and sways it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from scipy.spatial.transform import Rotation

from grail_framework.robots.keyframes import min_jerk
from grail_framework.robots.puppet import GROUND, OBJECT, Puppet, PuppetScene, PuppetTrace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.robots.spec import RobotSpec
    from grail_hoi.demo.shapes import Shape

_CLOSE, _LIFT, _SWAY, _END = 16, 46, 70, 116
"""Frames at which a trial closes the hand, lifts it, sways it, and ends."""
_APPROACH: Final = 0.09
"""Way over which the hand comes to the object. [m]"""
PALM_DEPTH: Final = 0.021
"""From the palm link's axis to the surface of the palm. [m]"""
_CENTRINGS: Final = 3
_TOUCH: Final = 0.1
"""Force that counts as contact, the release's threshold. [N]"""
_MAX_SLIP: Final = 0.015
_MAX_MOVED: Final = 0.009
"""How far the object may move in the hand during the lift, and on its support while the hand closes. [m]"""
_SHIFTS: Final = ((0.004, 0.0), (-0.004, 0.0), (0.0, 0.004), (0.0, -0.004))
"""A grasp has to hold from these places too. [m]"""
_MAX_TILT: Final = 0.18
"""How far the object may turn while the hand closes. [rad]"""
_MAX_DEPTH: Final = 0.0045
"""Deepest penetration of hand and object. [m]"""


@attrs.frozen(kw_only=True, eq=False)
class Hint:
    """Where to start looking for a grasp; written for the right hand, the left one uses its mirror image."""

    turn: Rotation
    """Orientation of the palm link in the frame of the upright object."""
    offsets: tuple[tuple[float, float], ...]
    """Places of the object's axis in the palm's frame, along the fingers and off the palm [m], in the order of trying."""
    heights: tuple[float, ...]
    """Heights of the palm over the support, in the order of trying [m]."""
    approach: tuple[float, float, float] = (0.86, 0.51, 0.0)
    """Unit vector in the palm's frame along which the hand comes: by default into the open side between thumb and fingers."""


@attrs.frozen(kw_only=True, eq=False)
class Grasp:
    """A hand around an object that has been tried out."""

    side: str
    palm_pos: NDArray[np.float64]  # (3,) of the palm link in the object's frame, the object upright [m]
    palm_turn: Rotation
    approach: NDArray[np.float64]
    """(3,) unit vector along which the hand came, object frame."""
    points: NDArray[np.float64]  # (n, 3) contact points in the object's frame [m]
    shift: NDArray[np.float64]
    turn: Rotation
    """How far the object moves (3,) and turns while the hand closes, in its frame at rest. [m]"""
    links: tuple[str, ...]
    """Links that held it all the while."""
    score: float


class GraspSearch:
    """Trials of one hand on one object that stands on a flat support."""

    def __init__(self, robot: RobotSpec, side: str, shape: Shape) -> None:
        hand = hand_alone(robot, side)
        self._side, self._shape = side, shape
        self._mirror = 1.0 if side == "right" else -1.0
        self._links = hand.body_names
        self._puppet = Puppet(hand, PuppetScene(pieces=shape.corners, mass=shape.mass), self._links)
        self._open, self._closed = (finger_targets(robot, side, closed) for closed in (False, True))

    def find(self, hint: Hint) -> Grasp | None:
        """Try the hint's offsets and heights until all three fingertips hold, or return the best grasp that holds at all.

        A grasp counts only if it also holds when the hand is a little beside its place.
        """
        best: Grasp | None = None
        for height in hint.heights:
            for offset in hint.offsets:
                found = self._centred(hint, offset, height)
                if found is None or (best is not None and found.score <= best.score) or not self._is_robust(found):
                    continue
                best = found
                if best.score >= _TIPS:
                    return best
        return best

    def _is_robust(self, grasp: Grasp) -> bool:
        for x, y in _SHIFTS:
            trace, path = self._try(grasp.palm_pos + np.array([x, y, 0.0]), grasp.palm_turn, grasp.approach)
            if not self._holds(trace, path, moved=_MAX_MOVED + 2.0 * abs(x) + 2.0 * abs(y)):
                return False
        return True

    def _centred(self, hint: Hint, offset: tuple[float, float], height: float) -> Grasp | None:
        """Close the hand, move it by what the object moved, and try again: fingers that meet at once push nothing."""
        turn = hint.turn if self._side == "right" else mirrored(hint.turn)
        pos = -turn.apply([offset[0], self._mirror * offset[1], 0.0])
        pos[2] = height - self._shape.half_height
        best: Grasp | None = None
        for _ in range(_CENTRINGS):
            approach = turn.apply(np.array(hint.approach) * (1.0, self._mirror, 1.0))
            trace, path = self._try(pos, turn, approach)
            grasp = self._judge(trace, path, pos, turn, approach)
            if grasp is not None and (best is None or grasp.score > best.score):
                best = grasp
            if best is not None and best.score >= _GOOD:
                return best
            pos, turn = self._follow(trace, pos, turn)
        return best

    def _try(
        self, pos: NDArray[np.float64], turn: Rotation, approach: NDArray[np.float64]
    ) -> tuple[PuppetTrace, NDArray[np.float64]]:
        t = np.arange(_END, dtype=np.float64)
        path = np.tile(pos + np.array([0.0, 0.0, self._shape.half_height]), (_END, 1))
        path -= _APPROACH * (1.0 - min_jerk(t, 0, _CLOSE))[:, None] * approach
        path[:, 2] += 0.1 * min_jerk(t, _LIFT, _SWAY)
        path[:, 0] -= 0.05 * (min_jerk(t, _SWAY, _SWAY + 16) - min_jerk(t, _SWAY + 16, _SWAY + 32))
        quat = np.tile(turn.as_quat(scalar_first=True), (_END, 1))
        targets = np.where((t >= _CLOSE)[:, None], self._closed, self._open)
        rest = np.array([0.0, 0.0, self._shape.half_height, 1.0, 0.0, 0.0, 0.0])
        return self._puppet.play(path, quat, np.zeros((_END, 0)), targets, rest), path

    def _holds(self, trace: PuppetTrace, path: NDArray[np.float64], moved: float) -> bool:
        """Whether the object came along, was not pushed by more than `moved` [m], and the hand did not meet the support."""
        before, after = trace.object_pos[_LIFT - 1], trace.object_pos[-1]
        slip = np.linalg.norm((after - path[-1]) - (before - path[_LIFT - 1]))
        on_support = any(GROUND in pair and OBJECT not in pair for pair in trace.depth)
        touching = tuple(n for n, force in zip(self._links, trace.force[_LIFT:].min(axis=0), strict=True) if force > _TOUCH)
        pushed = np.linalg.norm(before - trace.object_pos[0])
        return bool(slip <= _MAX_SLIP and pushed <= moved and not on_support and _is_opposed(touching))

    def _judge(
        self,
        trace: PuppetTrace,
        path: NDArray[np.float64],
        pos: NDArray[np.float64],
        turn: Rotation,
        approach: NDArray[np.float64],
    ) -> Grasp | None:
        """Turn a trial into a grasp; None where the object was pushed, slipped or fell, or the hand met the support."""
        before, after, rest = trace.object_pos[_LIFT - 1], trace.object_pos[-1], trace.object_pos[0]
        moved = float(np.linalg.norm(before - rest))
        slip = float(np.linalg.norm((after - path[-1]) - (before - path[_LIFT - 1])))
        tilt = _angle(trace.object_quat[_LIFT - 1])
        held = trace.force[_LIFT:].min(axis=0) > _TOUCH
        links = tuple(name for name, touching in zip(self._links, held, strict=True) if touching)
        depth = max((deep for pair, (deep, _) in trace.depth.items() if OBJECT in pair and GROUND not in pair), default=0.0)
        on_support = any(GROUND in pair and OBJECT not in pair for pair in trace.depth)
        if slip > _MAX_SLIP or moved > _MAX_MOVED or tilt > _MAX_TILT or depth > _MAX_DEPTH or on_support:
            return None
        if not trace.points[_LIFT - 1] or not _is_opposed(links):
            return None
        return Grasp(
            side=self._side,
            palm_pos=pos,
            palm_turn=turn,
            approach=approach,
            points=np.array([point for _, point in trace.points[_LIFT - 1]]),
            shift=before - rest,
            turn=Rotation.from_quat(trace.object_quat[_LIFT - 1], scalar_first=True),
            links=links,
            score=_score(links) - 20.0 * slip - 40.0 * moved - tilt,
        )

    def _follow(self, trace: PuppetTrace, pos: NDArray[np.float64], turn: Rotation) -> tuple[NDArray[np.float64], Rotation]:
        """Move the palm, in the plane, so that the object as it settled would be the object at rest."""
        shift, quat = trace.object_pos[_LIFT - 1], trace.object_quat[_LIFT - 1]
        back = Rotation.from_euler("z", -_yaw(quat))
        moved = back.apply(pos - [shift[0], shift[1], 0.0])
        return np.array([moved[0], moved[1], pos[2]]), back * turn


_GOOD: Final = 3.6
"""Score of all tips and another link, hardly moved: centring ends."""
_TIPS: Final = 3.2
"""Score of all tips: the search ends."""


def _score(links: tuple[str, ...]) -> float:
    """Count holding links: a point for each fingertip, a fifth for any other."""
    tips = sum(name.endswith(("thumb_2_link", "index_1_link", "middle_1_link")) for name in links)
    return tips + 0.2 * (len(links) - tips) + 0.6


def _is_opposed(links: tuple[str, ...]) -> bool:
    """Whether the thumb and at least one finger hold, three links of them in all."""
    thumb = [name for name in links if "thumb" in name]
    fingers = [name for name in links if "index" in name or "middle" in name]
    return bool(thumb) and bool(fingers) and len(thumb) + len(fingers) >= 3


def hand_alone(robot: RobotSpec, side: str) -> RobotSpec:
    """Return a robot that is one hand of another: the palm as its root, no led joint."""
    palm = robot.hands[side].palm
    bodies = []
    names: set[str] = set()
    for body in robot.bodies:
        if body.name == palm:
            body = attrs.evolve(body, parent=None, pos=(0.0, 0.0, 0.0), quat=(1.0, 0.0, 0.0, 0.0), joint=None)
        elif body.parent not in names:
            continue
        names.add(body.name)
        bodies.append(body)
    joints = {body.joint.name for body in bodies if body.joint is not None}
    return attrs.evolve(
        robot,
        bodies=tuple(bodies),
        joint_names=tuple(name for name in robot.joint_names if name in joints),
        num_motion_joints=0,
        hands={},
        excluded_pairs=tuple(pair for pair in robot.excluded_pairs if names.issuperset(pair)),
    )


def finger_targets(robot: RobotSpec, side: str, closed: bool) -> NDArray[np.float64]:
    """Return a hand primitive's joint targets in the order of the robot's joints [rad]."""
    hand = robot.hands[side]
    action = dict(zip(hand.joints, hand.closed_action if closed else hand.open_action, strict=True))
    return np.array([j.default_pos + j.action_scale * action[j.name] for j in robot.joints if j.name in action])


def mirrored(turn: Rotation) -> Rotation:
    """Reflect an orientation in the x-z plane, as one goes from a right hand to a left one."""
    x, y, z, w = turn.as_quat()
    return Rotation.from_quat([-x, y, -z, w])


def _yaw(quat: NDArray[np.float64]) -> float:
    w, _, _, z = quat
    return float(2.0 * np.arctan2(z, w))


def _angle(quat: NDArray[np.float64]) -> float:
    return float(2.0 * np.arccos(np.clip(abs(quat[0]), 0.0, 1.0)))


def offsets(depth: float) -> tuple[tuple[float, float], ...]:
    """List places for an object's axis in the palm's frame, in the order of trying; `depth` is from the axis to the palm [m]."""
    return tuple((along, depth + gap) for gap in (0.004, 0.0, 0.010, 0.016) for along in (0.08, 0.07, 0.09, 0.06))
