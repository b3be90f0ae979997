"""No contacts between bodies that nothing can move: ground, table and kinematic objects.

MuJoCo never looks for them. MuJoCo-Warp does, where one of the two is a mocap body; and as neither has a finite mass, such a contact
gets a force of some 1e16 N, beside which the solver's single precision cannot see the forces on the robot.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import warp as wp

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEVER: Final = -2
"""MuJoCo-Warp's mark of a pair that is not looked at."""
_IMMOVABLE: Final = -1
"""MuJoCo's tree of a body that has no degree of freedom."""


def drop_static_pairs(model: Any, mj_model: Any) -> None:
    """Take pairs of immovable geoms out of collision detection. Call it before a step is taken or captured.

    Args:
        model: the `mujoco_warp` model, changed in place.
        mj_model: MuJoCo's model it was made from.
    """
    movable = mj_model.body_treeid[mj_model.geom_bodyid] != _IMMOVABLE
    pairs, ids = model.nxn_geom_pair.numpy(), model.nxn_pairid.numpy()
    ids[~movable[pairs].any(axis=1), 0] = _NEVER
    looked_at = (ids[:, 0] != _NEVER) | (ids[:, 1] >= 0)
    device = model.nxn_geom_pair.device
    model.nxn_pairid = wp.array(ids, dtype=wp.vec2i, device=device)
    model.nxn_geom_pair_filtered = wp.array(pairs[looked_at], dtype=wp.vec2i, device=device)
    model.nxn_pairid_filtered = wp.array(ids[looked_at], dtype=wp.vec2i, device=device)
    model.geom_pair_type_count = _count_types(mj_model.geom_type[pairs[looked_at]], len(model.geom_pair_type_count))


def _count_types(types: NDArray[np.int32], combinations: int) -> tuple[int, ...]:
    """Count pairs of geom types (P, 2) by their place in the upper triangle of all combinations."""
    low, high = types.min(axis=1), types.max(axis=1)
    kinds = (math.isqrt(8 * combinations + 1) - 1) // 2
    return tuple(np.bincount((low * (2 * kinds - low - 1)) // 2 + high, minlength=combinations).tolist())
