"""Errors of the robot's tracked bodies, by the names and definitions of the GRAIL release's `im_eval`.

All are means over the robot's tracked bodies, in millimetres, frames weighted equally over motions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from grail_framework.evaluation.metrics import frame_metric
from grail_framework.evaluation.procrustes import similarity_align

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv

_MM: Final = 1000.0


def mean_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the mean distance of matching points (N, K, 3), (N,), in mm where they are in m."""
    return _MM * torch.linalg.vector_norm(a - b, dim=-1).mean(-1)


def about_root(points: torch.Tensor) -> torch.Tensor:
    """Take points (N, K, 3) relative to the first of them."""
    return points - points[:, :1]


@frame_metric(unit="mm", pool="frames")
def mpjpe_g(env: TrackingEnv) -> torch.Tensor:
    """Measure the error of positions in the world."""
    return mean_distance(env.view.body_pos_w, env.reference.body_pos_w)


@frame_metric(unit="mm", pool="frames")
def mpjpe_l(env: TrackingEnv) -> torch.Tensor:
    """Measure the error of positions relative to the first tracked body (the pelvis); orientation still counts."""
    return mean_distance(about_root(env.view.body_pos_w), about_root(env.reference.body_pos_w))


@frame_metric(unit="mm", pool="frames")
def mpjpe_pa(env: TrackingEnv) -> torch.Tensor:
    """Measure the error after a Procrustes alignment per frame: rotation, translation and scale do not count.

    As in the release the reference is moved and scaled onto the robot.
    """
    robot, reference = about_root(env.view.body_pos_w), about_root(env.reference.body_pos_w)
    return mean_distance(similarity_align(reference, robot), robot)


class _Difference:
    """The mean distance between the n-th differences over time of robot and reference; NaN in the first n frames."""

    order: int

    def __init__(self, env: TrackingEnv) -> None:
        self._past: list[torch.Tensor] = []

    def __call__(self, env: TrackingEnv) -> torch.Tensor:
        # Differences are linear: those of the two are the difference of the error.
        latest = [env.view.body_pos_w - env.reference.body_pos_w]
        for before in self._past:
            latest.append(latest[-1] - before)
        complete = len(self._past) == self.order
        self._past = latest[: self.order]
        if not complete:
            return torch.full((env.num_envs,), float("nan"), device=env.device)
        return mean_distance(latest[-1], torch.zeros_like(latest[-1]))


@frame_metric(unit="mm/frame", pool="frames")
class vel_dist(_Difference):  # noqa: N801  (the release's name; what is registered is an instance)
    """Measure the error of the change of position from frame to frame."""

    order = 1


@frame_metric(unit="mm/frame^2", pool="frames")
class accel_dist(_Difference):  # noqa: N801
    """Measure the error of the second difference of position over frames."""

    order = 2
