"""What no motion of a robot and an object does: checks of values that have the right shape.

Fatal is what can only be an error of the file; what a rare motion might do is reported and used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grail_framework.motion.clip import MotionClip, ObjectTrack
    from grail_framework.motion.findings import Findings
    from grail_framework.robots.spec import JointSpec, RobotSpec

_LIMIT_SLACK: Final = 0.05
"""How far beyond a joint's range a motion may go unmentioned: retargeted motions touch the ends. [rad]"""
_LIMIT_ORDER: Final = 0.2
"""How far beyond before another order of the joints is tried. [rad]"""
_LIMIT_BROKEN: Final = 1.0
"""How far beyond a joint's range no motion of this robot goes: other units or another joint order. [rad]"""
_FAST: Final = 8.0
"""Speed above which root or object are reported; a sprint is 10. [m/s]"""
_TELEPORT: Final = (20.0, 0.25)
"""Speed [m/s] and step [m] above which root or object were not moved but put elsewhere."""
_JOINT_JUMP: Final = (60.0, 0.8)
"""Joint speed [rad/s] and step [rad] no motor of the robot comes near (Unitree G1: up to 37 rad/s)."""
_TURN_JUMP: Final = (40.0, 0.8)
"""Turning speed [rad/s] and step [rad] of a root that flips rather than turns."""
_HEIGHTS: Final = (-0.05, 1.5, 5.0)
"""Root height [m] that the middle of a clip on flat ground is above, its lowest below, and its highest below."""
_STANDING: Final = 0.7
"""Share of its usual height above which a root is not that of a robot that lies down. [-]"""
_ARENA: Final = 100.0
"""Distance from the origin beyond which the unit is not the metre. [m]"""
_STILL: Final = 0.01
"""An object that moves less stands: terrain, whose frame may be anywhere. [m]"""
_BELOW_GROUND: Final = 0.5
"""How deep the frame of a moved object can be below the ground. [m]"""
_APART: Final = 5.0
"""Distance of robot and moved object over the whole clip that leaves nothing to do. [m]"""
_CONTACT_REACH: Final = (1.5, 3.0)
"""Distance of contact points from the object's origin that is reported, and that is an error. [m]"""
_TABLE_GAP: Final = (0.5, 1.0)
"""How far beside a table, and above or below it, an object can start. [m]"""
_TABLE_SIZE: Final = (1.0, 0.6, 0.04)
"""Table of files that give no size (GRAIL release). [m]"""


def check_joint_limits(found: Findings, clip: MotionClip, robot: RobotSpec) -> None:
    """Report joints beyond their range; far beyond it, another order or unit is the likely reason."""
    frame, index, worst = _worst_excess(clip.joint_pos, robot, clip.joint_names)
    if worst <= _LIMIT_SLACK:
        return
    joint, value = robot.joints[robot.joint_ids(clip.joint_names)[index]], float(clip.joint_pos[frame, index])
    reason = f"{joint.name} is at {value:.3f} rad, its range is [{joint.lower:.3f}, {joint.upper:.3f}]"
    order = _fitting_order(clip, robot) if worst > _LIMIT_ORDER else None
    if order is not None:
        reason += f"; all joints are in range if the file has them in {order}"
    elif worst > _LIMIT_BROKEN:
        reason += "; are the angles in degrees, or the joints in another order?"
    found.add(reason, frame=frame, fatal=order is not None or worst > _LIMIT_BROKEN)


def _worst_excess(joint_pos: np.ndarray, robot: RobotSpec, names: Sequence[str]) -> tuple[int, int, float]:
    joints: list[JointSpec] = [robot.joints[index] for index in robot.joint_ids(names)]
    lower, upper = np.array([joint.lower for joint in joints]), np.array([joint.upper for joint in joints])
    beyond = np.maximum(joint_pos - upper, lower - joint_pos)
    frame, index = (int(i) for i in np.unravel_index(int(beyond.argmax()), beyond.shape))
    return frame, index, float(beyond[frame, index])


def _fitting_order(clip: MotionClip, robot: RobotSpec) -> str | None:
    """Name the other usual order in which the columns of a clip are in range: breadth first (Isaac Lab) or depth first (MJCF)."""
    breadth = robot.joint_names[: robot.num_motion_joints]
    for what, order in (("the order of Isaac Lab", breadth), ("the order of the robot's MJCF", _depth_first(robot))):
        if order != clip.joint_names and _worst_excess(clip.joint_pos, robot, order)[2] <= _LIMIT_SLACK:
            return what
    return None


def _depth_first(robot: RobotSpec) -> tuple[str, ...]:
    moved = set(robot.joint_names[: robot.num_motion_joints])
    children: dict[str | None, list[int]] = {}
    for index, body in enumerate(robot.bodies):
        children.setdefault(body.parent, []).append(index)
    names: list[str] = []
    pending = list(reversed(children.get(None, [])))
    while pending:
        body = robot.bodies[pending.pop()]
        if body.joint is not None and body.joint.name in moved:
            names.append(body.joint.name)
        pending.extend(reversed(children.get(body.name, [])))
    return tuple(names)


def check_joint_jumps(found: Findings, clip: MotionClip) -> None:
    """Report a joint that moves from one frame to the next as no motor can."""
    steps = np.abs(np.diff(clip.joint_pos, axis=0))
    frame, joint = (int(i) for i in np.unravel_index(int(steps.argmax()), steps.shape))
    step = float(steps[frame, joint])
    if step > _JOINT_JUMP[1] and step * clip.fps > _JOINT_JUMP[0]:
        reason = f"{clip.joint_names[joint]} jumps by {step:.2f} rad from the frame before ({step * clip.fps:.0f} rad/s)"
        found.add(reason, frame=frame + 1, fatal=False)


def check_turns(found: Findings, what: str, quat: np.ndarray, fps: float, *, path: Path | None = None) -> None:
    """Report a rotation that flips; the sign of a quaternion means nothing."""
    turns = 2.0 * np.arccos(np.clip(np.abs((quat[1:] * quat[:-1]).sum(axis=-1)), 0.0, 1.0))
    if turns.size and turns.max() > _TURN_JUMP[1] and turns.max() * fps > _TURN_JUMP[0]:
        reason = f"{what} turns by {turns.max():.2f} rad from the frame before ({turns.max() * fps:.0f} rad/s)"
        found.add(reason, path=path, frame=int(turns.argmax()) + 1, fatal=False)


def check_steps(found: Findings, what: str, pos: np.ndarray, fps: float, *, path: Path | None = None) -> None:
    """Report a position that is put elsewhere, or moves faster than anything here does."""
    steps = np.linalg.norm(np.diff(pos, axis=0), axis=-1)
    if not steps.size:
        return
    frame = int(steps.argmax())
    step, speed = float(steps[frame]), float(steps[frame]) * fps
    reason = f"{what} moves by {step:.2f} m from the frame before ({speed:.0f} m/s)"
    if speed > _TELEPORT[0] and step > _TELEPORT[1]:
        found.add(f"{reason}: it jumps", path=path, frame=frame + 1)
    elif speed > _FAST:
        found.add(reason, path=path, frame=frame + 1, fatal=False)


def check_root_place(found: Findings, clip: MotionClip) -> None:
    """Report a root that is not where a robot is: other units, below the ground, in the air."""
    far = np.abs(clip.root_pos).max(axis=-1)
    if far.max() > _ARENA:
        frame = int(far.argmax())
        found.add(f"the root is {far[frame]:.0f} m from the origin; are positions in millimetres or centimetres?", frame=frame)
        return
    if clip.object is not None and not moves(clip.object):
        return  # on terrain, which may lead anywhere
    height = clip.root_pos[:, 2]
    low, floats, high = _HEIGHTS
    if np.mean(height < low) > 0.5:
        frame = int(height.argmin())
        found.add(f"the root is at a height of {height[frame]:.2f} m, below the ground of z = 0 in most frames", frame=frame)
    elif height.min() > floats or height.max() > high:
        frame = int(height.argmax())
        reason = f"the root is at a height of {height[frame]:.2f} m and never below {height.min():.2f} m: it floats"
        found.add(reason, frame=frame, fatal=bool(height.min() > floats))


def check_upright(found: Findings, clip: MotionClip, robot: RobotSpec) -> None:
    """Report a root that stands in xyzw and lies in wxyz, at the height of a standing robot."""
    stands, other = (np.mean(_up_z(quat) > 0.5) > 0.5 for quat in (clip.root_quat, np.roll(clip.root_quat, 1, axis=-1)))
    if other and not stands and np.mean(clip.root_pos[:, 2] > _STANDING * robot.spawn_height) > 0.5:
        found.add("root_quat lies down in wxyz and stands upright in xyzw, at the height of a standing robot: it is in xyzw")


def _up_z(quat: np.ndarray) -> np.ndarray:
    return 1.0 - 2.0 * (quat[:, 1] ** 2 + quat[:, 2] ** 2)


def moves(track: ObjectTrack) -> bool:
    """Say whether an object goes anywhere; what only stands is terrain or furniture."""
    return len(track.pos) > 1 and bool(np.ptp(track.pos, axis=0).max() > _STILL)


def check_object_place(found: Findings, clip: MotionClip, track: ObjectTrack) -> None:
    """Report a moved object below the ground, out of the world, or never near the robot."""
    far = np.abs(track.pos).max(axis=-1)
    if far.max() > _ARENA:
        frame = int(far.argmax())
        reason = f"the object is {far[frame]:.0f} m from the origin; are positions in millimetres or centimetres?"
        found.add(reason, path=track.path, frame=frame)
    elif moves(track):
        lowest = int(track.pos[:, 2].argmin())
        if track.pos[lowest, 2] < -_BELOW_GROUND:
            reason = f"the object is {-track.pos[lowest, 2]:.2f} m below the ground"
            found.add(reason, path=track.path, frame=lowest)
        shared = min(len(track.pos), len(clip.root_pos))
        gap = float(np.linalg.norm(track.pos[:shared] - clip.root_pos[:shared], axis=-1).min(initial=np.inf))
        if gap > _APART and shared and np.isfinite(gap):
            found.add(f"the object is never nearer to the robot than {gap:.1f} m", path=track.path, fatal=False)


def check_object_time(found: Findings, clip: MotionClip, track: ObjectTrack) -> None:
    """Report an object motion of another rate or length than the robot's; it stands still where it has ended."""
    if abs(track.fps - clip.fps) > 1e-3 * clip.fps:
        found.add(f"the object has {track.fps:g} frames per second, the robot {clip.fps:g}", path=track.path, fatal=False)
    robot, thing = (len(clip.root_pos) - 1) / clip.fps, (len(track.pos) - 1) / track.fps
    if len(track.pos) > 1 and thing < robot - max(0.1, 2.0 / clip.fps):
        reason = f"the object's motion lasts {thing:.2f} s, the robot's {robot:.2f} s"
        found.add(reason, path=track.path, frame=len(track.pos) - 1, fatal=thing < 0.5 * robot)


def check_contact_reach(found: Findings, track: ObjectTrack, hand: str, frames: np.ndarray, points: np.ndarray) -> None:
    """Report contact points (N, 3) of source frames (N,) that are not on the object."""
    far = np.linalg.norm(points, axis=-1)
    worst = int(far.argmax())
    if far[worst] > _CONTACT_REACH[0] and moves(track):
        reason = (
            f"a contact point of the {hand} hand is {far[worst]:.2f} m from the object's origin: points belong into its frame"
        )
        found.add(reason, path=track.path, frame=int(frames[worst]), fatal=bool(far[worst] > _CONTACT_REACH[1]))


def check_table_place(found: Findings, clip: MotionClip, *, fatal: bool) -> None:
    """Report an object that does not start on or at its table."""
    if clip.object is None or clip.table_pos is None or not len(clip.object.pos):
        return
    size = np.asarray(clip.table_size if clip.table_size is not None else _TABLE_SIZE, dtype=np.float64)
    gap = clip.object.pos[0] - clip.table_pos
    beside = float(np.hypot(gap[0], gap[1]) - 0.5 * np.hypot(size[0], size[1]))
    if beside > _TABLE_GAP[0] or abs(gap[2]) > _TABLE_GAP[1]:
        where = f"{beside:.2f} m beside it" if beside > _TABLE_GAP[0] else f"{abs(gap[2]):.2f} m above or below it"
        found.add(f"the object does not start at its table, but {where}", path=clip.meta, frame=0, fatal=fatal)
