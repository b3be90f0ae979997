"""Reward terms for contact-rich tasks.

Import strings only: this module is read by every `grail` command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grail_framework import hookimpl

if TYPE_CHECKING:
    from grail_framework.registry import Registrar

grail_api = ">=1,<2"

# Name -> (target, summary).
_REWARDS: Final[dict[str, tuple[str, str]]] = {
    "grasp": ("grail_rewards.grasp:grasp", "Finger links in contact with the object"),
    "finger_direction": ("grail_rewards.grasp:finger_direction", "Thumb and fingers on opposite sides of what is grasped"),
    "contact_center": ("grail_rewards.grasp:contact_center", "Fingertips at the reference's contact centre"),
    "object_tracking": ("grail_rewards.object_tracking:object_tracking", "Object pose and velocity while the hand touches it"),
    "finger_primitive_limit": (
        "grail_rewards.regularisers:finger_primitive_limit",
        "Hand primitives beyond their useful range",
    ),
    "meta_action_rate_l2": (
        "grail_rewards.regularisers:meta_action_rate_l2",
        "Change of the policy's output, from the second action on",
    ),
    "full_latent_rate_l2": (
        "grail_rewards.regularisers:full_latent_rate_l2",
        "Change of the tokens that a frozen base policy acts on",
    ),
    "action_rate_l2": ("grail_rewards.regularisers:action_rate_l2", "Change of the policy's output, from the first action on"),
    "joint_limit": ("grail_rewards.regularisers:joint_limit", "Joints beyond their soft limits"),
    "joint_acc_l2": ("grail_rewards.regularisers:joint_acc_l2", "Acceleration of some joints"),
    "feet_acc": ("grail_rewards.regularisers:feet_acc", "Acceleration of the ankle joints"),
    "upright_penalty": ("grail_rewards.regularisers:upright_penalty", "Tilt of pelvis and torso"),
    "anti_shake_ang_vel": ("grail_rewards.regularisers:anti_shake_ang_vel", "Trembling of the wrists"),
    "hand_table_contact_penalty": ("grail_rewards.contact:hand_table_contact_penalty", "Force of the hand on the table"),
    "approach_velocity_penalty": ("grail_rewards.contact:approach_velocity_penalty", "A fast hand near the object"),
    "tracking_vr_5point_local": (
        "grail_rewards.points:tracking_vr_5point_local",
        "Head, wrists and feet in their places as seen from the root",
    ),
}


@hookimpl
def grail_register_rewards(registry: Registrar) -> None:
    """Register the plugin's reward terms."""
    registry.add_all(_REWARDS)
