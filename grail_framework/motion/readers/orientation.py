"""The order of quaternions in files that do not state it, told from a robot that stands upright."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from grail_framework.motion.faults import ClipFault
    from grail_framework.motion.readers.entry import Entry

_UPRIGHT: Final = 0.5
"""Cosine of the tilt (60 degrees) up to which a pelvis counts as upright."""
_CLEAR: Final = 0.5
"""Share of the frames by which one order must be upright more often than the other. A robot that faces all ways alike is upright in
all frames of the right order and in a third of the wrong one's; lying down, it is upright in neither."""
_TURNED: Final = 0.002
"""Mean square of half an angle of five degrees."""
_MORE: Final = 4.0


def up_z(quat: np.ndarray) -> np.ndarray:
    """Return the height of the rotated z axis of wxyz quaternions (..., 4): 1 where upright, -1 upside down."""
    return 1.0 - 2.0 * (quat[..., 1] ** 2 + quat[..., 2] ** 2)


def to_wxyz(quat: np.ndarray) -> np.ndarray:
    """Reorder xyzw quaternions (..., 4)."""
    return np.roll(quat, 1, axis=-1)


def shown_order(quat: np.ndarray) -> str | None:
    """Say in which order (T, 4) quaternions of a mostly upright robot are; None where the whole clip does not show it."""
    if not len(quat):
        return None
    wxyz, xyzw = (float(np.mean(up_z(value) > _UPRIGHT)) for value in (quat, to_wxyz(quat)))
    if abs(wxyz - xyzw) >= _CLEAR:
        return "wxyz" if wxyz > xyzw else "xyzw"
    return _order_facing_ahead(quat) if min(wxyz, xyzw) >= _CLEAR else None


def _order_facing_ahead(quat: np.ndarray) -> str | None:
    """Tell the order of a robot that is upright in both: one that faces +x in xyzw, or -x in wxyz.

    There the second component is half the pitch either way, and the first and the third are half the roll and half the yaw in xyzw,
    half the yaw and half the roll in wxyz. A robot turns further than it leans to the side.
    """
    first, third = float(np.mean(quat[:, 0] ** 2)), float(np.mean(quat[:, 2] ** 2))
    if max(first, third) < _TURNED or max(first, third) < _MORE * min(first, third):
        return None
    return "xyzw" if third > first else "wxyz"


def root_quaternions(
    entry: Entry, what: str, quat: np.ndarray, *, given: str, usual: str | None, notes: list[ClipFault]
) -> np.ndarray:
    """Return root quaternions (T, 4) as wxyz.

    Args:
        entry: the file, for messages.
        what: what the file calls them.
        quat: (T, 4), in the file's order.
        given: the order the user names; `auto`: it is detected.
        usual: the order of files of this layout, taken where the clip does not show its own; None: such a clip is refused.
        notes: what was detected or assumed is appended, except that a clip is in the usual order.

    Raises:
        BadClipError: the order is needed and not shown.
    """
    if given != "auto":
        return to_wxyz(quat) if given == "xyzw" else quat
    order = shown_order(quat)
    if order is None and usual is None:
        entry.fail(
            f"{what} does not show its order, since the pelvis is upright in both or neither: write motion.quat_order=wxyz or xyzw"
        )
    if order is None:
        notes.append(entry.fault(f"{what} does not show its order (wxyz or xyzw): read as {usual}", fatal=False))
    elif order != usual:
        notes.append(entry.fault(f"{what} stands upright in {order} only: read as {order}", fatal=False))
    return to_wxyz(quat) if (order or usual) == "xyzw" else quat
