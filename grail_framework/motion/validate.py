"""Checks of a clip before it is used: what a reader returned, against the robot and what the task needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from grail_framework.motion.clip import HANDS, MotionClip
from grail_framework.motion.faults import BadClipError, BadClipReport, ClipFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from grail_framework.robots.spec import RobotSpec

__all__ = ["BadClipError", "BadClipReport", "ClipFault", "Needs", "check_clip", "check_library"]

_UNIT_TOLERANCE = 0.01
_LIMIT_SLACK = 0.05
"""How far beyond a joint's range a motion may go unmentioned: retargeted motions touch the ends. [rad]"""
_LIMIT_BROKEN = 1.0
"""How far beyond a joint's range no motion of this robot goes: other units or another joint order. [rad]"""
_FPS_RANGE = (1.0, 1000.0)


@attrs.frozen(kw_only=True)
class Needs:
    """What a task's scene asks of every motion."""

    object: bool = False
    table: bool = False


class _Findings:
    """Faults of one clip as they are found."""

    def __init__(self, clip: MotionClip) -> None:
        self._clip = clip
        self.faults: list[ClipFault] = []

    def add(self, reason: str, *, frame: int | None = None, fatal: bool = True) -> None:
        self.faults.append(ClipFault(path=self._clip.path, key=self._clip.key, frame=frame, reason=reason, fatal=fatal))

    def array(self, what: str, value: np.ndarray, *shape: int | None) -> bool:
        """Check shape and finiteness; say whether further checks of the values make sense."""
        if value.ndim != len(shape) or any(want is not None and want != n for want, n in zip(shape, value.shape, strict=True)):
            wanted = ", ".join("T" if n is None else str(n) for n in shape)
            self.add(f"{what} has the shape {value.shape}, allowed: ({wanted})")
            return False
        if not np.isfinite(value).all():
            self.add(f"{what} holds NaN or infinity", frame=int(np.argwhere(~np.isfinite(value))[0][0]))
            return False
        return True

    def quaternions(self, what: str, quat: np.ndarray, *shape: int | None) -> None:
        """Check that quaternions are finite and of unit length."""
        if self.array(what, quat, *shape):
            off = np.atleast_1d(np.abs(np.linalg.norm(quat, axis=-1) - 1.0))
            if off.size and off.max() > _UNIT_TOLERANCE:
                frame = int(off.argmax())
                self.add(f"{what} is no unit quaternion (length off by {off[frame]:.3g})", frame=frame)

    def rate(self, what: str, fps: float) -> None:
        """Check a frame rate."""
        if not _FPS_RANGE[0] <= fps <= _FPS_RANGE[1]:
            self.add(f"{what} is {fps:g}, allowed: {_FPS_RANGE[0]:g} to {_FPS_RANGE[1]:g} frames per second")


def check_clip(clip: MotionClip, robot: RobotSpec, needs: Needs) -> list[ClipFault]:
    """Return all that is wrong with a clip; a fault that is not fatal leaves the clip usable."""
    found = _Findings(clip)
    found.rate("fps", clip.fps)
    _check_robot_motion(found, clip, robot)
    _check_object(found, clip, needs)
    _check_table(found, clip, needs)
    if clip.hand_action is not None:
        found.array("hand_action", clip.hand_action, len(clip.root_pos), len(HANDS))
    if clip.bps is not None:
        found.array("bps", clip.bps, None)
    return found.faults


def check_library(clips: Sequence[MotionClip]) -> list[ClipFault]:
    """Return what is odd about the clips together: keys that some have and others lack. None of it is fatal."""
    faults: list[ClipFault] = []
    with_object = [clip for clip in clips if clip.object is not None]
    faults += _partial(clips, "hand actions", lambda clip: clip.hand_action is not None)
    faults += _partial(clips, "a basis point set", lambda clip: clip.bps is not None)
    faults += _partial(clips, "an object motion", lambda clip: clip.object is not None)
    faults += _partial(
        with_object, "contact points", lambda clip: clip.object is not None and clip.object.contact_points is not None
    )
    return faults


def _partial(clips: Sequence[MotionClip], what: str, has: Callable[[MotionClip], bool]) -> Iterable[ClipFault]:
    lacking = [clip for clip in clips if not has(clip)]
    if not 0 < len(lacking) < len(clips):
        return []
    reason = f"has no {what.removeprefix('a ').removeprefix('an ')}, which {len(clips) - len(lacking)} other motions have"
    return [ClipFault(path=clip.path, key=clip.key, reason=reason, fatal=False) for clip in lacking]


def _check_robot_motion(found: _Findings, clip: MotionClip, robot: RobotSpec) -> None:
    frames = len(clip.root_pos)
    if frames < 2:
        found.add(f"has {frames} frames, allowed: at least 2")
    found.array("root_pos", clip.root_pos, None, 3)
    found.quaternions("root_quat", clip.root_quat, frames, 4)
    wanted = robot.joint_names[: robot.num_motion_joints]
    missing = [name for name in wanted if name not in clip.joint_names]
    unknown = [name for name in clip.joint_names if name not in wanted]
    if missing or unknown:
        found.add(
            f"has {len(clip.joint_names)} joints, the motions of {robot.name!r} have {len(wanted)}"
            + (f"; missing: {', '.join(missing[:4])}" if missing else "")
            + (f"; unknown: {', '.join(unknown[:4])}" if unknown else "")
        )
    elif found.array("joint_pos", clip.joint_pos, frames, len(clip.joint_names)) and frames:
        _check_joint_limits(found, clip, robot)


def _check_joint_limits(found: _Findings, clip: MotionClip, robot: RobotSpec) -> None:
    joints = [robot.joints[index] for index in robot.joint_ids(clip.joint_names)]
    lower, upper = np.array([joint.lower for joint in joints]), np.array([joint.upper for joint in joints])
    beyond = np.maximum(clip.joint_pos - upper, lower - clip.joint_pos)
    frame, index = (int(i) for i in np.unravel_index(int(beyond.argmax()), beyond.shape))
    worst = float(beyond[frame, index])
    if worst <= _LIMIT_SLACK:
        return
    joint, value = joints[index], float(clip.joint_pos[frame, index])
    reason = f"{joint.name} is at {value:.3f} rad, its range is [{joint.lower:.3f}, {joint.upper:.3f}]"
    if worst > _LIMIT_BROKEN:
        reason += "; are the angles in degrees, or the joints in another order?"
    found.add(reason, frame=frame, fatal=worst > _LIMIT_BROKEN)


def _check_object(found: _Findings, clip: MotionClip, needs: Needs) -> None:
    if needs.object and clip.object is None:
        found.add("has no object motion (objects/<stem>.pkl), which this task needs")
    if needs.object and clip.object_usd is None:
        found.add("has no object asset of its stem (object_usd/<stem>.usd), which this task needs")
    if clip.object is None:
        return
    track = clip.object
    found.rate("fps of the object", track.fps)
    if len(track.pos) < 1:
        found.add("the object motion has no frames")
    found.array("object position", track.pos, None, 3)
    found.quaternions("object rotation", track.quat, len(track.pos), 4)
    for hand, points in (track.contact_points or {}).items():
        outside = sorted(frame for frame in points if not 0 <= frame < len(track.pos))
        if outside:
            reason = f"contact points of the {hand} hand lie outside the object's {len(track.pos)} frames"
            found.add(reason, frame=outside[0])


def _check_table(found: _Findings, clip: MotionClip, needs: Needs) -> None:
    if clip.table_pos is None or clip.table_quat is None:
        if needs.table:
            found.add(
                f"Meta pkl missing for motion '{clip.key}', or without a table: table_pos and table_quat must live in "
                "meta/<stem>.pkl, no fallback is applied"
            )
        return
    found.array("table_pos", clip.table_pos, 3)
    found.quaternions("table_quat", clip.table_quat, 4)
