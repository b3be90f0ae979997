"""Rewards of grasping: contact of finger links, opposition of thumb and fingers, closeness to the contact centre.

Formulas are those of the GRAIL release. None of them looks at contact labels by itself: gate a term with `RewardTermCfg.gate`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

from grail_framework.errors import ConfigError
from grail_framework.motion.clip import HANDS
from grail_framework.robots.rotations import quat_apply

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv

_EPS = 1e-6


def contact_count(env: TrackingEnv, sensor: str, force_threshold: float) -> torch.Tensor:
    """Count the links (N,) of a contact sensor whose force exceeds the threshold [N]."""
    return (env.view.force_norm(sensor) > force_threshold).sum(dim=1)


def grasp(env: TrackingEnv, *, sensor: str, force_threshold: float = 0.1, min_contacts: int = 3) -> torch.Tensor:
    """Reward finger links in contact: min(contacts / min_contacts, 1).

    Args:
        env: the environment.
        sensor: name of the contact sensor between the hand's links and the object.
        force_threshold: force that counts as contact. [N]
        min_contacts: number of links from which the reward is full. [links]
    """
    return (contact_count(env, sensor, force_threshold) / min_contacts).clamp(max=1.0)


def finger_direction(
    env: TrackingEnv,
    *,
    hand: str,
    use_contact_center: bool = True,
    thumb_offset: tuple[float, ...] | None = None,
    index_offset: tuple[float, ...] | None = None,
    middle_offset: tuple[float, ...] | None = None,
) -> torch.Tensor:
    """Reward thumb and fingers for lying on opposite sides of what is grasped; may be negative.

    -dot(unit(thumb - ref), unit(mean(index, middle) - ref)), where ref is the reference's contact centre in the world, or the
    simulated object's position where the motion has no contact labels, that centre is at the origin, or `use_contact_center` is off.

    Args:
        env: the environment.
        hand: left or right.
        use_contact_center: refer to the contact centre instead of the object.
        thumb_offset: from the origin of the thumb's last link to its tip, link frame; None: the origin. [m]
        index_offset: of the index finger. [m]
        middle_offset: of the middle finger. [m]

    Raises:
        ConfigError: an offset that is not three numbers.
    """
    tips = fingertips(env, hand)
    offsets = (thumb_offset, index_offset, middle_offset)
    if any(offset is not None for offset in offsets):
        tips = tips + quat_apply(_tip_quats(env, hand), _tip_offsets(offsets, env.device))
    ref = env.state.object_pos_w
    if use_contact_center:
        center = contact_center_w(env, hand)
        known = env.has_contact_labels & (torch.linalg.vector_norm(center, dim=-1) > _EPS)
        ref = torch.where(known.unsqueeze(1), center, ref)
    thumb, index, middle = (tips - ref.unsqueeze(1)).unbind(1)
    return -(_unit(thumb) * _unit(0.5 * (index + middle))).sum(dim=-1)


def contact_center(env: TrackingEnv, *, hand: str) -> torch.Tensor:
    """Reward the three fingertips for being at the contact centre: exp(-10 * mean distance); 0 where the reference has none.

    Args:
        env: the environment.
        hand: left or right.
    """
    local = env.reference.contact_center[:, HANDS.index(hand)]
    distance = torch.linalg.vector_norm(fingertips(env, hand) - contact_center_w(env, hand).unsqueeze(1), dim=-1).mean(dim=1)
    known = torch.linalg.vector_norm(local, dim=-1) > _EPS
    return torch.where(known, torch.exp(-10.0 * distance), 0.0)


def contact_center_w(env: TrackingEnv, hand: str) -> torch.Tensor:
    """Contact centre (N, 3) of the current frame, moved to the world with the reference object pose."""

    def compute() -> torch.Tensor:
        local = env.reference.contact_center[:, HANDS.index(hand)]
        return env.reference.object_pos_w + quat_apply(env.reference.object_quat_w, local)

    return env.view.shared(("contact_center_w", hand), compute)


def fingertips(env: TrackingEnv, hand: str) -> torch.Tensor:
    """Positions (N, 3, 3) of the last links of thumb, index finger and middle finger."""
    spec = env.robot.hands[hand]
    ids = env.body_ids((spec.thumb_tip, spec.index_tip, spec.middle_tip))
    return env.view.shared(("fingertips", hand), lambda: env.state.body_pos_w.index_select(1, ids))


def _tip_quats(env: TrackingEnv, hand: str) -> torch.Tensor:
    """Orientations (N, 3, 4) of the links whose positions `fingertips` gives."""
    spec = env.robot.hands[hand]
    return env.state.body_quat_w.index_select(1, env.body_ids((spec.thumb_tip, spec.index_tip, spec.middle_tip)))


@cache  # made once, so that no step copies from the host
def _tip_offsets(offsets: tuple[tuple[float, ...] | None, ...], device: torch.device) -> torch.Tensor:
    wrong = [offset for offset in offsets if offset is not None and len(offset) != len("xyz")]
    if wrong:
        raise ConfigError(f"finger_direction: got the offset {list(wrong[0])}, allowed: three numbers [x, y, z] in metres")
    return torch.tensor([offset or (0.0, 0.0, 0.0) for offset in offsets], device=device)


def _unit(vector: torch.Tensor) -> torch.Tensor:
    return vector / (torch.linalg.vector_norm(vector, dim=-1, keepdim=True) + _EPS)
