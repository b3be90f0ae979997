"""Conditions that end an episode. Each returns (num_envs,) bool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv

FEET = ("left_ankle_roll_link", "right_ankle_roll_link")


def anchor_height_error(env: TrackingEnv) -> torch.Tensor:
    """Height difference (N,) between anchor body and reference. [m]"""
    return (env.view.ref_anchor_pos_w[:, 2] - env.view.anchor_pos_w[:, 2]).abs()


def end_effector_height_error(env: TrackingEnv) -> torch.Tensor:
    """Largest height difference (N,) between an end effector and its re-anchored reference. [m]"""
    ids = env.tracked_body_ids(env.robot.end_effectors)
    return env.view.relative_body_error_w[..., 2].index_select(1, ids).abs().amax(dim=1)


def anchor_pos(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """End where the anchor body's height is further than a threshold from the reference.

    Args:
        env: the environment.
        threshold: largest height difference. [m]
    """
    return anchor_height_error(env) > threshold


def anchor_ori(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """End where the squared angle between anchor body and reference, full orientation, exceeds a threshold.

    Args:
        env: the environment.
        threshold: largest squared angle. [rad^2]
    """
    return env.view.anchor_angle.square() > threshold


def ee_body_pos(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """End where an end effector's height is further than a threshold from the re-anchored reference.

    Args:
        env: the environment.
        threshold: largest height difference. [m]
    """
    return end_effector_height_error(env) > threshold


class AdaptiveThreshold:
    """A threshold that is loosened while the reference is low: crawling and sitting are harder to hold to the centimetre.

    "Low" is a running average of the reference root's height, h <- (1 - rate) h + rate z, which starts at the height of an episode's
    first frame.

    Args:
        env: the environment.
        threshold: used while the average is not low.
        down_threshold: used while it is.
        root_height_threshold: below it the average is low. [m]
        rate: share of the newest height in the average. [-]
    """

    def __init__(
        self,
        env: TrackingEnv,
        threshold: float,
        down_threshold: float = 0.75,
        root_height_threshold: float = 0.5,
        rate: float = 0.1,
    ) -> None:
        self._threshold, self._down, self._low, self._rate = threshold, down_threshold, root_height_threshold, rate
        self._height = torch.full((env.num_envs,), torch.nan, device=env.device)  # NaN: no frame yet

    def current(self, env: TrackingEnv) -> torch.Tensor:
        """Take in the current frame and return the threshold (N,)."""
        height = env.reference.root_pos[:, 2]
        moved = torch.lerp(self._height, height, self._rate)
        self._height.copy_(torch.where(self._height.isnan(), height, moved))
        return torch.where(self._height < self._low, self._down, self._threshold)

    def reset(self, mask: torch.Tensor) -> None:
        """Forget the episodes of the mask (N,)."""
        self._height.masked_fill_(mask, torch.nan)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the running average."""
        return {"height": self._height.clone()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the running average."""
        self._height.copy_(state["height"])


class anchor_pos_adaptive(AdaptiveThreshold):  # noqa: N801 - terms are named as they are written in a config
    """`anchor_pos` with a threshold that is loosened while the reference is low.

    Args:
        env: the environment.
        threshold: largest height difference while the reference is not low. [m]
        down_threshold: largest height difference while it is. [m]
        root_height_threshold: below it the running average of the reference root's height is low. [m]
        rate: share of the newest height in that average. [-]
    """

    def __call__(self, env: TrackingEnv) -> torch.Tensor:
        """Return (N,) bool."""
        return anchor_height_error(env) > self.current(env)


class ee_body_pos_adaptive(AdaptiveThreshold):  # noqa: N801
    """`ee_body_pos` with a threshold that is loosened while the reference is low.

    Args:
        env: the environment.
        threshold: largest height difference while the reference is not low. [m]
        down_threshold: largest height difference while it is. [m]
        root_height_threshold: below it the running average of the reference root's height is low. [m]
        rate: share of the newest height in that average. [-]
    """

    def __call__(self, env: TrackingEnv) -> torch.Tensor:
        """Return (N,) bool."""
        return end_effector_height_error(env) > self.current(env)


def foot_pos_xyz(env: TrackingEnv, threshold: float, bodies: tuple[str, ...] = FEET) -> torch.Tensor:
    """End where a foot is further than a threshold, in all three directions together, from its re-anchored reference.

    Args:
        env: the environment.
        threshold: largest distance. [m]
        bodies: the tracked bodies that count as feet.
    """
    error = env.view.relative_body_error_w.index_select(1, env.tracked_body_ids(bodies))
    return (torch.linalg.vector_norm(error, dim=-1) > threshold).any(dim=1)


def object_pos_deviation(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """End where the object is further than a threshold from its reference position.

    Args:
        env: the environment.
        threshold: largest distance. [m]
    """
    return env.view.object_distance > threshold


def object_z_pos_deviation(env: TrackingEnv, threshold: float) -> torch.Tensor:
    """End where the object's height is further than a threshold from the reference.

    Args:
        env: the environment.
        threshold: largest height difference. [m]
    """
    return env.view.object_error_w[:, 2].abs() > threshold


def tracking_time_out(env: TrackingEnv) -> torch.Tensor:
    """End where the current frame is the motion's last; configure it with `time_out=True`."""
    return env.command.at_end
