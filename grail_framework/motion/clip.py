"""A motion as a reader returns it: plain numpy arrays at the file's own frame rate, nothing resampled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

HANDS = ("left", "right")
"""Order of everything that is per hand."""


@attrs.frozen(kw_only=True, eq=False)
class ObjectTrack:
    """Pose of the object over time, world frame of the motion."""

    pos: np.ndarray  # (T, 3) float32 [m]
    quat: np.ndarray  # (T, 4) float32 wxyz
    fps: float
    contact_points: dict[str, dict[int, np.ndarray]] | None = None
    """By hand, by source frame: (n, 3) points in the object's frame [m]; None: the file has no contact keys."""
    path: Path | None = None
    """The object file; None: it is the robot file."""


@attrs.frozen(kw_only=True, eq=False)
class MotionClip:
    """One motion of one robot, with the object and table it belongs to."""

    key: str
    """Stem that pairs the files of a motion."""
    path: Path
    """The robot file."""
    fps: float
    joint_names: tuple[str, ...]
    root_pos: np.ndarray  # (T, 3) float32 [m]
    root_quat: np.ndarray  # (T, 4) float32 wxyz
    joint_pos: np.ndarray  # (T, len(joint_names)) float32 [rad]
    object: ObjectTrack | None = None
    object_usd: Path | None = None
    object_name: str = ""
    hand_action: np.ndarray | None = None  # (T, 2) float32, left and right, -1 open, +1 closed
    table_pos: np.ndarray | None = None  # (3,) [m]
    table_quat: np.ndarray | None = None  # (4,) wxyz
    table_size: np.ndarray | None = None  # (3,) [m]
    bps: np.ndarray | None = None  # (10,)
    meta: Path | None = None
    """The file with the table; None: there is none."""
    meta_keys: tuple[str, ...] = ()
    """What that file holds, sorted."""


@attrs.frozen(kw_only=True, eq=False)
class ContactLabels:
    """When each hand should touch the object, and where, at the target frame rate of `num_frames` frames."""

    label: np.ndarray  # (num_frames, 2) float32 in {0, 1}, left and right
    center: np.ndarray  # (num_frames, 2, 3) float32, object frame [m]; zeros where the label is 0
