"""Walking over a profile: footholds in turn, a centre of mass that the soles can carry, and the joints by inverse kinematics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from scipy.linalg import solve_banded
from scipy.ndimage import gaussian_filter1d, minimum_filter1d

from grail_framework.robots.balance import reaction, sole_corners
from grail_framework.robots.inverse_kinematics import LinkGoal
from grail_framework.robots.keyframes import FPS, min_jerk, times
from grail_framework.robots.standing import Standing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.robots.balance import Reaction
    from grail_framework.robots.inverse_kinematics import InverseKinematics, RobotTrack
    from grail_terrain.demo.profiles import Profile

FEET: Final = ("left_ankle_roll_link", "right_ankle_roll_link")
GRAVITY: Final = 9.81
_REST: Final = 0.4
"""Time within which the centre of mass begins and ends to move. [s]"""
_GAIN: Final = 0.8
_CORRECTIONS: Final = 9
"""Times that the centre of mass is moved by what inverse dynamics says its path missed."""
_COSTS: Final = (("shoulder", 2.0), ("elbow", 2.0), ("wrist", 2.0), ("hip_yaw", 1.0), ("waist", 1.0), ("", 0.05))
"""How much each kind of joint keeps to its posture; the first part of a name that fits counts. [1/rad]"""
_ARM_SWING: Final = 0.9
"""Of a shoulder, per distance of the feet. [rad/m]"""
_TOE_AND_HEEL: Final = 0.115
"""From the middle of the sole to the end of the foot, and some more. [m]"""
_LEG: Final = 0.585
"""From hip to ankle with the knee a little bent (0.45 rad). [m]"""
_HIP: Final = (0.1165, 0.151)
"""How far a hip is beside and an ankle below: from pelvis to hip across and, with the ankle over the foot link, down. [m]"""
_EASE: Final = 9
"""Frames by which the pelvis goes down before it has to. [-]"""
_MOST_MOVED: Final = 0.04
"""How far the points of pressure are moved at a time to make up for the limbs. [m]"""
_ENOUGH: Final = 0.01
"""How far off the middle of a sole that carries alone the pressure may be. [m]"""


@attrs.frozen(kw_only=True)
class Gait:
    """How a profile is walked over."""

    first: int
    """Foot that steps first: 0 left, 1 right."""
    swing: float = 0.58
    """Time a foot is in the air. [s]"""
    together: float = 0.14
    """Time between, on both feet. [s]"""
    start: float = 0.8
    end: float = 0.8
    """Time on both feet at either end. [s]"""
    shift: float = 0.55
    """The part of it in which the weight goes to one foot, or from it. [s]"""
    apart: float = 0.085
    """Of each foot from the middle of the way. [m]"""
    clearance: float = 0.03
    """Height of a swinging sole over what it passes. [m]"""
    heel_up: float = 0.5
    """Pitch of a foot that leaves: flat, the ankle could not follow. [rad]"""
    lean: float = 0.06
    """Pitch of the torso while walking, forward positive. [rad]"""


@attrs.frozen(kw_only=True, eq=False)
class Walk:
    """A walk over a profile; the robot starts over the origin and faces x."""

    profile: Profile
    track: RobotTrack
    stands: NDArray[np.bool_]  # (T, 2) when the left and the right foot carry weight
    wanted: Reaction


@attrs.frozen(kw_only=True, eq=False)
class _Steps:
    """Where the feet are over a walk."""

    t: NDArray[np.float64]  # (T,) [s]
    sole: NDArray[np.float64]  # (T, 2, 3) middle of each sole [m]
    pitch: NDArray[np.float64]  # (T, 2) [rad]
    stands: NDArray[np.bool_]  # (T, 2)
    weight: NDArray[np.float64]
    """(T,) share of the right foot in carrying the robot. [-]"""

    @property
    def carried(self) -> NDArray[np.float64]:
        """Middle between the soles, each as heavy as what it carries (T, 3) [m]."""
        return self.sole[:, 0] + self.weight[:, None] * (self.sole[:, 1] - self.sole[:, 0])


def walk(solver: InverseKinematics, profile: Profile, gait: Gait) -> Walk:
    """Make a walk over a profile.

    The centre of mass follows from where the soles are to be pressed, as for a point mass at the height of the pelvis; what the limbs'
    own motion changes about that is measured by inverse dynamics and taken off.

    Raises:
        DataError: no pose is found within the joint limits.
    """
    standing = Standing(solver, FEET)
    steps = _steps(profile, gait)
    goals = _foot_goals(solver, steps)
    over_pelvis = solver.pose((0.0, 0.0, 0.0))["com"]
    asked = steps.carried
    pressed, root = asked[:, :2].copy(), asked[:, :2] - over_pelvis[:2]
    alone = ~steps.stands.all(axis=1)
    left = _CORRECTIONS
    while True:
        pelvis = _pelvis_height(standing, goals, root)
        com = _centre_of_mass(pressed, pelvis + over_pelvis[2] - asked[:, 2], pelvis)
        track = _solve(standing, goals, steps, com, pelvis, gait)
        wanted = reaction(solver.robot, track, FPS, FEET)
        missed = asked[:, :2] - wanted.pressure(asked[:, 2])
        if left == 0 or np.abs(missed[alone]).max() < _ENOUGH:
            return Walk(profile=profile, track=track, stands=steps.stands, wanted=wanted)
        left -= 1
        pressed += _GAIN * gaussian_filter1d(np.clip(missed, -_MOST_MOVED, _MOST_MOVED), 1.5, axis=0, mode="nearest")
        root = gaussian_filter1d(track.root_pos[:, :2], 3.0, axis=0, mode="nearest")


def _steps(profile: Profile, gait: Gait) -> _Steps:
    cycle = gait.swing + gait.together
    swings = profile.strides + 1  # the last one brings the feet side by side
    t = times(gait.start + swings * cycle - gait.together + gait.end)
    sole, pitch = np.zeros((len(t), 2, 3)), np.zeros((len(t), 2))
    stands = np.ones((len(t), 2), dtype=bool)
    here = [profile.foothold(0), profile.foothold(0)]
    for foot in (0, 1):
        sole[:, foot], pitch[:, foot] = _placed(here[foot], foot, gait), here[foot][2]
    weight, carried = np.full(len(t), 0.5), 0.5
    lift = gait.start
    for swing in range(swings):
        foot = (gait.first + swing) % 2
        before, after = here[foot], profile.foothold(min(swing + 1, profile.strides))
        rest = 1.0 - foot  # the foot that stays carries it
        shift = lift - (gait.shift if swing == 0 else gait.together)
        weight += (rest - carried) * min_jerk(t, shift, lift)
        carried = rest
        late = t >= lift
        sole[late, foot], pitch[late, foot] = _swung(t[late] - lift, before, after, foot, profile, gait)
        stands[:, foot] &= ~((t > lift + 1e-9) & (t < lift + gait.swing - 1e-9))
        here[foot] = after
        lift += cycle
    down = lift - gait.together
    weight += (0.5 - carried) * min_jerk(t, down, down + gait.shift)
    return _Steps(t=t, sole=sole, pitch=pitch, stands=stands, weight=weight)


def _placed(foothold: tuple[float, float, float], foot: int, gait: Gait) -> tuple[float, float, float]:
    return foothold[0], gait.apart * (1 - 2 * foot), foothold[1]


def _swung(
    t: NDArray[np.float64],
    before: tuple[float, float, float],
    after: tuple[float, float, float],
    foot: int,
    profile: Profile,
    gait: Gait,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places (T, 3) [m] and pitches (T,) of a sole that leaves its foothold at time 0 and stays at the next."""
    s = np.clip(t / gait.swing, 0.0, 1.0)
    rise = float(np.clip((after[1] - before[1]) / 0.1, -1.0, 1.0))
    # What goes up has to be up before it goes ahead; what goes down has to be there before it goes down.
    up, down = max(rise, 0.0), max(-rise, 0.0)
    go, come = 0.16 + 0.12 * up - 0.08 * down, 0.84 + 0.08 * up - 0.12 * down
    x = before[0] + (after[0] - before[0]) * min_jerk(s, go, come)
    pitch = before[2] + (after[2] - before[2]) * min_jerk(s, 0.1, 0.9)
    pitch += gait.heel_up * (1.0 + 0.5 * rise) * (min_jerk(s, 0.0, 0.45) - min_jerk(s, 0.7 * go + 0.3 * come, come))
    z = before[1] + (after[1] - before[1]) * min_jerk(s, 0.3 * down, 1.0 - 0.3 * up)
    bump = (4.0 * s * (1.0 - s)) ** 3
    air = (s > 0.12) & (s < 0.88)
    least = profile.under_foot(x[air], pitch[air], _TOE_AND_HEEL) - z[air]
    z += bump * (gait.clearance + float((least / bump[air]).max()))
    return np.stack((x, np.full_like(x, gait.apart * (1 - 2 * foot)), z), axis=1), pitch


def _pelvis_height(standing: Standing, goals: list[LinkGoal], root: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return about the greatest heights (T,) of a pelvis over given places (T, 2) at which both knees are bent, smoothly [m]."""
    across, down = _HIP
    reach = np.full(len(root), np.inf)
    for side, goal in zip((1.0, -1.0), goals, strict=True):
        assert goal.pos is not None
        beside = np.sum((goal.pos[:, :2] - root - (0.0, side * across)) ** 2, axis=1)
        leg = np.sqrt(np.maximum(_LEG**2 - beside, 0.0))
        reach = np.minimum(reach, goal.pos[:, 2] + np.minimum(down + leg, standing.root[2] - standing.sole))
    return gaussian_filter1d(minimum_filter1d(reach, 2 * _EASE + 1, mode="nearest"), 0.6 * _EASE, mode="nearest")


def _centre_of_mass(
    pressed: NDArray[np.float64], high: NDArray[np.float64], pelvis: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the horizontal path (T, 2) of a point mass whose weight and inertia press on given points, at rest at both ends [m].

    x - h x'' / (g + z'') = p, with central differences: a banded system.

    Args:
        pressed: (T, 2) points [m].
        high: (T,) height of the mass over them [m].
        pelvis: (T,) whose acceleration upwards is the mass's [m].
    """
    rising = np.gradient(np.gradient(pelvis, 1.0 / FPS), 1.0 / FPS)
    share = high / (GRAVITY + rising) * FPS**2
    bands = np.zeros((3, len(high)))
    bands[0, 2:], bands[2, :-2] = -share[1:-1], -share[1:-1]
    bands[1] = 1.0 + 2.0 * share
    bands[1, [0, -1]] = 1.0
    path = solve_banded((1, 1), bands, pressed)
    # What little it moves at the ends already, or still, it does not.
    t = np.arange(len(path)) / FPS
    begun, over = min_jerk(t, 0.0, _REST)[:, None], min_jerk(t, t[-1] - _REST, t[-1])[:, None]
    return path + (1.0 - begun) * (pressed[0] - path) + over * (pressed[-1] - path)


def _foot_goals(solver: InverseKinematics, steps: _Steps) -> list[LinkGoal]:
    goals = []
    for foot, link in enumerate(FEET):
        corners = sole_corners(solver.robot, link)
        half, zero = 0.5 * steps.pitch[:, foot], np.zeros(len(steps.t))
        quat = np.stack((np.cos(half), zero, np.sin(half), zero), axis=1)
        x, _, z = corners.mean(axis=0)  # of the sole in the link's frame
        sin, cos = np.sin(steps.pitch[:, foot]), np.cos(steps.pitch[:, foot])
        pos = steps.sole[:, foot] - np.stack((cos * x + sin * z, zero, cos * z - sin * x), axis=1)
        goals.append(LinkGoal(link=link, pos=pos, quat=quat, pos_cost=300.0, ori_cost=80.0))
    return goals


def _solve(
    standing: Standing,
    goals: list[LinkGoal],
    steps: _Steps,
    com: NDArray[np.float64],
    pelvis: NDArray[np.float64],
    gait: Gait,
) -> RobotTrack:
    solver, t, end = standing.solver, steps.t, steps.t[-1]
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (len(t), 1))
    lean = 0.5 * gait.lean * (min_jerk(t, 0.0, gait.start) - min_jerk(t, end - gait.end, end))
    torso = np.stack((np.cos(lean), 0.0 * lean, np.sin(lean), 0.0 * lean), axis=1)
    height = np.column_stack((com, pelvis))
    posture = np.tile(solver.default_pos, (len(t), 1))
    ahead = _ARM_SWING * (steps.sole[:, 0, 0] - steps.sole[:, 1, 0])  # of the left foot: the right arm goes with it
    for side, sign in (("left", 1.0), ("right", -1.0)):
        posture[:, solver.joint_names.index(f"{side}_shoulder_pitch_joint")] += sign * ahead
    return solver.solve(
        [
            *goals,
            LinkGoal(link="pelvis", pos=height, quat=upright, pos_cost=(0.0, 0.0, 5.0), ori_cost=3.0),
            LinkGoal(link="torso_link", quat=torso, ori_cost=3.0),
        ],
        com=com,
        posture=posture,
        start=(float(com[0, 0]), float(com[0, 1]), float(pelvis[0])),
        com_cost=60.0,
        posture_cost=np.array([next(cost for part, cost in _COSTS if part in name) for name in solver.joint_names]),
    )
