"""Pick-ups from the ground: squat, close one hand or both, stand up with the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from scipy.spatial.transform import Rotation

from grail_framework.robots.keyframes import min_jerk, path, times, turns
from grail_hoi.demo.draft import Draft, Pose, Timing
from grail_hoi.demo.grasp import PALM_DEPTH, GraspSearch, Hint, offsets
from grail_hoi.demo.shapes import box, cylinder, rack
from grail_hoi.demo.stance import Stance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.robots.inverse_kinematics import InverseKinematics, RobotTrack
    from grail_framework.robots.spec import RobotSpec
    from grail_hoi.demo.grasp import Grasp
    from grail_hoi.demo.shapes import Shape

_DURATION: Final = 5.0
_TIMING: Final = Timing(close=2.02, lift=2.7)
_BACK: Final = 0.09
"""How far off the grasp a hand waits. [m]"""
_DEPTH: Final = 0.30
"""How far the pelvis goes down. [m]"""
_LEAN: Final = 0.85
"""Pitch of the torso at the lowest point. [rad]"""


def draft_pnp_ground(robot: RobotSpec, solver: InverseKinematics, index: int, rng: np.random.Generator) -> Draft | None:
    """Draft the pick-up of a canister or a block with the right hand, or of a rack with both; None without a grasp."""
    height = float(rng.uniform(0.36, 0.42))
    if index % 3 == 2:
        return _with_both(robot, solver, height, rng)
    radius = float(rng.uniform(0.029, 0.037))
    if index % 3 == 0:
        shape, depth = cylinder("canister", radius, height), radius
    else:
        x, y = float(rng.uniform(0.044, 0.058)), float(rng.uniform(0.050, 0.068))
        shape, depth = box("block", x, y, height), 0.5 * y
    grasp = GraspSearch(robot, "right", shape).find(beside(depth, rng))
    if grasp is None:
        return None
    spot = np.array([rng.uniform(0.27, 0.33), rng.uniform(-0.32, -0.24), shape.half_height])
    rest = Pose(pos=spot, turn=Rotation.from_euler("z", float(rng.uniform(-0.1, 0.2))))
    return _draft(robot, solver, shape, (grasp,), rest, rng)


def _with_both(robot: RobotSpec, solver: InverseKinematics, height: float, rng: np.random.Generator) -> Draft | None:
    """Grasp a rack by its posts, one in each hand."""
    radius, width = float(rng.uniform(0.029, 0.037)), float(rng.uniform(0.46, 0.54))
    shape = rack("rack", radius, height, width)
    grasps = grasp_rack(robot, shape, cylinder("post", radius, height), width, beside(radius, rng))
    if grasps is None:
        return None
    rest = Pose(pos=np.array([rng.uniform(0.30, 0.35), 0.0, shape.half_height]), turn=Rotation.identity())
    return _draft(robot, solver, shape, grasps, rest, rng)


def grasp_rack(robot: RobotSpec, shape: Shape, post: Shape, width: float, hint: Hint) -> tuple[Grasp, ...] | None:
    """Grasp a rack's posts, one in each hand, right first; None without a grasp.

    One hand could not hold the whole rack at its end; each is tried on a post of half the weight.
    """
    half = attrs.evolve(post, mass=0.5 * shape.mass)
    found = []
    for side, sign in (("right", -1.0), ("left", 1.0)):
        grasp = GraspSearch(robot, side, half).find(hint)
        if grasp is None:
            return None
        middle = np.array([0.0, sign * 0.5 * width, 0.0])
        # Two hands leave the rack where it is, where one would turn a post.
        held = attrs.evolve(grasp, shift=np.zeros(3), turn=Rotation.identity())
        found.append(attrs.evolve(held, palm_pos=grasp.palm_pos + middle, points=grasp.points + middle))
    return tuple(found)


def beside(depth: float, rng: np.random.Generator) -> Hint:
    """Grasp from the side, thumb up, about a forearm's length over the ground."""
    height = float(rng.uniform(0.25, 0.28))
    return Hint(turn=Rotation.identity(), offsets=offsets(depth + PALM_DEPTH), heights=(height,))


def _draft(
    robot: RobotSpec,
    solver: InverseKinematics,
    shape: Shape,
    grasps: tuple[Grasp, ...],
    rest: Pose,
    rng: np.random.Generator,
) -> Draft:
    if len(grasps) == 1:
        up = np.array([rng.uniform(-0.06, -0.02), rng.uniform(-0.03, 0.03), rng.uniform(0.35, 0.42)])
        past = 0.5 * up
    else:
        # What both hands carry is between the robot's knees and has to get past them.
        up = np.array([rng.uniform(-0.02, 0.02), 0.0, rng.uniform(0.46, 0.50)])
        past = np.array([rng.uniform(0.06, 0.08), 0.0, 0.22])
    track, reach = _move(robot, solver, grasps, rest, (past, up))
    return Draft(
        shape=shape,
        track=track,
        reach=reach,
        timing=_TIMING,
        grasps=grasps,
        rest=rest,
    )


def _move(
    robot: RobotSpec,
    solver: InverseKinematics,
    grasps: tuple[Grasp, ...],
    rest: Pose,
    lift: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[RobotTrack, float]:
    """Solve for the robot's motion: down, the palms to the object, up by way of the first point of `lift` to the second [m]."""
    stance = Stance(solver)
    t = times(_DURATION)
    down = min_jerk(t, 0.2, 1.6) - min_jerk(t, 2.75, 4.4)
    palms = {}
    for grasp in grasps:
        home = stance.link(robot.hands[grasp.side].palm)
        goal = rest * Pose(pos=grasp.palm_pos, turn=grasp.palm_turn)
        before = goal.pos - _BACK * rest.turn.apply(grasp.approach)
        moves = [
            # Aside first and down after, or the hand would knock over what is as tall as its way is low.
            (0.2, 0.9, [*before[:2], np.nan]),
            (0.4, 1.55, [np.nan, np.nan, before[2]]),
            (1.45, 2.05, goal.pos),
            (2.7, 4.0, goal.pos + lift[0]),
            (3.3, 4.7, goal.pos + lift[1]),
        ]
        palms[grasp.side] = (path(t, home.pos, moves), turns(t, home.turn, [(0.2, 1.4, goal.turn)]))
    return stance.reach(t, palms, lean=_LEAN * down, sink=_DEPTH * down)
