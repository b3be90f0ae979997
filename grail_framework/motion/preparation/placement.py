"""Where robot, object and table stand: off the ground, and no leg through the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from grail_framework.motion.preparation.bodies import body_poses, lower_body_segments, skeleton_bodies

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.motion.clip import MotionClip
    from grail_framework.robots.spec import RobotSpec

LEG_MARGIN: Final = 0.05
"""Distance that is kept between the table's edge and the leg (GRAIL release). [m]"""
OBJECT_MARGIN: Final = 0.03
"""How far inside the table's edge the object's centre stays (GRAIL release). [m]"""
Z_CORRECTION: Final = 0.025
"""Raise of the object under `z_correction` (GRAIL release: for cylinders of 15 cm retargeted with 10 cm). [m]"""
Z_CORRECTION_TABLE_SHIFT: Final = -0.05
"""Shift of the table along y under `z_correction` (GRAIL release). [m]"""


def raise_to_ground(clip: MotionClip, robot: RobotSpec) -> tuple[MotionClip, float]:
    """Lift robot, object and table so that no link origin is ever below z = 0; return the clip and the lift [m].

    Palms and fingers do not count. A motion that stays above the ground is left alone.
    """
    lowest = float(body_poses(clip, robot)[0][:, skeleton_bodies(robot), 2].min())
    if lowest >= 0.0:
        return clip, 0.0
    up = np.array((0.0, 0.0, -lowest), dtype=np.float32)
    track = clip.object
    raised = attrs.evolve(
        clip,
        root_pos=clip.root_pos + up,
        object=None if track is None else attrs.evolve(track, pos=track.pos + up),
        table_pos=None if clip.table_pos is None else clip.table_pos + up,
    )
    return raised, -lowest


def correct_object_height(clip: MotionClip, table_depth: float) -> MotionClip:
    """Raise the object by 25 mm and move the table by 50 mm along -y, as far as the object stays on it."""
    assert clip.object is not None
    assert clip.table_pos is not None
    pos = clip.object.pos + np.array((0.0, 0.0, Z_CORRECTION), dtype=np.float32)
    y = max(float(clip.table_pos[1]) + Z_CORRECTION_TABLE_SHIFT, _lowest_table_y(float(pos[0, 1]), table_depth))
    return attrs.evolve(clip, object=attrs.evolve(clip.object, pos=pos), table_pos=_with_y(clip.table_pos, y))


def clear_table(clip: MotionClip, robot: RobotSpec, size: tuple[float, float, float]) -> tuple[MotionClip, str]:
    """Move the table along -y until no link of the lower body cuts its top; return the clip and what was done.

    The table's edge comes to lie 5 cm beyond the cut of smallest y, but the object stays at least 3 cm inside the other edge. The
    table counts as aligned with x and y. Nothing changes where nothing cuts it, and the text is empty then.

    Args:
        clip: with a table, and an object or none.
        robot: the G1.
        size: of the table along x, y, z [m].
    """
    if clip.table_pos is None:
        return clip, ""
    cuts = table_cuts(body_poses(clip, robot)[0], lower_body_segments(robot), clip.table_pos, size)
    if len(cuts) == 0:
        return clip, ""
    wanted = float(cuts[:, 1].min()) - 0.5 * size[1] - LEG_MARGIN
    lowest = -np.inf if clip.object is None else _lowest_table_y(float(clip.object.pos[0, 1]), size[1])
    y = max(wanted, lowest)
    done = f"table moved along y by {y - float(clip.table_pos[1]):+.3f} m, clear of the legs"
    if wanted < lowest:
        done = (
            f"table moved along y by {y - float(clip.table_pos[1]):+.3f} m; {y - wanted:.3f} m short of clear of the legs, "
            "since the object would be off it"
        )
    return attrs.evolve(clip, table_pos=_with_y(clip.table_pos, y)), done


def table_cuts(
    body_pos: NDArray[np.floating],
    segments: list[tuple[int, int]],
    table_pos: NDArray[np.floating],
    size: tuple[float, float, float],
) -> NDArray[np.float64]:
    """Return where segments between links pass through a table top, in any frame; (N, 2) x and y [m].

    Args:
        body_pos: (T, B, 3) link origins [m].
        segments: pairs of links.
        table_pos: (3,) the table's centre [m].
        size: of the table along x, y, z [m].
    """
    start, end = (np.asarray(body_pos, dtype=np.float64)[:, [pair[i] for pair in segments]].reshape(-1, 3) for i in (0, 1))
    center = np.asarray(table_pos, dtype=np.float64)
    top = center[2] + 0.5 * size[2]
    rise = end[:, 2] - start[:, 2]
    crosses = ((start[:, 2] - top) * (end[:, 2] - top) <= 0.0) & (np.abs(rise) >= 1e-8)
    start, end, rise = start[crosses], end[crosses], rise[crosses]
    cuts = start[:, :2] + ((top - start[:, 2]) / rise)[:, None] * (end[:, :2] - start[:, :2])
    return cuts[(np.abs(cuts - center[:2]) <= 0.5 * np.array(size[:2])).all(axis=1)]


def _lowest_table_y(object_y: float, table_depth: float) -> float:
    return object_y - 0.5 * table_depth + OBJECT_MARGIN


def _with_y(pos: NDArray[np.floating], y: float) -> NDArray[np.floating]:
    moved = np.array(pos, dtype=np.float32)
    moved[1] = y
    return moved
