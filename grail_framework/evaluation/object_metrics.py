"""Errors of the object, and success as the GRAIL paper counts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from grail_framework.evaluation.metrics import frame_metric, has_moving_object, motion_metric
from grail_framework.robots.rotations import quat_angle

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.evaluation.score import MotionScore

SUCCESS_DISTANCE: Final = 0.2
"""Mean object error below which the GRAIL paper counts a motion as a success. [m]"""


def _distance(env: TrackingEnv) -> torch.Tensor:
    return torch.linalg.vector_norm(env.state.object_pos_w - env.reference.object_pos_w, dim=-1)


@frame_metric(unit="m", applies=has_moving_object)
def obj_pos_error(env: TrackingEnv) -> torch.Tensor:
    """Measure the distance of the object to its reference position, until the first failure."""
    return _distance(env)


@frame_metric(unit="rad", applies=has_moving_object)
def obj_ori_error(env: TrackingEnv) -> torch.Tensor:
    """Measure the angle between the object's orientation and its reference, until the first failure."""
    return quat_angle(env.state.object_quat_w, env.reference.object_quat_w)


@frame_metric(unit="m", span="motion", applies=has_moving_object)
def obj_pos_error_motion(env: TrackingEnv) -> torch.Tensor:
    """Measure the distance of the object to its reference position over the whole motion, failed or not."""
    return _distance(env)


@motion_metric(unit="-")
def success_paper(score: MotionScore) -> float | None:
    """Give 1 where the object is within 20 cm of its reference in the mean over the whole motion, else 0.

    Terminations do not count, so that an early fall does not leave a small mean behind; a simulation that broke down is no success.
    """
    error = score.values.get("obj_pos_error_motion")
    if error is None:
        return None
    whole = score.frames["obj_pos_error_motion"] == score.num_frames - 1
    return float(whole and error < SUCCESS_DISTANCE)
