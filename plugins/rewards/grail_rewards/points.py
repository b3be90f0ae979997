"""Rewards of points fixed to links, as a headset and controllers would see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from grail_framework.robots.rotations import quat_apply, quat_apply_inverse

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv

FIVE_POINTS: Final[dict[str, tuple[float, float, float]]] = {
    "torso_link": (0.0, 0.0, 0.5),
    "left_wrist_yaw_link": (0.0, 0.0, 0.0),
    "right_wrist_yaw_link": (0.0, 0.0, 0.0),
    "left_ankle_roll_link": (0.0, 0.0, 0.0),
    "right_ankle_roll_link": (0.0, 0.0, 0.0),
}
"""Tracked bodies and where in their frame the point is. [m]"""


class tracking_vr_5point_local:  # noqa: N801 - terms are named as they are written in a config
    """Reward head, wrists and feet for their places as seen from the root: exp(-mean |dp|^2 / std^2).

    Robot and reference are each seen from their own anchor body (full orientation). A class because the points are looked up once.

    Args:
        env: the environment.
        std: width of the kernel. [m]
        points: tracked bodies, and where in their frame the point is. [m]
    """

    def __init__(self, env: TrackingEnv, std: float = 0.1, points: dict[str, tuple[float, float, float]] | None = None) -> None:
        points = points or FIVE_POINTS
        self._ids = env.tracked_body_ids(tuple(points))
        self._offset = torch.tensor(list(points.values()), device=env.device)
        self._std = std

    def __call__(self, env: TrackingEnv) -> torch.Tensor:
        """Return (N,)."""
        view, ref = env.view, env.reference
        mine = self._seen(view.body_pos_w, view.body_quat_w, env.anchor_id)
        theirs = self._seen(ref.body_pos_w, ref.body_quat_w, env.anchor_id)
        return torch.exp(-(theirs - mine).square().sum(dim=-1).mean(dim=1) / self._std**2)

    def _seen(self, pos: torch.Tensor, quat: torch.Tensor, anchor: int) -> torch.Tensor:
        """The points (N, P, 3) in the frame of the anchor, from poses of the tracked bodies (N, K, ...)."""
        points = pos.index_select(1, self._ids) + quat_apply(quat.index_select(1, self._ids), self._offset)
        return quat_apply_inverse(quat[:, anchor : anchor + 1], points - pos[:, anchor : anchor + 1])
