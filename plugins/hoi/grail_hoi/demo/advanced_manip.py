"""Heavier objects that are lifted, tilted and set down turned: off a table with one hand, off the ground with both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial.transform import Rotation

from grail_framework.robots.keyframes import min_jerk, path, times, turns
from grail_hoi.demo.draft import Draft, Pose, Timing
from grail_hoi.demo.grasp import GraspSearch
from grail_hoi.demo.pnp_ground import beside, grasp_rack
from grail_hoi.demo.pnp_table import KINDS
from grail_hoi.demo.shapes import cylinder, rack
from grail_hoi.demo.stance import Stance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.robots.inverse_kinematics import InverseKinematics, RobotTrack
    from grail_framework.robots.spec import RobotSpec
    from grail_hoi.demo.grasp import Grasp

DENSITY: Final = 300.0
"""The release's object density of the manipulation tasks. [kg/m^3]"""
TABLE_SIZE: Final = (1.0, 0.6, 0.04)
"""The release's table of `advanced_manip_table`: width, depth, thickness. [m]"""
_OF_ONE_PIECE: Final = ("carton", "can", "cup", "barrel")
_TABLE_TIMING: Final = Timing(close=2.02, lift=2.7, open=5.45, free=6.05)
_GROUND_TIMING: Final = Timing(close=2.02, lift=2.7, open=5.35, free=5.95)
_BACK: Final = 0.08
"""How far off the grasp a hand waits and withdraws to. [m]"""
_ABOVE: Final = 0.03
"""How far above the grasp on a table it waits: arms that follow a reference with a spring sag below it. [m]"""
_SINK: Final = 0.30
"""How far the pelvis goes down to the ground. [m]"""
_LEAN: Final = 0.85
"""Pitch of the torso at the lowest point. [rad]"""


def draft_advanced_manip_table(
    robot: RobotSpec, solver: InverseKinematics, index: int, rng: np.random.Generator
) -> Draft | None:
    """Draft an object lifted off a table, tilted, and set down turned, with the right hand; None where no grasp is found."""
    shape, hint = KINDS[_OF_ONE_PIECE[index % len(_OF_ONE_PIECE)]](rng)
    shape = shape.of_density(DENSITY)
    grasp = GraspSearch(robot, "right", shape).find(hint)
    if grasp is None:
        return None
    edge, top = float(rng.uniform(0.285, 0.30)), float(rng.uniform(0.70, 0.76))
    spot = np.array([edge + rng.uniform(0.06, 0.09), rng.uniform(-0.20, -0.10), top + shape.half_height])
    yaw = float(rng.uniform(-0.05, 0.05)), float(rng.uniform(0.35, 0.5))
    before, after = yaw if index % 2 == 0 else yaw[::-1]
    rest = Pose(pos=spot, turn=Rotation.from_euler("z", before))
    place = Pose(pos=spot + np.array([*rng.uniform(-0.02, 0.02, 2), 0.0]), turn=Rotation.from_euler("z", after))
    table = Pose(
        pos=np.array([edge + 0.5 * TABLE_SIZE[1], 0.0, top - 0.5 * TABLE_SIZE[2]]),
        turn=Rotation.from_euler("z", 90, degrees=True),
    )
    lift, tilt = float(rng.uniform(0.13, 0.18)), float(rng.uniform(0.35, 0.6))
    track, reach = _over_table(robot, solver, grasp, (rest, place), edge=edge, lift=lift, tilt=tilt)
    return Draft(
        shape=shape,
        track=track,
        reach=reach,
        timing=_TABLE_TIMING,
        grasps=(grasp,),
        rest=rest,
        place=place,
        table=table,
        table_size=TABLE_SIZE,
    )


def _over_table(
    robot: RobotSpec,
    solver: InverseKinematics,
    grasp: Grasp,
    ends: tuple[Pose, Pose],
    *,
    edge: float,
    lift: float,
    tilt: float,
) -> tuple[RobotTrack, float]:
    """Solve for the robot's motion from one pose of the object to the other: up, tilted about the fingers, back, turned, down."""
    stance = Stance(solver)
    t = times(7.4)
    rest, place = ends
    hold = Pose(pos=grasp.palm_pos, turn=grasp.palm_turn)
    at_rest, at_place = rest * hold, place * hold
    home = stance.link(robot.hands["right"].palm)
    before = at_rest.pos - _BACK * rest.turn.apply(grasp.approach) + (0.0, 0.0, _ABOVE)
    after = at_place.pos - _BACK * place.turn.apply(grasp.approach)
    raised = np.array([edge - 0.26, home.pos[1] - 0.06, at_rest.pos[2] + 0.15])
    back = np.array([edge - 0.15, home.pos[1] - 0.06, at_place.pos[2] + 0.12])
    palm = path(
        t,
        home.pos,
        [
            (0.0, 0.8, raised),
            (0.65, 1.55, before),
            (1.45, 2.05, at_rest.pos),
            (3.9, 4.9, at_place.pos),
            (5.95, 6.55, after),
            (6.3, 7.3, back),
        ],
    )
    palm[:, 2] += lift * (min_jerk(t, 2.7, 3.6) - min_jerk(t, 4.5, 5.4))
    tilted = at_rest.turn * Rotation.from_euler("x", tilt)
    turn = turns(
        t,
        home.turn,
        [
            (0.15, 1.4, at_rest.turn),
            (3.0, 3.9, tilted),
            (3.8, 4.7, at_place.turn),
            (6.1, 7.2, grasp.palm_turn),
        ],
    )
    return stance.reach(t, {"right": (palm, turn)}, lean=0.4 * (min_jerk(t, 0.4, 1.6) - min_jerk(t, 6.0, 7.3)))


def draft_advanced_manip_ground(
    robot: RobotSpec, solver: InverseKinematics, index: int, rng: np.random.Generator
) -> Draft | None:
    """Draft a rack lifted off the ground with both hands, tilted, and set down turned; None without a grasp."""
    radius, height, width = (float(rng.uniform(*span)) for span in ((0.029, 0.033), (0.36, 0.40), (0.46, 0.52)))
    shape = rack("rack", radius, height, width).of_density(DENSITY)
    grasps = grasp_rack(robot, shape, cylinder("post", radius, height), width, beside(radius, rng))
    if grasps is None:
        return None
    rest = Pose(pos=np.array([rng.uniform(0.31, 0.35), 0.0, shape.half_height]), turn=Rotation.identity())
    yaw = float(rng.uniform(0.10, 0.18)) * (1.0 if index % 2 == 0 else -1.0)
    place = Pose(pos=rest.pos + np.array([rng.uniform(0.01, 0.03), 0.0, 0.0]), turn=Rotation.from_euler("z", yaw))
    tilt = float(rng.uniform(0.12, 0.2)) * (1.0 if index % 4 < 2 else -1.0)
    track, reach = _off_ground(robot, solver, grasps, (rest, place), lift=float(rng.uniform(0.16, 0.22)), tilt=tilt)
    return Draft(
        shape=shape,
        track=track,
        reach=reach,
        timing=_GROUND_TIMING,
        grasps=grasps,
        rest=rest,
        place=place,
    )


def _off_ground(
    robot: RobotSpec,
    solver: InverseKinematics,
    grasps: tuple[Grasp, ...],
    ends: tuple[Pose, Pose],
    *,
    lift: float,
    tilt: float,
) -> tuple[RobotTrack, float]:
    """Solve for the robot's motion from one pose of the object to the other: the palms keep their places on it all the way."""
    stance = Stance(solver)
    t = times(7.8)
    rest, place = ends
    pos = path(t, rest.pos, [(2.9, 3.9, rest.pos + np.array([0.06, 0.0, 0.0])), (4.2, 5.0, place.pos)])
    pos[:, 2] += lift * (min_jerk(t, 2.7, 3.7) - min_jerk(t, 4.3, 5.3))
    turn = Rotation.from_quat(
        turns(
            t,
            rest.turn,
            [(3.0, 4.0, Rotation.from_euler("y", tilt) * rest.turn), (3.9, 4.9, place.turn)],
        ),
        scalar_first=True,
    )
    palms = {}
    for grasp in grasps:
        palms[grasp.side] = _around(t, stance.link(robot.hands[grasp.side].palm), grasp, pos, turn)
    down = min_jerk(t, 0.2, 1.6) - 0.5 * (min_jerk(t, 2.75, 3.8) - min_jerk(t, 4.25, 5.3)) - min_jerk(t, 6.1, 7.6)
    return stance.reach(t, palms, lean=_LEAN * down, sink=_SINK * down)


def _around(
    t: NDArray[np.float64], home: Pose, grasp: Grasp, pos: NDArray[np.float64], turn: Rotation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lead a palm from its home to its place on an object that moves, and home again; positions (T, 3) and quaternions (T, 4)."""
    # Aside first and down after, or the hand would knock over what is as tall as its way is low; and so back.
    aside = min_jerk(t, 0.2, 0.9) - min_jerk(t, 6.6, 7.6)
    low = min_jerk(t, 0.4, 1.55) - min_jerk(t, 6.3, 7.4)
    off = _BACK * (1.0 - min_jerk(t, 1.45, 2.05) + min_jerk(t, 5.9, 6.5))
    share = np.stack((aside, aside, low), axis=1)
    held = pos + turn.apply(grasp.palm_pos) - off[:, None] * turn.apply(grasp.approach)
    palm = home.pos + share * (held - home.pos)
    goal = turn * grasp.palm_turn
    step = (goal * home.turn.inv()).as_rotvec()
    reached = min_jerk(t, 0.2, 1.4) - min_jerk(t, 6.4, 7.6)
    return palm, (Rotation.from_rotvec(reached[:, None] * step) * home.turn).as_quat(scalar_first=True)
