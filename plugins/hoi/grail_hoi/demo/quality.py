"""What a pick-up must keep to before it is written: balance, limits, clearances, and an object that follows in a simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from grail_framework.robots.balance import balance
from grail_framework.robots.keyframes import FPS
from grail_framework.robots.puppet import GROUND, OBJECT, TABLE, Puppet, PuppetScene
from grail_hoi.demo.grasp import finger_targets

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.spatial.transform import Rotation

    from grail_framework.robots.balance import Balance
    from grail_framework.robots.puppet import PuppetTrace
    from grail_framework.robots.spec import RobotSpec
    from grail_hoi.demo.draft import Draft

FEET: Final = ("left_ankle_roll_link", "right_ankle_roll_link")
MIN_MARGIN: Final = 0.015
"""Of the centre of pressure to the border of the support polygon. [m]"""
MAX_DEPTH: Final = 0.004
"""Of any two bodies. [m]"""
MAX_SOLE: Final = 0.004
"""How far a sole may leave the ground or its place. [m]"""
MAX_SPEED_SHARE: Final = 0.6
"""Of a motor's greatest speed. [-]"""
MAX_OBJECT_ERROR: Final = 0.03
"""Between the object as it is simulated and as it is written. [m]"""
MAX_MISS: Final = 0.003
"""Distance by which a palm may stay behind its path. [m]"""
MAX_GAP: Final = 3
"""Frames in a row in which a link may lift off while the object is carried. [-]"""
MIN_HELD: Final = 0.95
"""Share of the held frames in which thumb and fingers, three links in all, touch the object. [-]"""
_TOUCH: Final = 0.1
"""Force that counts as contact. [N]"""


@attrs.frozen(kw_only=True, eq=False)
class Trial:
    """A draft as the simulator plays it."""

    trace: PuppetTrace
    balance: Balance
    links: tuple[str, ...]
    object_pos: NDArray[np.float64]  # (T, 3) as written [m]
    object_quat: NDArray[np.float64]  # (T, 4)


def play(robot: RobotSpec, draft: Draft) -> Trial:
    """Lead the robot through a draft with the object free and the fingers driven by their motors."""
    links = tuple(name for side in ("left", "right") for name in robot.body_names if name.startswith(f"{side}_hand"))
    table = draft.table
    scene = PuppetScene(
        pieces=draft.shape.corners,
        mass=draft.shape.mass,
        table_size=None if table is None else draft.table_size,
        table_pos=(0.0, 0.0, 0.0) if table is None else _triple(table.pos),
        table_quat=(1.0, 0.0, 0.0, 0.0) if table is None else _quat(table.turn),
    )
    puppet = Puppet(robot, scene, links)
    track = draft.track
    columns = [track.joint_names.index(name) for name in puppet.led]
    pos, quat = draft.object_path({side: hand.palm for side, hand in robot.hands.items()})
    trace = puppet.play(
        track.root_pos,
        track.root_quat,
        track.joint_pos[:, columns],
        _targets(robot, draft, puppet),
        np.concatenate((pos[0], quat[0])),
    )
    return Trial(trace=trace, balance=balance(robot, track, FPS, FEET), links=links, object_pos=pos, object_quat=quat)


def reaches(draft: Draft) -> bool:
    """Whether the palms get where they should: the cheapest check, asked first."""
    return draft.reach <= MAX_MISS


def faults(robot: RobotSpec, draft: Draft, trial: Trial) -> list[str]:
    """Say what is wrong with a draft; nothing when it may be written."""
    found = []
    trace, stand = trial.trace, trial.balance
    if stand.margin.min() < MIN_MARGIN:
        found.append(f"centre of pressure {stand.margin.min():.3f} m inside at frame {stand.margin.argmin()}")
    soles = stand.soles
    if np.abs(soles[..., 2]).max() > MAX_SOLE or np.abs(soles[..., :2] - soles[:1, ..., :2]).max() > MAX_SOLE:
        found.append("a foot moves")
    deepest = max(trace.depth.items(), key=lambda item: item[1][0], default=None)
    if deepest is not None and deepest[1][0] > MAX_DEPTH:
        found.append(f"{' and '.join(deepest[0])} overlap by {deepest[1][0]:.3f} m at frame {deepest[1][1]}")
    found.extend(
        f"{' and '.join(pair)} touch at frame {frame}" for pair, (_, frame) in trace.depth.items() if _must_not_touch(pair)
    )
    speeds = np.abs(np.diff(draft.track.joint_pos, axis=0)).max(axis=0) * FPS
    limits = {joint.name: joint.velocity for joint in robot.joints}
    for name, speed in zip(draft.track.joint_names, speeds, strict=True):
        if speed > MAX_SPEED_SHARE * limits[name]:
            found.append(f"{name} turns at {speed:.1f} rad/s")
    error = np.linalg.norm(trace.object_pos - trial.object_pos, axis=1)
    if error.max() > MAX_OBJECT_ERROR:
        found.append(f"the object is off by {error.max():.3f} m at frame {error.argmax()}")
    for grasp in draft.grasps:
        found.extend(_grasp_faults(draft, trial, grasp.side))
    return found


def _must_not_touch(pair: tuple[str, str]) -> bool:
    """Whether a pair of bodies is one of the robot and the table, or of the object and a part of the robot that is no hand."""
    first, second = pair if pair[0] in (OBJECT, TABLE) else pair[::-1]
    if first == TABLE:
        return second != OBJECT
    return first == OBJECT and second not in (TABLE, GROUND) and "_hand_" not in second


def _grasp_faults(draft: Draft, trial: Trial, side: str) -> list[str]:
    held = np.flatnonzero(draft.held())
    columns = [i for i, name in enumerate(trial.links) if name.startswith(side) and "palm" not in name]
    touching = trial.trace.force[np.ix_(held, columns)] > _TOUCH
    thumb = np.array(["thumb" in trial.links[i] for i in columns])
    good = (touching.sum(axis=1) >= 3) & touching[:, thumb].any(axis=1) & touching[:, ~thumb].any(axis=1)
    gap = _longest_run(~good)
    if gap <= MAX_GAP and good.mean() >= MIN_HELD:
        return []
    return [f"the {side} hand has no grasp in {int((~good).sum())} of {len(held)} frames, {gap} in a row"]


def _longest_run(flags: NDArray[np.bool_]) -> int:
    """Return how many True stand in a row at most."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(int), [0]))))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _targets(robot: RobotSpec, draft: Draft, puppet: Puppet) -> NDArray[np.float64]:
    closed = draft.closed()
    targets = np.zeros((draft.num_frames, len(puppet.fingers)))
    for side, hand in robot.hands.items():
        columns = [i for i, name in enumerate(puppet.fingers) if name in hand.joints]
        shut, wide = (finger_targets(robot, side, flag) for flag in (True, False))
        when = closed.get(side, np.zeros(draft.num_frames, dtype=bool))
        targets[:, columns] = np.where(when[:, None], shut, wide)
    return targets


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = values
    return float(x), float(y), float(z)


def _quat(turn: Rotation) -> tuple[float, float, float, float]:
    w, x, y, z = turn.as_quat(scalar_first=True)
    return float(w), float(x), float(y), float(z)
