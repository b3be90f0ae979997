"""Smooth paths from a few numbers: sums of minimum-jerk moves, and turns that follow the same profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

FPS = 50.0
"""Rate of generated motions. [1/s]"""


def times(duration: float) -> NDArray[np.float64]:
    """Return the times (T,) of a motion's frames, both ends included [s]."""
    return np.arange(round(duration * FPS) + 1) / FPS


def min_jerk(t: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    """Rise from 0 at `start` to 1 at `end` with no velocity and no acceleration at either end.

    The fifth-order profile of human reaching movements (Flash and Hogan, 1985).

    Args:
        t: times, any shape [s].
        start: [s].
        end: later than `start` [s].
    """
    s = np.clip((t - start) / (end - start), 0.0, 1.0)
    return s**3 * (10.0 + s * (6.0 * s - 15.0))


def path(t: NDArray[np.float64], first: ArrayLike, moves: Sequence[tuple[float, float, ArrayLike]]) -> NDArray[np.float64]:
    """Go from point to point, (T, n); moves that overlap in time blend into one another.

    Args:
        t: (T,) [s].
        first: (n,) where the path starts.
        moves: (start [s], end [s], target (n,)) each. A target may hold NaN: that coordinate stays where the last move sent it.
    """
    here = np.array(first, dtype=np.float64)
    value = np.tile(here, (len(t), 1))
    for start, end, target in moves:
        goal = np.array(target, dtype=np.float64)
        goal = np.where(np.isnan(goal), here, goal)
        value += min_jerk(t, start, end)[:, None] * (goal - here)
        here = goal
    return value


def turns(t: NDArray[np.float64], first: Rotation, moves: Sequence[tuple[float, float, Rotation]]) -> NDArray[np.float64]:
    """Turn from orientation to orientation on the shortest way, (T, 4) wxyz; overlapping moves blend.

    Args:
        t: (T,) [s].
        first: where it starts.
        moves: (start [s], end [s], target orientation) each.
    """
    value = Rotation.concatenate([first] * len(t))
    here = first
    for start, end, target in moves:
        step = (target * here.inv()).as_rotvec()
        value = Rotation.from_rotvec(min_jerk(t, start, end)[:, None] * step) * value
        here = target
    return value.as_quat(scalar_first=True)
