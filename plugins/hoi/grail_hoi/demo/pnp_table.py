"""Pick-ups from a table: reach, close, lift, carry, place elsewhere, open, withdraw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial.transform import Rotation

from grail_framework.robots.keyframes import min_jerk, path, times, turns
from grail_hoi.demo.draft import Draft, Pose, Timing
from grail_hoi.demo.grasp import PALM_DEPTH, GraspSearch, Hint, offsets
from grail_hoi.demo.shapes import ball, barrel, bottle, box, cup, cylinder
from grail_hoi.demo.stance import Stance

if TYPE_CHECKING:
    from collections.abc import Callable

    from grail_framework.robots.inverse_kinematics import InverseKinematics, RobotTrack
    from grail_framework.robots.spec import RobotSpec
    from grail_hoi.demo.grasp import Grasp
    from grail_hoi.demo.shapes import Shape

TABLE_SIZE: Final = (2.0, 0.6, 0.04)
"""The release's table of `pnp_table`: width, depth, thickness. [m]"""
_DURATION: Final = 6.3
_TIMING: Final = Timing(close=2.02, lift=2.7, open=4.35, free=4.95)
_FROM_ABOVE: Final = 0.26
"""How far the palm is turned down for a ball. [rad]"""
_BACK: Final = 0.08
"""How far off the grasp the hand waits and withdraws to. [m]"""
_ABOVE: Final = 0.03
"""How far above the grasp it waits: arms that follow a reference with a spring sag below it. [m]"""


def draft_pnp_table(robot: RobotSpec, solver: InverseKinematics, index: int, rng: np.random.Generator) -> Draft | None:
    """Draft the pick-up of an object of the kind that belongs to an index; None where no grasp is found."""
    kinds = tuple(KINDS)
    shape, hint = KINDS[kinds[index % len(kinds)]](rng)
    grasp = GraspSearch(robot, "right", shape).find(hint)
    if grasp is None:
        return None
    edge, top = float(rng.uniform(0.285, 0.30)), float(rng.uniform(0.70, 0.76))
    spot = np.array([edge + rng.uniform(0.06, 0.10), rng.uniform(-0.22, -0.06), top + shape.half_height])
    side = 1.0 if spot[1] < -0.14 else -1.0
    move = np.array([rng.uniform(-0.02, 0.02), side * rng.uniform(0.08, 0.16), 0.0])
    rest = Pose(pos=spot, turn=Rotation.from_euler("z", float(rng.uniform(-0.05, 0.45))))
    place = Pose(pos=spot + move, turn=Rotation.from_euler("z", float(rng.uniform(-0.05, 0.45))))
    table = Pose(
        pos=np.array([edge + 0.5 * TABLE_SIZE[1], 0.0, top - 0.5 * TABLE_SIZE[2]]),
        turn=Rotation.from_euler("z", 90, degrees=True),
    )
    lift = float(rng.uniform(0.10, 0.18))
    track, reach = _move(robot, solver, grasp, rest, place, edge=edge, lift=lift)
    return Draft(
        shape=shape,
        track=track,
        reach=reach,
        timing=_TIMING,
        grasps=(grasp,),
        rest=rest,
        place=place,
        table=table,
        table_size=TABLE_SIZE,
    )


def _move(
    robot: RobotSpec, solver: InverseKinematics, grasp: Grasp, rest: Pose, place: Pose, *, edge: float, lift: float
) -> tuple[RobotTrack, float]:
    """Solve for the robot's motion: the palm's path over the table, everything else in its service."""
    stance = Stance(solver)
    t = times(_DURATION)
    hold = Pose(pos=grasp.palm_pos, turn=grasp.palm_turn)
    at_rest, at_place = rest * hold, place * hold
    home = stance.link(robot.hands["right"].palm)
    before = at_rest.pos - _BACK * rest.turn.apply(grasp.approach) + (0.0, 0.0, _ABOVE)
    after = at_place.pos - _BACK * place.turn.apply(grasp.approach)
    raised = np.array([edge - 0.26, home.pos[1] - 0.06, at_rest.pos[2] + 0.15])
    back = np.array([edge - 0.15, home.pos[1] - 0.06, at_place.pos[2] + 0.12])
    up = lift * (min_jerk(t, 2.7, 3.5) - min_jerk(t, 3.55, 4.3))
    palm = path(
        t,
        home.pos,
        [
            (0.0, 0.8, raised),
            (0.65, 1.55, before),
            (1.45, 2.05, at_rest.pos),
            (2.85, 4.15, at_place.pos),
            (4.85, 5.45, after),
            (5.2, 6.2, back),
        ],
    )
    palm[:, 2] += up
    turn = turns(t, home.turn, [(0.15, 1.4, at_rest.turn), (2.85, 4.15, at_place.turn), (5.0, 6.1, grasp.palm_turn)])
    return stance.reach(t, {"right": (palm, turn)}, lean=0.4 * (min_jerk(t, 0.4, 1.6) - min_jerk(t, 4.9, 6.2)))


def _can(rng: np.random.Generator) -> tuple[Shape, Hint]:
    radius = float(rng.uniform(0.029, 0.037))
    shape = cylinder("can", radius, float(rng.uniform(0.11, 0.15)))
    return shape, _beside(shape, radius)


def _bottle(rng: np.random.Generator) -> tuple[Shape, Hint]:
    radius = float(rng.uniform(0.029, 0.036))
    shape = bottle("bottle", radius, float(rng.uniform(0.17, 0.21)))
    return shape, _beside(shape, radius)


def _carton(rng: np.random.Generator) -> tuple[Shape, Hint]:
    x, y, z = (float(rng.uniform(*span)) for span in ((0.043, 0.058), (0.050, 0.070), (0.12, 0.17)))
    shape = box("carton", x, y, z)
    return shape, _beside(shape, 0.5 * y)


def _cup(rng: np.random.Generator) -> tuple[Shape, Hint]:
    radius = float(rng.uniform(0.034, 0.039))
    shape = cup("cup", radius, float(rng.uniform(0.10, 0.12)))
    return shape, _beside(shape, 0.9 * radius)


def _barrel(rng: np.random.Generator) -> tuple[Shape, Hint]:
    radius = float(rng.uniform(0.033, 0.039))
    shape = barrel("barrel", radius, float(rng.uniform(0.11, 0.15)))
    return shape, _beside(shape, radius)


def _ball(rng: np.random.Generator) -> tuple[Shape, Hint]:
    radius = float(rng.uniform(0.039, 0.043))
    shape = ball("ball", radius)
    depth = radius + PALM_DEPTH
    # From a little above, the palm's axis through the middle: level with it the hand would graze the table.
    height = shape.half_height + depth * float(np.sin(_FROM_ABOVE))
    return shape, Hint(turn=Rotation.from_euler("x", -_FROM_ABOVE), offsets=offsets(depth), heights=(height, height + 0.006))


def _beside(shape: Shape, half_depth: float) -> Hint:
    """Grasp from the side, thumb up, the palm as high as the object's middle but clear of the table."""
    height = max(0.062, min(shape.half_height + 0.005, 0.085))
    return Hint(turn=Rotation.identity(), offsets=offsets(half_depth + PALM_DEPTH), heights=(height, height + 0.008))


KINDS: Final[dict[str, Callable[[np.random.Generator], tuple[Shape, Hint]]]] = {
    "can": _can,
    "carton": _carton,
    "bottle": _bottle,
    "cup": _cup,
    "barrel": _barrel,
    "ball": _ball,
}
