"""Whether the soles can give what a motion asks of the ground, on any ground: treads of different heights, slopes.

On level ground that is a matter of the centre of pressure (`balance`); soles on several levels have no common one. What is asked is then
a wrench that forces at the soles' corners, within their friction cones, add up to (the contact wrench criterion of Hirukawa et al. 2006).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import nnls

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.robots.balance import Reaction

_ARM: Final = 0.1
"""Lever that turns a missing moment into a missing force. [m]"""


def shortfall(reaction: Reaction, stands: NDArray[np.bool_], *, inset: float, friction: float) -> NDArray[np.float64]:
    """Return what the soles cannot give of the wrench a motion asks for, (T,) as a force [N]; a moment counts as if 0.1 m off.

    Args:
        reaction: of the motion, T frames.
        stands: (T, 2) whether the left and the right sole carry weight.
        inset: how much smaller the soles are taken to be, on every side [m].
        friction: coefficient at the soles [-].
    """
    missing = np.zeros(len(stands))
    for frame, standing in enumerate(stands):
        soles = reaction.soles[frame, standing]
        wanted = np.concatenate((reaction.force[frame], reaction.moment[frame]))
        if not len(soles):
            missing[frame] = np.linalg.norm(reaction.force[frame])
            continue
        centre = soles.mean(axis=(0, 1))
        wanted[3:] = (wanted[3:] - np.cross(centre, wanted[:3])) / _ARM
        edges = np.concatenate([_cone_edges(sole, centre, inset, friction) for sole in soles])
        missing[frame] = nnls(edges.T, wanted)[1]
    return missing


def _cone_edges(
    corners: NDArray[np.float64], centre: NDArray[np.float64], inset: float, friction: float
) -> NDArray[np.float64]:
    """Return the wrenches (16, 6) about a point of unit forces along the edges of each corner's friction pyramid."""
    middle = corners.mean(axis=0)
    # The sole is a rectangle: its principal axes, and its normal, which looks up.
    _, _, axes = np.linalg.svd(corners - middle)
    normal = axes[2] * np.sign(axes[2, 2])
    place = (corners - middle) @ axes[:2].T
    place -= np.sign(place) * inset
    points = middle + place @ axes[:2]
    side = friction / np.sqrt(2.0)  # inside the cone
    forces = np.array([normal + side * (i * axes[0] + j * axes[1]) for i in (-1, 1) for j in (-1, 1)])
    levers = np.repeat(points - centre, len(forces), axis=0)
    pushed = np.tile(forces, (len(points), 1))
    return np.concatenate((pushed, np.cross(levers, pushed) / _ARM), axis=1)
