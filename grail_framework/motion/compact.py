"""Motions in their smallest lossless form, in host memory: root and joints per frame at the target rate, all else as rarely as it changes.

A frame takes 7 + J floats. The object adds 7 where it moves at all. Contact labels and hand actions are runs: a row where a value
changes, which then holds until the next row. Everything that is not here is derived from it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

import attrs
import numpy as np

from grail_framework.errors import DataError, suggest
from grail_framework.motion.clip import ContactLabels, MotionClip
from grail_framework.motion.labels import derive_contact_labels, first_contact_frame
from grail_framework.motion.resample import resample_clip, robot_frame_count
from grail_framework.motion.selection import object_class

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.robots.spec import RobotSpec

Labeler = Callable[[MotionClip, int, float], ContactLabels | None]
"""Called with a clip, the number of its frames at the target rate, and that rate."""

BPS_WIDTH = 10
POSE_WIDTH = 7
"""Position and unit quaternion wxyz."""
CONTACT_RUN = np.dtype([("start", "<i4"), ("value", "<f4", (8,))])
"""First frame of the run in its motion; labels of the left and right hand, then their contact centres."""
HAND_RUN = np.dtype([("start", "<i4"), ("value", "<f4", (2,))])
"""First frame of the run in its motion; actions of the left and right hand."""
MOTION = np.dtype(
    [
        ("num_frames", "<i4"),
        ("object_rows", "<i4"),  # one per frame, or a single one for an object that never moves
        ("contact_runs", "<i4"),
        ("hand_runs", "<i4"),
        ("first_contact", "<i4"),
        ("has_object", "?"),
        ("has_contact_labels", "?"),
        ("has_hand_action", "?"),
        ("has_bps", "?"),
        ("has_table", "?"),
        ("has_table_size", "?"),
        ("bps", "<f4", (BPS_WIDTH,)),
        ("table_pos", "<f4", (3,)),
        ("table_quat", "<f4", (4,)),
        ("table_size", "<f4", (3,)),
        ("checksum", "<u4"),
    ]
)
"""What is known of each motion."""


@attrs.frozen(kw_only=True)
class MotionFiles:
    """Where a motion was read from; None: there is no such file of its own."""

    robot: Path
    object: Path | None = None
    meta: Path | None = None


FILE_KINDS = tuple(field.name for field in attrs.fields(MotionFiles))


@attrs.frozen(kw_only=True, eq=False)
class MotionRows:
    """The rows of consecutive motions, packed behind one another."""

    robot: np.ndarray  # (F, 7 + J) float32
    objects: np.ndarray  # (O, 7) float32
    contacts: np.ndarray  # (C,) CONTACT_RUN
    hands: np.ndarray  # (H,) HAND_RUN

    @classmethod
    def joined(cls, parts: Sequence[MotionRows]) -> Self:
        """Put rows behind one another."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in ROW_COUNTS})


ROW_COUNTS = {"robot": "num_frames", "objects": "object_rows", "contacts": "contact_runs", "hands": "hand_runs"}
"""Array of `MotionRows` -> field of `MOTION` that counts a motion's rows in it."""


@attrs.frozen(kw_only=True, eq=False)
class CompactMotions:
    """M motions in host memory, joints in the robot's order."""

    keys: tuple[str, ...]
    files: tuple[MotionFiles, ...]
    object_names: tuple[str, ...]
    object_usd: tuple[Path | None, ...]
    motions: np.ndarray  # (M,) MOTION
    rows: MotionRows

    def chunks(self) -> Iterator[tuple[np.ndarray, MotionRows]]:
        """Yield consecutive motions with their rows: here all at once."""
        yield self.motions, self.rows


def compact_clips(
    clips: Sequence[MotionClip], robot: RobotSpec, *, target_fps: float, labeler: Labeler | None = None
) -> CompactMotions:
    """Resample clips and bring them into compact form.

    Args:
        clips: checked clips; their order is the order of the motions.
        robot: the robot they are of; joints are mapped by name.
        target_fps: rate of all motions. [1/s]
        labeler: where it gives None, labels come from the clip's contact points.

    Raises:
        DataError: there are no clips, two have one key, a joint is missing, or arrays have wrong shapes.
    """
    if not clips:
        raise DataError("a motion library needs at least one motion")
    keys = tuple(clip.key for clip in clips)
    if len(set(keys)) != len(keys):
        raise DataError(f"two motions are called {next(key for key in keys if keys.count(key) > 1)!r}; stems must differ")
    compacted = [_compact(clip, robot, target_fps, labeler) for clip in clips]
    return CompactMotions(
        keys=keys,
        files=tuple(
            MotionFiles(robot=clip.path, object=clip.object.path if clip.object is not None else None, meta=clip.meta)
            for clip in clips
        ),
        object_names=tuple(clip.object_name or object_class(clip.key) for clip in clips),
        object_usd=tuple(clip.object_usd for clip in clips),
        motions=np.concatenate([motion for motion, _ in compacted]),
        rows=MotionRows.joined([rows for _, rows in compacted]),
    )


def checksums(motions: np.ndarray, rows: MotionRows) -> np.ndarray:
    """Checksum the rows of each motion (CRC-32), (M,) uint32."""
    values = [0] * len(motions)
    for name, count in ROW_COUNTS.items():
        array = np.ascontiguousarray(getattr(rows, name))
        content = array.view(np.uint8).reshape(-1).data
        ends = (np.cumsum(motions[count], dtype=np.int64) * (array.nbytes // max(len(array), 1))).tolist()
        begin = 0
        for index, end in enumerate(ends):
            values[index] = zlib.crc32(content[begin:end], values[index])
            begin = end
    return np.array(values, dtype=np.uint32)


def _compact(clip: MotionClip, robot: RobotSpec, fps: float, labeler: Labeler | None) -> tuple[np.ndarray, MotionRows]:
    count = robot_frame_count(len(clip.root_pos), clip.fps, fps)
    labels = _labels(clip, count, fps, labeler)
    resampled = resample_clip(clip, fps)
    joint_pos = resampled.joint_pos[:, _joint_order(clip, robot)]
    pose = np.concatenate((resampled.object_pos.numpy(), resampled.object_quat.numpy()), axis=-1)
    contact = np.zeros((1, 8), dtype=np.float32)
    if labels is not None:
        contact = np.concatenate((labels.label, labels.center.reshape(count, 6)), axis=-1).astype(np.float32)
    rows = MotionRows(
        robot=np.concatenate((resampled.root_pos.numpy(), resampled.root_quat.numpy(), joint_pos.numpy()), axis=-1),
        objects=pose[:1] if (pose == pose[0]).all() else pose,
        contacts=_runs(contact, CONTACT_RUN),
        hands=_runs(resampled.hand_action.numpy(), HAND_RUN),
    )
    motion = _describe(clip, rows)
    motion["has_contact_labels"] = labels is not None
    motion["first_contact"] = first_contact_frame(labels, count)
    return motion, rows


def _describe(clip: MotionClip, rows: MotionRows) -> np.ndarray:
    motion = np.zeros(1, dtype=MOTION)
    for name, count in ROW_COUNTS.items():
        motion[count] = len(getattr(rows, name))
    motion["has_object"] = clip.object is not None
    motion["has_hand_action"] = clip.hand_action is not None
    motion["has_table"] = clip.table_pos is not None and clip.table_quat is not None
    motion["has_table_size"] = clip.table_size is not None
    motion["has_bps"] = clip.bps is not None
    motion["table_quat"] = [1.0, 0.0, 0.0, 0.0]
    for name in ("bps", "table_pos", "table_quat", "table_size"):
        value = getattr(clip, name)
        if value is None:
            continue
        if np.shape(value) != MOTION[name].shape:
            raise DataError(f"{name} of motion {clip.key!r} has the shape {np.shape(value)}, allowed: {MOTION[name].shape}")
        motion[name] = value
    motion["checksum"] = checksums(motion, rows)
    return motion


def _runs(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Keep the rows (n, k) that differ from the one before."""
    changed = np.concatenate(([True], (values[1:] != values[:-1]).any(axis=-1)))
    runs = np.zeros(int(changed.sum()), dtype=dtype)
    runs["start"] = np.flatnonzero(changed)
    runs["value"] = values[changed]
    return runs


def _joint_order(clip: MotionClip, robot: RobotSpec) -> list[int]:
    """Where each motion joint of the robot stands in the clip."""
    wanted = robot.joint_names[: robot.num_motion_joints]
    for name in wanted:
        if name not in clip.joint_names:
            raise DataError(f"motion {clip.key!r} has no joint {name!r}: {suggest(name, clip.joint_names)}")
    return [clip.joint_names.index(name) for name in wanted]


def _labels(clip: MotionClip, num_frames: int, fps: float, labeler: Labeler | None) -> ContactLabels | None:
    labels = labeler(clip, num_frames, fps) if labeler is not None else None
    if labels is None:
        return derive_contact_labels(clip, num_frames, fps)
    shapes = (labels.label.shape, labels.center.shape)
    if shapes != ((num_frames, 2), (num_frames, 2, 3)):
        raise DataError(
            f"contact labels of motion {clip.key!r} have the shapes {shapes[0]} and {shapes[1]}, allowed: ({num_frames}, 2) and "
            f"({num_frames}, 2, 3); see the hook grail_contact_labels"
        )
    return labels
