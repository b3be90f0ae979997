"""Rewards of grasping: contact of finger links, opposition of thumb and fingers, closeness to the contact centre.

Formulas are those of the GRAIL release. None of them looks at contact labels by itself: gate a term with `RewardTermCfg.gate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.motion.clip import HANDS
from grail_framework.robots.rotations import quat_apply

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv

_EPS = 1e-6


def contact_count(env: TrackingEnv, sensor: str, force_threshold: float) -> torch.Tensor:
    """Count the links (N,) of a contact sensor whose force exceeds the threshold [N]."""
    force = torch.linalg.vector_norm(env.state.contact_forces[sensor], dim=-1)
    return (force > force_threshold).sum(dim=1)


def grasp(env: TrackingEnv, *, sensor: str, force_threshold: float = 0.1, min_contacts: int = 3) -> torch.Tensor:
    """Reward finger links in contact: min(contacts / min_contacts, 1), forces above the threshold [N] counted."""
    return (contact_count(env, sensor, force_threshold) / min_contacts).clamp(max=1.0)


def finger_direction(env: TrackingEnv, *, hand: str, use_contact_center: bool = True) -> torch.Tensor:
    """Reward thumb and fingers for lying on opposite sides of what is grasped; may be negative.

    -dot(unit(thumb - ref), unit(mean(index, middle) - ref)), where ref is the contact centre of the reference, or the simulated
    object's position where the reference has none or `use_contact_center` is off.
    """
    tips = _fingertips(env, hand)
    ref = env.state.object_pos_w
    if use_contact_center:
        center = contact_center_w(env, hand)
        known = torch.linalg.vector_norm(center, dim=-1, keepdim=True) > _EPS
        ref = torch.where(known, center, ref)
    thumb = _unit(tips[:, 0] - ref)
    fingers = _unit(tips[:, 1:].mean(dim=1) - ref)
    return -(thumb * fingers).sum(dim=-1)


def contact_center(env: TrackingEnv, *, hand: str) -> torch.Tensor:
    """Reward the three fingertips for being at the contact centre: exp(-10 * mean distance); 0 where the reference has none."""
    local = env.reference.contact_center[:, HANDS.index(hand)]
    distance = torch.linalg.vector_norm(_fingertips(env, hand) - contact_center_w(env, hand).unsqueeze(1), dim=-1).mean(dim=1)
    known = torch.linalg.vector_norm(local, dim=-1) > _EPS
    return torch.where(known, torch.exp(-10.0 * distance), torch.zeros_like(distance))


def contact_center_w(env: TrackingEnv, hand: str) -> torch.Tensor:
    """Contact centre (N, 3) of the current frame, moved to the world with the reference object pose; zeros where there is none."""
    local = env.reference.contact_center[:, HANDS.index(hand)]
    world = env.reference.object_pos_w + quat_apply(env.reference.object_quat_w, local)
    known = torch.linalg.vector_norm(local, dim=-1, keepdim=True) > _EPS
    return torch.where(known, world, torch.zeros_like(world))


def _fingertips(env: TrackingEnv, hand: str) -> torch.Tensor:
    """Positions (N, 3, 3) of the thumb's, index finger's and middle finger's last link."""
    spec = env.robot.hands[hand]
    return env.state.body_pos_w[:, env.body_ids((spec.thumb_tip, spec.index_tip, spec.middle_tip))]


def _unit(vector: torch.Tensor) -> torch.Tensor:
    return vector / (torch.linalg.vector_norm(vector, dim=-1, keepdim=True) + _EPS)
