"""Meaning of the entries in GRAIL motion files: robot motion, object motion, table.

Quaternions are wxyz in the layout, but released and exported files exist that write xyzw; where the order shows, it is mended and
the user is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch

from grail_framework.motion.clip import HANDS, ObjectTrack
from grail_framework.motion.faults import missing_table
from grail_framework.motion.readers.joints import (
    JOINT_AXES,
    JOINT_NAMES,
    NUM_HAND_JOINTS,
    complete,
    variant_of_axes,
)
from grail_framework.motion.readers.orientation import root_quaternions, to_wxyz, up_z
from grail_framework.robots.rotations import quat_from_rotvec

if TYPE_CHECKING:
    from grail_framework.config.scene import MotionCfg
    from grail_framework.motion.faults import ClipFault
    from grail_framework.motion.readers.entry import Entry

DEFAULT_FPS = 30.0
"""Frame rate of robot files that do not say theirs (GRAIL release). [1/s]"""
_IDENTITY_XYZW = np.array([0.0, 0.0, 0.0, 1.0], dtype=np.float32)
_OFF_AXIS = 0.02
"""How far a joint may turn about another axis than its own before the order of the joints is in doubt. [rad]"""


@attrs.frozen(kw_only=True, eq=False)
class RobotTrack:
    """What a robot file says."""

    fps: float
    joint_names: tuple[str, ...]
    root_pos: np.ndarray  # (T, 3)
    root_quat: np.ndarray  # (T, 4) wxyz
    joint_pos: np.ndarray  # (T, len(joint_names))
    hand_action: np.ndarray | None  # (T, 2)


@attrs.frozen(kw_only=True, eq=False)
class Table:
    """Pose and size of the table a meta file describes."""

    pos: np.ndarray  # (3,)
    quat: np.ndarray  # (4,) wxyz
    size: np.ndarray | None  # (3,)


def parse_robot(entry: Entry, cfg: MotionCfg, notes: list[ClipFault]) -> RobotTrack:
    """Read a robot entry; what is odd but usable is appended to `notes`.

    Raises:
        BadClipError: a key is missing or has another shape than the layout's.
    """
    default_fps = cfg.source_fps or DEFAULT_FPS
    if "fps" not in entry and cfg.source_fps is None:
        notes.append(entry.fault(f"no 'fps'; {DEFAULT_FPS:g} is assumed", fatal=False))
    root_pos = entry.array("root_trans_offset", None, 3)
    joints = _from_pose_aa(entry, notes) if "pose_aa" in entry else _from_joint_angles(entry, cfg, notes)
    for what, value in (("root rotation", joints.root_quat), ("joints", joints.pos)):
        if len(value) != len(root_pos):
            entry.fail(f"{len(value)} frames of {what}, but {len(root_pos)} of 'root_trans_offset'")
    names, joint_pos = complete(entry, joints.names, joints.pos, map_23dof=cfg.map_23dof, notes=notes)
    return RobotTrack(
        fps=entry.number("fps", default_fps),
        joint_names=names,
        root_pos=root_pos,
        root_quat=joints.root_quat,
        joint_pos=joint_pos,
        hand_action=_hand_action(entry, len(root_pos)),
    )


def parse_object(entry: Entry, robot_fps: float, notes: list[ClipFault]) -> ObjectTrack:
    """Read an object entry; the frame rate falls back to the robot's, as in the release.

    Raises:
        BadClipError: a key is missing or has another shape than the layout's.
    """
    pos, quat = _single_object(entry, "root_pos", 3), _single_object(entry, "root_quat", 4)
    if len(pos) != len(quat):
        entry.fail(f"{len(pos)} frames of 'root_pos', but {len(quat)} of 'root_quat'")
    if len(quat) and np.abs(np.abs(quat) - _IDENTITY_XYZW).max() < 1e-4:
        # In wxyz this is a half turn about z at every frame, in xyzw the identity: a static object never moved by its maker.
        notes.append(entry.fault("'root_quat' is (0, 0, 0, 1) throughout: read as xyzw, the identity", fatal=False))
        quat = to_wxyz(quat)
    contact = {hand: f"contact_points_{hand}_hand" for hand in HANDS}
    has_contact = any(name in entry for name in contact.values())
    return ObjectTrack(
        pos=pos,
        quat=quat,
        fps=entry.number("fps", robot_fps),
        contact_points={hand: _contact_points(entry, name) for hand, name in contact.items()} if has_contact else None,
        path=entry.path,
    )


def parse_table(entry: Entry, notes: list[ClipFault]) -> Table | None:
    """Read the table of a meta file; None where it describes none.

    Raises:
        BadClipError: the table is described in part only, or with wrong shapes.
    """
    given = [name for name in ("table_pos", "table_quat") if name in entry]
    if not given:
        return None
    if len(given) == 1:
        entry.fail(missing_table([str(name) for name in entry.values]))
    pos, quat = entry.array("table_pos", 3), entry.array("table_quat", 4)
    if up_z(quat) < 0.9 and up_z(to_wxyz(quat)) > 0.99:
        notes.append(entry.fault("'table_quat' tilts the table in wxyz and leaves it level in xyzw: read as xyzw", fatal=False))
        quat = to_wxyz(quat)
    return Table(pos=pos, quat=quat, size=entry.array("table_size", 3) if "table_size" in entry else None)


@attrs.frozen(kw_only=True, eq=False)
class _Joints:
    names: tuple[str, ...]
    pos: np.ndarray  # (T, len(names))
    root_quat: np.ndarray  # (T, 4) wxyz


def _from_pose_aa(entry: Entry, notes: list[ClipFault]) -> _Joints:
    pose = entry.array("pose_aa", None, None, 3)
    dof = entry.array("dof", None, None) if "dof" in entry else None
    # Bodies without a joint (head, hands) may follow the joints'.
    count = pose.shape[1] - 1 if dof is None else min(dof.shape[1], pose.shape[1] - 1)
    turns = pose[:, 1 : 1 + count]
    names = _names_of_pose(entry, turns)
    # One hinge about one axis: two of the three components are zero, the sum is the signed angle.
    joint_pos = turns[:, : len(names)].sum(axis=-1)
    if dof is not None and dof.shape[0] == len(pose):
        gap = np.abs(dof[:, : len(names)] - joint_pos)
        if gap.size and gap.max() > 0.01:
            frame, joint = np.unravel_index(int(gap.argmax()), gap.shape)
            reason = f"'dof' and 'pose_aa' differ by {gap.max():.3f} rad at {names[joint]}; 'pose_aa' is used"
            notes.append(entry.fault(reason, frame=int(frame), fatal=False))
    root = quat_from_rotvec(torch.from_numpy(pose[:, 0].astype(np.float64)))
    return _Joints(names=names, pos=joint_pos, root_quat=root.to(torch.float32).numpy())


def _names_of_pose(entry: Entry, turns: np.ndarray) -> tuple[str, ...]:
    """Name the joints of rotation vectors (T, J, 3) by their number and axes; another order shows in the axes."""
    most = np.abs(turns).max(axis=0, initial=0.0)  # (J, 3)
    axes = "".join("xyz"[int(row.argmax())] if row.max() > _OFF_AXIS else "?" for row in most)
    names = _names_of_count(entry, len(axes), axes)
    for joint, (name, axis) in enumerate(zip(names, axes, strict=False)):
        own = JOINT_AXES[JOINT_NAMES.index(name)]
        if axis not in ("?", own):
            frame = int(np.abs(turns[:, joint, "xyz".index(axis)]).argmax())
            entry.fail(
                f"'pose_aa' turns joint {joint}, which is {name}, about {axis} instead of {own}: the joints are in another order than "
                "that of the Unitree G1 MJCF",
                frame=frame,
            )
    return names


def _from_joint_angles(entry: Entry, cfg: MotionCfg, notes: list[ClipFault]) -> _Joints:
    name = next((name for name in ("dof", "joint_pos") if name in entry), None)
    if name is None:
        entry.fail(f"neither 'pose_aa' nor 'dof' nor 'joint_pos' is there ({entry.hint('pose_aa')})")
    joints = entry.array(name, None, None)
    names = _names_of_count(entry, joints.shape[1], "")
    quat = entry.array("root_rot", None, 4)
    quat = root_quaternions(entry, "'root_rot'", quat, given=cfg.quat_order, usual="wxyz", notes=notes)
    return _Joints(names=names, pos=joints[:, : len(names)], root_quat=quat)


def _names_of_count(entry: Entry, count: int, axes: str) -> tuple[str, ...]:
    if count in (len(JOINT_NAMES), len(JOINT_NAMES) + NUM_HAND_JOINTS):
        return JOINT_NAMES
    if count == 23:
        names = variant_of_axes(axes) if axes else None
        if names is None:
            entry.fail(
                "has 23 joints, and no 'pose_aa' whose axes say which of the 29 they are; retarget the motion to the 29-joint G1"
            )
        return names
    entry.fail(
        f"has {count} joints, allowed: {len(JOINT_NAMES)} in the order of the Unitree G1 MJCF ({', '.join(JOINT_NAMES[:3])}, ...)"
    )


def _hand_action(entry: Entry, num_frames: int) -> np.ndarray | None:
    names = [f"hand_action_{hand}" for hand in HANDS]
    present = [name for name in names if name in entry]
    if not present:
        return None
    if len(present) == 1:
        entry.fail(f"has {present[0]!r} for one hand only; both are needed, or none")
    columns = [np.atleast_1d(np.squeeze(np.asarray(entry.values[name]))) for name in names]
    for name, column in zip(names, columns, strict=True):
        if column.shape != (num_frames,) or column.dtype.kind not in "biuf" or not np.isfinite(column).all():
            entry.fail(f"{name!r} has the shape {column.shape}, allowed: {num_frames} finite numbers, one a frame")
    return np.stack(columns, axis=-1).astype(np.float32)


def _single_object(entry: Entry, name: str, width: int) -> np.ndarray:
    if name not in entry or np.ndim(entry.values[name]) != 3:
        return entry.array(name, None, width)
    value = entry.array(name, None, None, width)
    if value.shape[1] != 1:
        entry.fail(f"{name!r} describes {value.shape[1]} objects; motions have one")
    return value[:, 0]


def _contact_points(entry: Entry, name: str) -> dict[int, np.ndarray]:
    """Return float32 points by source frame, without the frames that have none."""
    given = entry.values.get(name)
    if given is None:
        return {}
    if not isinstance(given, dict):
        entry.fail(f"{name!r} is no dictionary of source frame -> points")
    frames: list[int] = []
    points: list[np.ndarray] = []
    for frame, value in given.items():
        if isinstance(frame, bool) or not isinstance(frame, (int, np.integer)):
            entry.fail(f"{name!r} has the key {frame!r}, allowed: source frame numbers")
        array = np.asarray(value)
        if not array.size:
            continue
        if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "biuf":
            entry.fail(f"{name!r} has points of the shape {array.shape}, allowed: finite (n, 3)", frame=int(frame))
        frames.append(int(frame))
        points.append(array)
    return _as_one(entry, name, frames, points) if frames else {}


def _as_one(entry: Entry, name: str, frames: list[int], points: list[np.ndarray]) -> dict[int, np.ndarray]:
    """Check and convert all points in one array: there are hundreds of frames with a few points each."""
    ends = np.cumsum([len(array) for array in points])
    joined = np.concatenate(points).astype(np.float32)
    finite = np.isfinite(joined).all(axis=1)
    if not finite.all():
        frame = frames[int(np.searchsorted(ends, finite.argmin(), side="right"))]
        entry.fail(f"{name!r} holds NaN or infinity, allowed: finite (n, 3)", frame=frame)
    starts = (0, *ends[:-1].tolist())
    return {frame: joined[start:end] for frame, start, end in zip(frames, starts, ends.tolist(), strict=True)}
