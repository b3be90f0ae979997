"""Motions on the spot made by inverse kinematics: weight shifts, steps, arm waves, turns of the torso; each varied by chance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from grail_framework.errors import DataError
from grail_framework.motion.clip import MotionClip
from grail_framework.robots.balance import balance
from grail_framework.robots.inverse_kinematics import LinkGoal
from grail_framework.robots.keyframes import FPS, min_jerk, path, times
from grail_framework.robots.puppet import Puppet, PuppetScene
from grail_framework.robots.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from grail_framework.robots.inverse_kinematics import InverseKinematics, RobotTrack

FEET: Final = ("left_ankle_roll_link", "right_ankle_roll_link")
_DURATION: Final = 6.0
_MIN_MARGIN: Final = 0.008
"""Of the centre of pressure to the border of the support polygon; a foot alone is 6 cm wide. [m]"""
_MAX_DEPTH: Final = 0.004
"""Of any two links. [m]"""
_MAX_SPEED_SHARE: Final = 0.6
"""Of a motor's greatest speed. [-]"""
_ATTEMPTS: Final = 10


@attrs.frozen(kw_only=True, eq=False)
class _Plan:
    """What a motion asks of the solver."""

    t: NDArray[np.float64]  # (T,) [s]
    com: NDArray[np.float64]
    """(T, 2) from its place in the default pose [m]."""
    posture: dict[str, NDArray[np.float64]] = attrs.field(factory=dict)
    """By joint, (T,) from the default pose [rad]."""
    lift: dict[str, NDArray[np.float64]] = attrs.field(factory=dict)
    """By foot, (T,) height over the ground [m]."""
    yaw: NDArray[np.float64] | None = None
    """(T,) of the torso [rad]."""
    sink: NDArray[np.float64] | None = None
    """(T,) how far the pelvis goes down [m]."""


def make_move(solver: InverseKinematics, index: int, seed: int) -> MotionClip:
    """Make the motion of an index; kinds take turns.

    Raises:
        DataError: none of several variations keeps its balance and clear of itself.
    """
    kinds = tuple(_KINDS)
    kind = kinds[(index - 1) % len(kinds)]
    standing = Standing(solver, FEET)
    problem = ""
    for attempt in range(_ATTEMPTS):
        track = _solve(standing, _KINDS[kind](np.random.default_rng([seed, index, attempt])))
        problem = _problem(solver, track)
        if not problem:
            return _clip(f"{kind}__{index:03d}", track)
    raise DataError(
        f"motion {index} ({kind}) of seed {seed}: none of {_ATTEMPTS} variations is good ({problem}); try another seed"
    )


def _solve(standing: Standing, plan: _Plan) -> RobotTrack:
    solver, frames = standing.solver, len(plan.t)
    posture = np.tile(solver.default_pos, (frames, 1))
    for joint, change in plan.posture.items():
        posture[:, solver.joint_names.index(f"{joint}_joint")] += change
    pelvis = np.tile(standing.root, (frames, 1))
    if plan.sink is not None:
        pelvis[:, 2] -= plan.sink
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1))
    half = 0.5 * (np.zeros(frames) if plan.yaw is None else plan.yaw)
    torso = np.stack((np.cos(half), 0.0 * half, 0.0 * half, np.sin(half)), axis=1)
    goals = [
        *standing.foot_goals(frames, plan.lift),
        LinkGoal(link="pelvis", pos=pelvis, quat=upright, pos_cost=(0.0, 0.0, 3.0), ori_cost=2.0),
        LinkGoal(link="torso_link", quat=torso, ori_cost=3.0),
    ]
    arms = [any(part in name for part in ("shoulder", "elbow", "wrist")) for name in solver.joint_names]
    return solver.solve(
        goals,
        com=standing.com + plan.com,
        posture=posture,
        start=standing.root.tolist(),
        posture_cost=np.where(arms, 2.0, 0.1),
    )


def _problem(solver: InverseKinematics, track: RobotTrack) -> str:
    """Say what is wrong with a motion, nothing when it is good."""
    margin = balance(solver.robot, track, FPS, FEET).margin.min()
    if margin < _MIN_MARGIN:
        return f"centre of pressure {margin:.3f} m inside"
    limits = {joint.name: joint.velocity for joint in solver.robot.joints}
    speed = np.abs(np.diff(track.joint_pos, axis=0)).max(axis=0) * FPS
    if any(v > _MAX_SPEED_SHARE * limits[name] for v, name in zip(speed, track.joint_names, strict=True)):
        return "a joint is too fast"
    puppet = Puppet(solver.robot, PuppetScene())
    columns = [track.joint_names.index(name) for name in puppet.led]
    targets = np.zeros((len(track.root_pos), len(puppet.fingers)))
    depth = puppet.play(track.root_pos, track.root_quat, track.joint_pos[:, columns], targets).depth
    deep = [f"{' and '.join(pair)} overlap by {value:.3f} m" for pair, (value, _) in depth.items() if value > _MAX_DEPTH]
    return deep[0] if deep else ""


def _clip(key: str, track: RobotTrack) -> MotionClip:
    return MotionClip(
        key=key,
        path=Path(f"{key}.pkl"),
        fps=FPS,
        joint_names=track.joint_names,
        root_pos=track.root_pos.astype(np.float32),
        root_quat=track.root_quat.astype(np.float32),
        joint_pos=track.joint_pos.astype(np.float32),
    )


def _weight_shift(rng: np.random.Generator) -> _Plan:
    """Lean over one foot, then over the other, and back, bending the knees a little."""
    t = times(_DURATION)
    way, first = float(rng.uniform(0.05, 0.08)), float(rng.choice([-1.0, 1.0]))
    com = path(t, [0.0, 0.0], [(0.2, 1.7, [0.0, first * way]), (2.0, 4.0, [0.0, -first * way]), (4.3, 5.8, [0.0, 0.0])])
    sink = float(rng.uniform(0.02, 0.06)) * (min_jerk(t, 0.3, 2.8) - min_jerk(t, 3.2, 5.7))
    return _Plan(t=t, com=com, sink=sink)


def _steps(rng: np.random.Generator) -> _Plan:
    """Lift one foot after the other, the centre of mass over the standing one meanwhile."""
    high, over = float(rng.uniform(0.04, 0.08)), 0.112
    feet = FEET if rng.random() < 0.5 else FEET[::-1]
    swing, half = float(rng.uniform(1.0, 1.3)), float(rng.uniform(1.2, 1.4))
    # From foot to foot is twice as far as from the middle: at this tempo the centre of pressure stays within the soles.
    starts = (0.2 + half, 0.2 + half + swing + 1.5 * half)
    end = starts[1] + swing
    t = times(end + half + 0.2)
    lift: dict[str, NDArray[np.float64]] = {}
    moves: list[tuple[float, float, list[float]]] = []
    now = 0.2
    for foot, start in zip(feet, starts, strict=True):
        moves.append((now, start, [0.0, -over if foot == FEET[0] else over]))
        now, middle = start + swing, start + 0.5 * swing
        lift[foot] = high * (min_jerk(t, start, middle) - min_jerk(t, middle, now))
    moves.append((end, end + half, [0.0, 0.0]))
    sink = 0.02 * (min_jerk(t, 0.2, 0.2 + half) - min_jerk(t, end, end + half))
    return _Plan(t=t, com=path(t, [0.0, 0.0], moves), lift=lift, sink=sink)


def _arm_waves(rng: np.random.Generator) -> _Plan:
    """Raise one arm or both and wave."""
    t = times(_DURATION)
    up = min_jerk(t, 0.3, 1.8) - min_jerk(t, 4.2, 5.7)
    sides = [("left",), ("right",), ("left", "right")][int(rng.integers(3))]
    beat = np.sin(2.0 * np.pi * float(rng.uniform(0.6, 1.0)) * (t - 1.8)) * (min_jerk(t, 1.8, 2.3) - min_jerk(t, 3.7, 4.2))
    posture: dict[str, NDArray[np.float64]] = {}
    for side in sides:
        sign = 1.0 if side == "left" else -1.0
        posture[f"{side}_shoulder_pitch"] = -float(rng.uniform(0.6, 1.1)) * up
        posture[f"{side}_shoulder_roll"] = sign * float(rng.uniform(0.4, 0.7)) * up
        posture[f"{side}_elbow"] = -float(rng.uniform(0.4, 0.8)) * up
        posture[f"{side}_shoulder_yaw"] = sign * float(rng.uniform(0.2, 0.4)) * beat
        posture[f"{side}_wrist_roll"] = sign * 0.4 * beat
    return _Plan(t=t, com=np.zeros((len(t), 2)), posture=posture)


def _turned_torso(rng: np.random.Generator) -> _Plan:
    """Turn the torso to one side and the other, the arms a little apart."""
    t = times(_DURATION)
    angle, first = float(rng.uniform(0.4, 0.8)), float(rng.choice([-1.0, 1.0]))
    yaw = path(t, [0.0], [(0.2, 1.7, [first * angle]), (2.0, 4.0, [-first * angle]), (4.3, 5.8, [0.0])])[:, 0]
    open_ = float(rng.uniform(0.2, 0.5)) * (min_jerk(t, 0.2, 1.5) - min_jerk(t, 4.5, 5.8))
    return _Plan(
        t=t,
        com=np.zeros((len(t), 2)),
        yaw=yaw,
        posture={"left_shoulder_roll": open_, "right_shoulder_roll": -open_},
    )


def _squat(rng: np.random.Generator) -> _Plan:
    """Go down, stretch the arms forward, come up."""
    t = times(_DURATION)
    down = min_jerk(t, 0.3, 2.4) - min_jerk(t, 3.2, 5.5)
    reach = -float(rng.uniform(0.5, 0.9)) * down
    return _Plan(
        t=t,
        com=np.zeros((len(t), 2)),
        sink=float(rng.uniform(0.10, 0.20)) * down,
        posture={"left_shoulder_pitch": reach, "right_shoulder_pitch": reach},
    )


_KINDS: Final[dict[str, Callable[[np.random.Generator], _Plan]]] = {
    "weight_shift": _weight_shift,
    "steps": _steps,
    "arm_waves": _arm_waves,
    "turned_torso": _turned_torso,
    "squat": _squat,
}
