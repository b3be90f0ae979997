"""Observations of the hand and what it touches. Each returns (num_envs, d)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.robots.rotations import quat_apply_inverse, quat_relative, rotation_6d

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


def finger_tips_force(env: TrackingEnv, *, sensor: str) -> torch.Tensor:
    """Give the contact force that each link of a sensor exerts on the object (N, 3 * links), world frame [N].

    Args:
        env: the environment.
        sensor: name of the contact sensor between the hand's links and the object.
    """
    # The sensor holds the force on the link; the release observes the force on the object.
    return -env.state.contact_forces[sensor].flatten(1)


def hand_object_transform_6d(env: TrackingEnv, *, hand: str = "right") -> torch.Tensor:
    """Give the simulated object's pose in the hand frame (N, 9): position [m], then 6D orientation.

    The hand frame has its origin at the mean of the index, middle and thumb tips and the orientation of the index tip.

    Args:
        env: the environment.
        hand: left or right.
    """
    spec = env.robot.hands[hand]
    ids = env.body_ids((spec.index_tip, spec.middle_tip, spec.thumb_tip))
    hand_pos = env.state.body_pos_w.index_select(1, ids).mean(dim=1)
    hand_quat = env.state.body_quat_w.index_select(1, ids[:1]).squeeze(1)  # a single index would be read by the host
    position = quat_apply_inverse(hand_quat, env.state.object_pos_w - hand_pos)
    return torch.cat((position, rotation_6d(quat_relative(hand_quat, env.state.object_quat_w))), dim=-1)


def grab_contact_flag(env: TrackingEnv) -> torch.Tensor:
    """Give the legacy contact flag (N, 1): always 0, kept for the layout of released critics."""
    return torch.zeros(env.num_envs, 1, device=env.device)
