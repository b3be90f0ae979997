"""Conditions of hand-object interaction that end an episode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.motion.clip import HANDS

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


def hand_table_contact_termination(env: TrackingEnv, *, sensor: str, threshold: float) -> torch.Tensor:
    """End where the links of a sensor together press the table with more than a threshold.

    Args:
        env: the environment.
        sensor: name of the contact sensor between the hand's links and the table.
        threshold: largest sum of the links' forces. [N]
    """
    return env.view.force_norm(sensor).sum(dim=1) > threshold


class grasp_failure_after_contact:  # noqa: N801 - terms are named as they are written in a config
    """End where the hand should have grasped for a while and never did; a class because it remembers who grasped.

    Fires when more than `grace_steps` control steps have passed since the reference label's onset in this episode and no grasp has
    happened yet. Without labels, the onset is the first contact of the sensor. Once a grasp has happened in an episode, it never
    fires.

    Args:
        env: the environment.
        sensor: name of the contact sensor between the hand's links and the object.
        hand: left or right; whose label says when the grasp should be.
        force_threshold: force that counts as contact. [N]
        min_contacts: number of links in contact that are a grasp. [links]
        grace_steps: how long after the onset the grasp may come. [control steps]
    """

    def __init__(
        self,
        env: TrackingEnv,
        *,
        sensor: str,
        hand: str = "right",
        force_threshold: float = 0.1,
        min_contacts: int = 3,
        grace_steps: int = 50,
    ) -> None:
        self._sensor = sensor
        self._hand = HANDS.index(hand)
        self._threshold = force_threshold
        self._min_contacts = min_contacts
        self._grace = grace_steps
        self._grasped = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
        self._since_onset = torch.full((env.num_envs,), -1, dtype=torch.long, device=env.device)

    def __call__(self, env: TrackingEnv) -> torch.Tensor:
        """Return (N,) bool."""
        contacts = (env.view.force_norm(self._sensor) > self._threshold).sum(dim=1)
        labelled = env.reference.contact_label[:, self._hand] > 0.5
        onset = torch.where(env.has_contact_labels, labelled, contacts > 0)
        started = onset | (self._since_onset >= 0)
        self._since_onset.copy_(torch.where(started, self._since_onset + 1, self._since_onset))
        self._grasped |= contacts >= self._min_contacts
        return (self._since_onset > self._grace) & ~self._grasped

    def reset(self, mask: torch.Tensor) -> None:
        """Forget the episodes of the mask (N,)."""
        self._grasped.masked_fill_(mask, False)
        self._since_onset.masked_fill_(mask, -1)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return who grasped, and since when they should have."""
        return {"grasped": self._grasped.clone(), "since_onset": self._since_onset.clone()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore who grasped, and since when they should have."""
        self._grasped.copy_(state["grasped"])
        self._since_onset.copy_(state["since_onset"])
