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
from grail_framework.robots.rotations import quat_from_rotvec

if TYPE_CHECKING:
    from grail_framework.motion.faults import ClipFault
    from grail_framework.motion.readers.entry import Entry

DEFAULT_FPS = 30.0
"""Frame rate of robot files that do not say theirs (GRAIL release). [1/s]"""
_LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
_ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
JOINT_NAMES: tuple[str, ...] = tuple(
    f"{name}_joint"
    for name in (
        *(f"{side}_{part}" for side in HANDS for part in _LEG),
        *("waist_yaw", "waist_roll", "waist_pitch"),
        *(f"{side}_{part}" for side in HANDS for part in _ARM),
    )
)
"""Order of the 29 joints in the files: that of the Unitree G1 MJCF."""
_IDENTITY_XYZW = np.array([0.0, 0.0, 0.0, 1.0], dtype=np.float32)
_UPRIGHT = 0.5
"""Cosine of the tilt (60 degrees) above which a robot's pelvis counts as upright."""


@attrs.frozen(kw_only=True, eq=False)
class RobotTrack:
    """What a robot file says."""

    fps: float
    root_pos: np.ndarray  # (T, 3)
    root_quat: np.ndarray  # (T, 4) wxyz
    joint_pos: np.ndarray  # (T, 29)
    hand_action: np.ndarray | None  # (T, 2)


@attrs.frozen(kw_only=True, eq=False)
class Table:
    """Pose and size of the table a meta file describes."""

    pos: np.ndarray  # (3,)
    quat: np.ndarray  # (4,) wxyz
    size: np.ndarray | None  # (3,)


def parse_robot(entry: Entry, notes: list[ClipFault]) -> RobotTrack:
    """Read a robot entry; what is odd but usable is appended to `notes`.

    Raises:
        BadClipError: a key is missing or has another shape than the layout's.
    """
    if "fps" not in entry:
        notes.append(entry.fault(f"no 'fps'; {DEFAULT_FPS:g} is assumed", fatal=False))
    root_pos = entry.array("root_trans_offset", None, 3)
    if "pose_aa" in entry:
        root_quat, joint_pos = _from_pose_aa(entry, notes)
    else:
        root_quat, joint_pos = _from_joint_angles(entry, notes)
    for what, value in (("root rotation", root_quat), ("joints", joint_pos)):
        if len(value) != len(root_pos):
            entry.fail(f"{len(value)} frames of {what}, but {len(root_pos)} of 'root_trans_offset'")
    return RobotTrack(
        fps=entry.number("fps", DEFAULT_FPS),
        root_pos=root_pos,
        root_quat=root_quat,
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
        quat = np.roll(quat, 1, axis=-1)
    contact = {hand: f"contact_points_{hand}_hand" for hand in HANDS}
    has_contact = any(name in entry for name in contact.values())
    return ObjectTrack(
        pos=pos,
        quat=quat,
        fps=entry.number("fps", robot_fps),
        contact_points={hand: _contact_points(entry, name) for hand, name in contact.items()} if has_contact else None,
    )


def parse_table(entry: Entry, notes: list[ClipFault]) -> Table | None:
    """Read the table of a meta file; None where it describes none.

    Raises:
        BadClipError: the table is described in part only, or with wrong shapes.
    """
    if "table_pos" not in entry and "table_quat" not in entry:
        return None
    pos, quat = entry.array("table_pos", 3), entry.array("table_quat", 4)
    if _up_z(quat) < 0.9 and _up_z(np.roll(quat, 1)) > 0.99:
        notes.append(entry.fault("'table_quat' tilts the table in wxyz and leaves it level in xyzw: read as xyzw", fatal=False))
        quat = np.roll(quat, 1)
    return Table(pos=pos, quat=quat, size=entry.array("table_size", 3) if "table_size" in entry else None)


def _from_pose_aa(entry: Entry, notes: list[ClipFault]) -> tuple[np.ndarray, np.ndarray]:
    pose = entry.array("pose_aa", None, None, 3)
    dof = entry.array("dof", None, None) if "dof" in entry else None
    _check_joint_count(entry, pose.shape[1] - 1 if dof is None else min(dof.shape[1], pose.shape[1] - 1))
    # One hinge about one axis: two of the three components are zero, the sum is the signed angle.
    joint_pos = pose[:, 1 : 1 + len(JOINT_NAMES)].sum(axis=-1)
    if dof is not None and dof.shape[0] == len(pose):
        gap = np.abs(dof[:, : len(JOINT_NAMES)] - joint_pos)
        if gap.size and gap.max() > 0.01:
            frame, joint = np.unravel_index(int(gap.argmax()), gap.shape)
            reason = f"'dof' and 'pose_aa' differ by {gap.max():.3f} rad at {JOINT_NAMES[joint]}; 'pose_aa' is used"
            notes.append(entry.fault(reason, frame=int(frame), fatal=False))
    root = quat_from_rotvec(torch.from_numpy(pose[:, 0].astype(np.float64)))
    return root.to(torch.float32).numpy(), joint_pos


def _from_joint_angles(entry: Entry, notes: list[ClipFault]) -> tuple[np.ndarray, np.ndarray]:
    name = next((name for name in ("dof", "joint_pos") if name in entry), None)
    if name is None:
        entry.fail(f"neither 'pose_aa' nor 'dof' nor 'joint_pos' is there ({entry.hint('pose_aa')})")
    joints = entry.array(name, None, None)
    _check_joint_count(entry, joints.shape[1])
    quat = entry.array("root_rot", None, 4)
    order = _quat_order(quat)
    if order == "xyzw":
        notes.append(entry.fault("'root_rot' stands upright in xyzw only: read as xyzw", fatal=False))
        quat = np.roll(quat, 1, axis=-1)
    elif order is None:
        notes.append(entry.fault("'root_rot' does not show its order (wxyz or xyzw): read as wxyz", fatal=False))
    return quat, joints[:, : len(JOINT_NAMES)]


def _check_joint_count(entry: Entry, count: int) -> None:
    if (
        count == len(JOINT_NAMES) or count == len(JOINT_NAMES) + 14
    ):  # 14 hand joints may follow; the hands have their own actions
        return
    if count == 23:
        entry.fail(
            "has the 23 joints of the G1 without waist roll and pitch and without wrist pitch and yaw; retarget the motion to the "
            "29-joint G1"
        )
    entry.fail(
        f"has {count} joints, allowed: {len(JOINT_NAMES)} in the order of the Unitree G1 MJCF ({', '.join(JOINT_NAMES[:3])}, ...)"
    )


def _quat_order(quat: np.ndarray) -> str | None:
    """Say in which order (T, 4) quaternions of a mostly upright robot are; None where both or none fits."""
    wxyz = float(np.median(_up_z(quat))) > _UPRIGHT
    xyzw = float(np.median(_up_z(np.roll(quat, 1, axis=-1)))) > _UPRIGHT
    if wxyz == xyzw:
        return None
    return "wxyz" if wxyz else "xyzw"


def _up_z(quat: np.ndarray) -> np.ndarray:
    """Height of the rotated z axis of wxyz quaternions (..., 4): 1 where upright, -1 upside down."""
    return 1.0 - 2.0 * (quat[..., 1] ** 2 + quat[..., 2] ** 2)


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
    frames = entry.values.get(name)
    if frames is None:
        return {}
    if not isinstance(frames, dict):
        entry.fail(f"{name!r} is no dictionary of source frame -> points")
    points: dict[int, np.ndarray] = {}
    for frame, value in frames.items():
        if isinstance(frame, bool) or not isinstance(frame, (int, np.integer)):
            entry.fail(f"{name!r} has the key {frame!r}, allowed: source frame numbers")
        array = np.asarray(value)
        if array.size == 0:
            continue
        if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            entry.fail(f"{name!r} has points of the shape {array.shape}, allowed: finite (n, 3)", frame=int(frame))
        points[int(frame)] = array.astype(np.float32)
    return points
