"""Checks of a clip before it is used: what a reader returned, against the robot and what the task needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from grail_framework.motion import plausibility
from grail_framework.motion.clip import HANDS, MotionClip, ObjectTrack
from grail_framework.motion.faults import BadClipError, BadClipReport, ClipFault, missing_table
from grail_framework.motion.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from grail_framework.robots.spec import RobotSpec

__all__ = ["BadClipError", "BadClipReport", "ClipFault", "Needs", "check_clip", "check_library"]

_BPS_WIDTH: Final = 10
_HAND_SLACK: Final = 1e-3


@attrs.frozen(kw_only=True)
class Needs:
    """What a task's scene asks of every motion."""

    object: bool = False
    table: bool = False
    hand_action: bool = False


def check_clip(clip: MotionClip, robot: RobotSpec, needs: Needs) -> list[ClipFault]:
    """Return all that is wrong with a clip; a fault that is not fatal leaves the clip usable."""
    found = Findings(clip)
    timed = found.rate("fps", clip.fps)
    _check_robot_motion(found, clip, robot, timed=timed)
    _check_object(found, clip, needs, timed=timed)
    _check_table(found, clip, needs)
    _check_hands(found, clip, needs)
    if clip.bps is not None:
        found.array("bps", clip.bps, _BPS_WIDTH)
    return found.faults


def check_library(clips: Sequence[MotionClip]) -> list[ClipFault]:
    """Return what is odd about the clips together: keys that some have and others lack. None of it is fatal."""
    faults: list[ClipFault] = []
    with_object = [clip for clip in clips if clip.object is not None]
    faults += _partial(clips, "hand actions", lambda clip: clip.hand_action is not None)
    faults += _partial(clips, "a basis point set", lambda clip: clip.bps is not None)
    faults += _partial(clips, "an object motion", lambda clip: clip.object is not None)
    faults += _partial(clips, "an object asset", lambda clip: clip.object_usd is not None)
    faults += _partial(clips, "a table", lambda clip: clip.table_pos is not None, lambda clip: clip.meta or clip.path)
    faults += _partial(
        with_object,
        "contact points",
        lambda clip: clip.object is not None and clip.object.contact_points is not None,
        lambda clip: clip.object.path or clip.path if clip.object is not None else clip.path,
    )
    return faults


def _partial(
    clips: Sequence[MotionClip],
    what: str,
    has: Callable[[MotionClip], bool],
    file: Callable[[MotionClip], Path] = lambda clip: clip.path,
) -> Iterable[ClipFault]:
    lacking = [clip for clip in clips if not has(clip)]
    if not 0 < len(lacking) < len(clips):
        return []
    reason = f"has no {what.removeprefix('a ').removeprefix('an ')}, which {len(clips) - len(lacking)} other motions have"
    return [ClipFault(path=file(clip), key=clip.key, reason=reason, fatal=False) for clip in lacking]


def _check_robot_motion(found: Findings, clip: MotionClip, robot: RobotSpec, *, timed: bool) -> None:
    frames = len(clip.root_pos)
    if frames < 2:
        found.add(f"has {frames} frames, allowed: at least 2")
    placed = found.array("root_pos", clip.root_pos, None, 3) and frames > 1
    turned = found.quaternions("root_quat", clip.root_quat, frames, 4)
    if placed:
        plausibility.check_root_place(found, clip)
        if timed:
            plausibility.check_steps(found, "the root", clip.root_pos, clip.fps)
    if placed and turned:
        plausibility.check_upright(found, clip, robot)
    if turned and timed:
        plausibility.check_turns(found, "the root", clip.root_quat, clip.fps)
    _check_joints(found, clip, robot, frames, timed=timed)


def _check_joints(found: Findings, clip: MotionClip, robot: RobotSpec, frames: int, *, timed: bool) -> None:
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
        plausibility.check_joint_limits(found, clip, robot)
        if timed and frames > 1:
            plausibility.check_joint_jumps(found, clip)


def _check_object(found: Findings, clip: MotionClip, needs: Needs, *, timed: bool) -> None:
    if needs.object and clip.object is None:
        found.add("has no object motion (objects/<stem>.pkl), which this task needs")
    if needs.object and clip.object_usd is None:
        found.add("has no object asset of its stem (object_usd/<stem>.usd), which this task needs")
    track = clip.object
    if track is None:
        return
    timed = found.rate("fps of the object", track.fps, path=track.path) and timed
    if len(track.pos) < 1:
        found.add("the object motion has no frames", path=track.path)
    placed = found.array("object position", track.pos, None, 3, path=track.path) and len(track.pos) > 0
    turned = found.quaternions("object rotation", track.quat, len(track.pos), 4, path=track.path)
    if placed and clip.root_pos.ndim == 2 and clip.root_pos.shape[1] == 3:
        plausibility.check_object_place(found, clip, track)
    if placed and timed:
        plausibility.check_object_time(found, clip, track)
        plausibility.check_steps(found, "the object", track.pos, track.fps, path=track.path)
    if turned and timed:
        plausibility.check_turns(found, "the object", track.quat, track.fps, path=track.path)
    for hand, points in (track.contact_points or {}).items():
        _check_contact(found, track, hand, points, placed=placed)


def _check_contact(found: Findings, track: ObjectTrack, hand: str, points: dict[int, np.ndarray], *, placed: bool) -> None:
    outside = sorted(frame for frame in points if not 0 <= frame < len(track.pos))
    if outside:
        reason = f"contact points of the {hand} hand lie outside the object's {len(track.pos)} frames"
        found.add(reason, path=track.path, frame=outside[0])
    wrong = next((frame for frame, value in points.items() if value.ndim != 2 or value.shape[1] != 3), None)
    if wrong is not None:
        reason = f"contact points of the {hand} hand have the shape {points[wrong].shape}, allowed: (n, 3)"
        found.add(reason, path=track.path, frame=wrong)
    elif any(map(len, points.values())):
        frames = np.repeat(np.fromiter(points, dtype=np.int64, count=len(points)), [len(value) for value in points.values()])
        joined = np.concatenate(list(points.values()))
        finite = np.isfinite(joined).all(axis=-1)
        if not finite.all():
            reason = f"contact points of the {hand} hand hold NaN or infinity"
            found.add(reason, path=track.path, frame=int(frames[finite.argmin()]))
        elif placed:
            plausibility.check_contact_reach(found, track, hand, frames, joined)


def _check_hands(found: Findings, clip: MotionClip, needs: Needs) -> None:
    if clip.hand_action is None:
        if needs.hand_action:
            found.add(
                "use_motion_hand_actions=True but hand_action_left/right not found in motion data. Name the training-ready library "
                "(the `_ha` folder), make one with `grail data process`, or set command.use_motion_hand_actions=false"
            )
        return
    if found.array("hand_action", clip.hand_action, len(clip.root_pos), len(HANDS)) and clip.hand_action.size:
        beyond = np.abs(clip.hand_action).max(axis=-1) - 1.0
        if beyond.max() > _HAND_SLACK:
            frame = int(beyond.argmax())
            value = clip.hand_action[frame][np.abs(clip.hand_action[frame]).argmax()]
            found.add(f"hand_action is {value:g}, allowed: -1 (open) to 1 (closed)", frame=frame)


def _missing_table(clip: MotionClip) -> str:
    if clip.meta is not None:
        return missing_table(clip.meta_keys)
    return (
        f"Meta pkl missing for motion '{clip.key}' at meta/{clip.key}.pkl. table_pos/table_quat must live in meta/; no fallback is "
        "applied. Put the file there, or name the folder it is in with motion.meta_dir=DIR"
    )


def _check_table(found: Findings, clip: MotionClip, needs: Needs) -> None:
    if clip.table_pos is None or clip.table_quat is None:
        if needs.table:
            found.add(_missing_table(clip), path=clip.meta)
        return
    placed = found.array("table_pos", clip.table_pos, 3, path=clip.meta)
    found.quaternions("table_quat", clip.table_quat, 4, path=clip.meta)
    if clip.table_size is not None:
        placed = found.array("table_size", clip.table_size, 3, path=clip.meta) and placed
    if placed and clip.object is not None and clip.object.pos.ndim == 2 and clip.object.pos.shape[1:] == (3,):
        plausibility.check_table_place(found, clip, fatal=needs.table)
