"""A plugin in one file: a reward that likes calm joints.

grail --plugin-file examples/calm.py plugins check calm
grail --plugin-file examples/calm.py run --task motion_tracking '+rewards.calm={func: "calm:calm_joints", weight: -0.01}'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grail_framework import hookimpl

if TYPE_CHECKING:
    import torch

    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.registry import Registrar

grail_api = ">=1,<2"


@hookimpl
def grail_register_rewards(registry: Registrar) -> None:
    """Register the reward; the target is looked up in this file when an environment is built."""
    registry.add("calm_joints", "calm:calm_joints", summary="Mean squared joint velocity")


def calm_joints(env: TrackingEnv) -> torch.Tensor:
    """Give the mean squared joint velocity (num_envs,) [rad^2/s^2]."""
    return env.state.joint_vel.square().mean(dim=-1)
