"""Motions as npz archives, in the layouts of holosoma and of BeyondMimic.

Keys, T frames:
- `joint_pos` (T, 7 + J): root position, root quaternion, joints (holosoma); seven more columns are the pose of an object. Or (T, J):
  joints alone, and the root is the body `pelvis` (without names the first) of `body_pos_w` (T, B, 3) and `body_quat_w` (T, B, 4)
  (BeyondMimic).
- `joint_names` (J,): the order of the joints. Without it: the Unitree G1 MJCF's behind a root; in BeyondMimic's files, which Isaac Lab
  and MuJoCo both write, that of `body_names`, else the order in which the first two links hang symmetrically in the pelvis (Isaac
  Lab's) or not (the MJCF's).
- `fps`: frames per second. `object_pos_w` (T, 3), `object_quat_w` (T, 4): the object. `object_name`: its name.

Quaternions are wxyz unless the file shows or the user says otherwise.
"""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from grail_framework.motion.clip import ObjectTrack
from grail_framework.motion.faults import BadClipError, ClipFault
from grail_framework.motion.readers.entry import Entry
from grail_framework.motion.readers.joints import ISAAC_JOINT_NAMES, JOINT_NAMES, complete, joint_name
from grail_framework.motion.readers.orientation import root_quaternions
from grail_framework.motion.readers.stem_source import FileMotion, StemSource, frame_rate, motion_files
from grail_framework.motion.safe_pickle import MAX_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.config.scene import MotionCfg

_KEYS = ("fps", "joint_pos", "joint_names", "body_names", "object_pos_w", "object_quat_w", "object_name")
_BODY_KEYS = ("body_pos_w", "body_quat_w")
_ROOT = 7
"""Columns of a pose: position, quaternion."""
_FIXED = 0.01
"""How much a link that hangs in the pelvis may move in its frame. [m]"""


class NpzReader:
    """Reads folders of npz archives, one per motion."""

    name = "npz"
    layout = "DIR/<stem>.npz with joint_pos, in the layout of holosoma or BeyondMimic; DIR/object_usd, DIR/meta and DIR/bps beside it"

    def detect(self, cfg: MotionCfg) -> bool:
        """Say whether there are npz archives where the configuration points, and no pickles."""
        return motion_files(cfg, ".npz") is not None

    def open(self, cfg: MotionCfg) -> StemSource:
        """List the motions.

        Raises:
            DataError: there are none.
        """
        return StemSource(cfg, ".npz", load_npz, parse_npz)


def load_npz(path: Path, key: str) -> Entry:
    """Read the keys of one archive that describe a motion; nothing in it is unpickled.

    Raises:
        BadClipError: the archive is damaged, needs pickles, or expands beyond reason.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_BYTES:
                raise ValueError(f"expands to {size} bytes, which no motion needs")
        with np.load(path, allow_pickle=False) as archive:
            values: dict[Any, Any] = {name: archive[name] for name in _KEYS if name in archive.files}
            if _is_rootless(values):
                values |= {name: archive[name] for name in _BODY_KEYS if name in archive.files}
            values |= {name: True for name in archive.files if name not in values}
    # RuntimeError: an encrypted member, or a compression this Python does not have.
    except (OSError, ValueError, EOFError, KeyError, MemoryError, RuntimeError) as error:
        raise BadClipError(ClipFault(path=path, key=key, reason=f"no readable npz archive ({error})")) from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise BadClipError(ClipFault(path=path, key=key, reason=f"no npz archive, or a truncated one ({error})")) from error
    return Entry(path, key, values)


def _is_rootless(values: dict[Any, Any]) -> bool:
    """Say whether `joint_pos` is joints alone, so that the bodies, the larger part of an archive, are needed for the root."""
    joints, names = values.get("joint_pos"), values.get("joint_names")
    counts = (len(JOINT_NAMES), 23) if names is None else (np.size(names),)
    return joints is not None and joints.ndim == 2 and joints.shape[1] in counts


def parse_npz(entry: Entry, cfg: MotionCfg, notes: list[ClipFault]) -> FileMotion:
    """Make a motion of an archive's arrays; what was assumed is appended to `notes`.

    Raises:
        BadClipError: a key is missing or has another shape than the layouts'.
    """
    joints = entry.array("joint_pos", None, None)
    names = _given_names(entry)
    behind_root = _columns_behind_root(entry, joints.shape[1], names)
    fps = frame_rate(entry, cfg, notes)
    if behind_root is None:
        root_pos, root_quat = _root_of_bodies(entry, len(joints))
        names = names or _names_of_bodies(entry, joints.shape[1], notes)
        track = None
    else:
        root_pos, root_quat = joints[:, :3], joints[:, 3:_ROOT]
        names = names or _mjcf_names(entry, behind_root, notes)
        track = _track_of_columns(joints[:, _ROOT + behind_root :], fps)
        joints = joints[:, _ROOT : _ROOT + behind_root]
    root_quat = root_quaternions(entry, "the root rotation", root_quat, given=cfg.quat_order, usual="wxyz", notes=notes)
    names, joints = complete(entry, names, joints, map_23dof=cfg.map_23dof, notes=notes)
    object_name = entry.values.get("object_name")
    return FileMotion(
        fps=fps,
        joint_names=names,
        root_pos=root_pos,
        root_quat=root_quat,
        joint_pos=joints,
        object=_object(entry, fps) or track,
        object_name=str(object_name) if isinstance(object_name, np.ndarray) and object_name.ndim == 0 else "",
    )


def _given_names(entry: Entry) -> tuple[str, ...] | None:
    if "joint_names" not in entry:
        return None
    names = tuple(joint_name(name) for name in _texts(entry, "joint_names"))
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        entry.fail(f"'joint_names' names {', '.join(double)} twice")
    return names


def _texts(entry: Entry, name: str) -> list[str]:
    value = np.asarray(entry.values[name])
    if value.ndim != 1 or value.dtype.kind not in "US":
        entry.fail(f"{name!r} is no list of names")
    return [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in value]


def _columns_behind_root(entry: Entry, width: int, names: tuple[str, ...] | None) -> int | None:
    """Return the number of joint columns behind a root pose; None: `joint_pos` is joints alone."""
    counts = (len(names),) if names is not None else (len(JOINT_NAMES), 23)
    for count in counts:
        if width == count:
            return None
        if width in (_ROOT + count, _ROOT + count + _ROOT):
            return count
    allowed = " or ".join(f"{count} joints, {_ROOT + count} with a root in front" for count in counts)
    entry.fail(f"'joint_pos' has {width} columns, allowed: {allowed}; name the joints in 'joint_names'")


def _mjcf_names(entry: Entry, count: int, notes: list[ClipFault]) -> tuple[str, ...]:
    if count != len(JOINT_NAMES):
        entry.fail(
            f"has {count} joints and no 'joint_names' that say which; add them, or retarget the motion to the 29-joint G1"
        )
    notes.append(entry.fault("no 'joint_names'; the order of the Unitree G1 MJCF is assumed", fatal=False))
    return JOINT_NAMES


def _root_of_bodies(entry: Entry, frames: int) -> tuple[np.ndarray, np.ndarray]:
    pos, quat = entry.array("body_pos_w", frames, None, 3), entry.array("body_quat_w", frames, None, 4)
    root = 0
    if "body_names" in entry:
        bodies = _texts(entry, "body_names")
        if "pelvis" not in bodies or len(bodies) != pos.shape[1]:
            entry.fail(
                f"'body_names' has {len(bodies)} names for {pos.shape[1]} bodies, allowed: one each, with 'pelvis' among them"
            )
        root = bodies.index("pelvis")
    if pos.shape[1] == 0 or quat.shape[1] != pos.shape[1]:
        entry.fail(f"'body_pos_w' has {pos.shape[1]} bodies and 'body_quat_w' {quat.shape[1]}, allowed: as many, at least one")
    return pos[:, root], quat[:, root]


def _names_of_bodies(entry: Entry, count: int, notes: list[ClipFault]) -> tuple[str, ...]:
    """Name the joints of a file that gives bodies: each link but the root hangs on one joint, in the same order."""
    if count != len(JOINT_NAMES):
        return _mjcf_names(entry, count, notes)
    if "body_names" in entry:
        links = [name for name in _texts(entry, "body_names") if name != "pelvis"]
        names = tuple(_joint_of_link(link) for link in links)
        if sorted(names) == sorted(JOINT_NAMES):
            notes.append(entry.fault("no 'joint_names'; the order of 'body_names' is taken", fatal=False))
            return names
    symmetric = _first_links_are_symmetric(entry)
    order = "Isaac Lab" if symmetric else "the Unitree G1 MJCF"
    notes.append(entry.fault(f"no 'joint_names'; its bodies show the order of {order}", fatal=False))
    return ISAAC_JOINT_NAMES if symmetric else JOINT_NAMES


def _joint_of_link(link: str) -> str:
    # The G1's torso is the one link that is not called like its joint.
    return "waist_pitch_joint" if link == "torso_link" else joint_name(link.removesuffix("_link"))


def _first_links_are_symmetric(entry: Entry) -> bool:
    """Say whether the first two links are the left and right hip, fixed in the pelvis: breadth first, left and right in turn."""
    pos, quat = entry.array("body_pos_w", None, None, 3), entry.array("body_quat_w", None, None, 4)
    if pos.shape[1] < 3:
        entry.fail("no 'joint_names', and too few bodies to show the order of the joints; add 'joint_names'")
    first, second = (_in_frame(pos[:, body] - pos[:, 0], quat[:, 0]) for body in (1, 2))
    gap = np.abs(first - second * np.array([1.0, -1.0, 1.0]))
    return bool(np.mean(gap.max(axis=-1) < _FIXED) > 0.5)


def _in_frame(vectors: np.ndarray, quat: np.ndarray) -> np.ndarray:
    """Rotate world vectors (T, 3) into frames of wxyz quaternions (T, 4)."""
    real, imaginary = quat[:, :1], -quat[:, 1:]
    cross = np.cross(imaginary, vectors)
    return vectors + 2.0 * (real * cross + np.cross(imaginary, cross))


def _track_of_columns(columns: np.ndarray, fps: float) -> ObjectTrack | None:
    if not columns.shape[1]:
        return None
    return ObjectTrack(pos=columns[:, :3], quat=columns[:, 3:], fps=fps)


def _object(entry: Entry, fps: float) -> ObjectTrack | None:
    if "object_pos_w" not in entry and "object_quat_w" not in entry:
        return None
    pos, quat = (entry.array(name, None, width) for name, width in (("object_pos_w", 3), ("object_quat_w", 4)))
    if len(pos) != len(quat):
        entry.fail(f"{len(pos)} frames of 'object_pos_w', but {len(quat)} of 'object_quat_w'")
    return ObjectTrack(pos=pos, quat=quat, fps=fps)
