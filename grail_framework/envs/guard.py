"""The NaN guard: an environment that leaves the finite world is found, reset and counted; nothing of it reaches the learner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from grail_framework.engine.protocol import SceneState

LIMIT = 1e6
"""Largest magnitude of a state, observation or reward that still counts as valid."""


def invalid_rows(tensor: torch.Tensor) -> torch.Tensor:
    """Find the rows (N,) of a tensor (N, ...) that hold a non-finite number or one above the limit."""
    # The comparison is false for NaN, so its negation covers both cases.
    return ~(tensor.abs() <= LIMIT).flatten(1).all(dim=1)


def invalid_states(state: SceneState) -> torch.Tensor:
    """Find the environments (N,) whose simulated state is invalid."""
    parts = (
        state.root_pos_w,
        state.root_quat_w,
        state.root_lin_vel_w,
        state.root_ang_vel_w,
        state.joint_pos,
        state.joint_vel,
        state.object_pos_w,
        state.object_quat_w,
        state.object_lin_vel_w,
        state.object_ang_vel_w,
    )
    forces = [force.flatten(1) for force in state.contact_forces.values()]
    return invalid_rows(torch.cat([*parts, *forces], dim=1))
