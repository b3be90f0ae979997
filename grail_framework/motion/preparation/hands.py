"""When the hands close: discrete commands, -1 open and +1 closed, from the object's lift and the hands' contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grail_framework.motion.preparation.arms import frames_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def find_lift_frame(object_z: NDArray[np.floating], threshold: float) -> int | None:
    """Return the first frame in which the object is more than `threshold` [m] above its first height; None where it never is."""
    lifted = np.flatnonzero(object_z > object_z[0] + threshold)
    return int(lifted[0]) if len(lifted) else None


def first_contact(points: Mapping[int, NDArray[np.floating]]) -> int | None:
    """Return the first source frame that has contact points; None where there is none."""
    return min((frame for frame, own in points.items() if len(own)), default=None)


def touches_until(points: Mapping[int, NDArray[np.floating]], frame: int) -> bool:
    """Say whether there is contact in a frame or before it."""
    first = first_contact(points)
    return first is not None and first <= frame


def close_from(start: int | None, num_frames: int) -> NDArray[np.float32]:
    """Make the command of a hand that closes at a frame (before the motion: from the first on) or never; (num_frames,)."""
    action = np.full(num_frames, -1.0, dtype=np.float32)
    if start is not None:
        action[max(0, start) :] = 1.0
    return action


def from_contacts(
    contacts: Mapping[str, Mapping[int, NDArray[np.floating]]], *, lift_frame: int | None, anticipation: int
) -> dict[str, int | None]:
    """Say at which frame each hand begins to close, some frames before the grasp; None where it stays open.

    Args:
        contacts: contact points by hand and source frame.
        lift_frame: the grasp of every hand that touches the object by then; None: the hand's own first contact is its grasp.
        anticipation: frames between the command and the grasp.
    """
    starts: dict[str, int | None] = {}
    for hand, points in contacts.items():
        grasp = first_contact(points)
        if lift_frame is not None:
            grasp = lift_frame if touches_until(points, lift_frame) else None
        starts[hand] = None if grasp is None else max(0, grasp - anticipation)
    return starts


def hold_closed(action: NDArray[np.float32], seconds: float, fps: float) -> NDArray[np.float32]:
    """Close a hand during the first `seconds` of a motion; (T,)."""
    held = action.copy()
    held[: frames_in(seconds, fps, len(action))] = 1.0
    return held


def hold_closed_until_margin(action: NDArray[np.float32], margin_seconds: float, fps: float) -> NDArray[np.float32]:
    """Close a hand from the start until `margin_seconds` before it closes by itself; unchanged where it never does; (T,)."""
    closes = np.flatnonzero((action[:-1] < 0.0) & (action[1:] > 0.0))
    held = action.copy()
    if len(closes):
        held[: max(0, int(closes[0]) + 1 - frames_in(margin_seconds, fps, len(action)))] = 1.0
    return held
