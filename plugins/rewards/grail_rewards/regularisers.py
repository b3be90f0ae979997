"""Penalties on what the policy asks for and how the robot moves. Each returns a non-negative magnitude (num_envs,)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from grail_framework.errors import ConfigError
from grail_framework.robots.rotations import quat_to_matrix

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv


def finger_primitive_limit(env: TrackingEnv) -> torch.Tensor:
    """Penalize hand primitives beyond the magnitude where they say nothing new: sum over hands of the excess (GRAIL release).

    The limit is 0.5 for discrete primitives. Zero for an action without primitives.
    """
    term = env.action_term
    return (term.primitives.abs() - term.primitive_limit).clamp_min(0.0).sum(dim=1)


def meta_action_rate_l2(env: TrackingEnv, *, token_only: bool = False) -> torch.Tensor:
    """Penalize change of the policy's output: |a_t - a_(t-1)|^2 over all its entries; 0 until two actions exist (GRAIL release).

    Args:
        env: the environment.
        token_only: leave out the hand primitives, which come last.
    """
    term = env.action_term
    counted = term.num_actions - (term.primitives.shape[1] if token_only else 0)
    change = (term.action - term.previous_action)[:, :counted].square().sum(dim=1)
    return change * (env.episode_length > 1)


class full_latent_rate_l2:  # noqa: N801 - terms are named as they are written in a config
    """Penalize change of the tokens that a frozen base policy acts on: sum of squares; 0 until two actions exist (GRAIL release).

    They are what its decoder reads, the quantised sum of its own latent and the policy's residual. A class only because it looks, once,
    whether the action has such tokens.

    Raises:
        ConfigError: the action transform has none.
    """

    def __init__(self, env: TrackingEnv) -> None:
        if not hasattr(env.action_term, "latent"):
            raise ConfigError(
                f"the reward full_latent_rate_l2 is about the tokens of the action latent_residual, and the action is "
                f"{env.cfg.action.func}: remove the term with ~rewards.full_latent_rate_l2"
            )

    def __call__(self, env: TrackingEnv) -> torch.Tensor:
        """Return (N,)."""
        term: Any = env.action_term
        change = (term.latent - term.previous_latent).square().sum(dim=1)
        return change * (env.episode_length > 1)


def action_rate_l2(env: TrackingEnv) -> torch.Tensor:
    """Penalize change of the policy's output: |a_t - a_(t-1)|^2; what came before the first action of an episode is 0."""
    return (env.action_term.action - env.action_term.previous_action).square().sum(dim=1)


def joint_limit(env: TrackingEnv) -> torch.Tensor:
    """Penalize joints beyond their soft limits: the sum of the excess [rad]; the robot says how soft they are."""
    lower, upper = env.soft_joint_limits
    position = env.state.joint_pos
    return ((lower - position).clamp_min(0.0) + (position - upper).clamp_min(0.0)).sum(dim=1)


class joint_acc_l2:  # noqa: N801 - terms are named as they are written in a config
    """Penalize acceleration of some joints: the sum of squares of the change of velocity over a control step [rad^2/s^4].

    0 in the first step of an episode. A class because it remembers the velocities.

    Args:
        env: the environment.
        joints: the joints it is about.
    """

    def __init__(self, env: TrackingEnv, joints: tuple[str, ...]) -> None:
        self._ids = env.joint_ids(joints)
        self._before = torch.full((env.num_envs, len(joints)), torch.nan, device=env.device)  # NaN: no step yet

    def __call__(self, env: TrackingEnv) -> torch.Tensor:
        """Return (N,)."""
        velocity = env.state.joint_vel.index_select(1, self._ids)
        change = torch.where(self._before.isnan(), 0.0, velocity - self._before)
        self._before.copy_(velocity)
        return (change / env.step_dt).square().sum(dim=1)

    def reset(self, mask: torch.Tensor) -> None:
        """Forget the velocities of the environments in the mask (N,)."""
        self._before.masked_fill_(mask.unsqueeze(1), torch.nan)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the velocities of the last step."""
        return {"before": self._before.clone()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the velocities of the last step."""
        self._before.copy_(state["before"])


class feet_acc(joint_acc_l2):  # noqa: N801
    """Penalize acceleration of the ankle joints: `joint_acc_l2` of both pitch and roll joints."""

    def __init__(self, env: TrackingEnv) -> None:
        super().__init__(env, tuple(name for name in env.robot.joint_names if "ankle" in name))


def upright_penalty(env: TrackingEnv, *, bodies: tuple[str, ...] = ("pelvis", "torso_link")) -> torch.Tensor:
    """Penalize tilt: sum over bodies of the squared horizontal part of gravity's direction in the link frame, sin^2 of the tilt.

    Args:
        env: the environment.
        bodies: the robot's bodies that should be upright.
    """
    quat = env.state.body_quat_w.index_select(1, env.body_ids(bodies))
    gravity = -quat_to_matrix(quat)[..., 2, :]  # the inverse rotation of (0, 0, -1)
    return gravity[..., :2].square().sum(dim=(1, 2))


def anti_shake_ang_vel(
    env: TrackingEnv,
    *,
    bodies: tuple[str, ...] = ("left_wrist_yaw_link", "right_wrist_yaw_link"),
    threshold: float = 1.5,
) -> torch.Tensor:
    """Penalize trembling: mean over bodies of the squared excess of the angular speed (GRAIL release).

    Args:
        env: the environment.
        bodies: the robot's bodies it is about.
        threshold: angular speed that is free. [rad/s]
    """
    speed = torch.linalg.vector_norm(env.state.body_ang_vel_w.index_select(1, env.body_ids(bodies)), dim=-1)
    return (speed - threshold).clamp_min(0.0).square().mean(dim=1)
