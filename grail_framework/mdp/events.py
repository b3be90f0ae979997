"""Disturbances and domain randomisation. Each changes the environments of a mask (num_envs,); defaults are the release's `level0_4`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import torch

from grail_framework.engine.protocol import BODY_COM, BODY_MASS, MATERIAL
from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from grail_framework.engine.protocol import RandomizingEngine
    from grail_framework.envs.tracking_env import TrackingEnv

type Range = tuple[float, float]


def _uniform(env: TrackingEnv, *shape: int) -> torch.Tensor:
    """Draw (num_envs, *shape) from 0 to 1, the same number of draws whichever environments are meant."""
    return torch.rand(env.num_envs, *shape, generator=env.generator, device=env.device)


class push_robot:  # noqa: N801 - terms are named as they are written in a config
    """Add a random velocity to the robot's root, uniform up to a bound in either direction along every axis of the world.

    Args:
        env: the environment.
        linear: bounds along x, y, z. [m/s]
        angular: bounds about x, y, z. [rad/s]
    """

    def __init__(
        self,
        env: TrackingEnv,
        linear: tuple[float, float, float] = (0.5, 0.5, 0.2),
        angular: tuple[float, float, float] = (0.52, 0.52, 0.78),
    ) -> None:
        self._bound = torch.tensor([*linear, *angular], device=env.device)

    def __call__(self, env: TrackingEnv, mask: torch.Tensor) -> None:
        """Push the environments of the mask."""
        change = (2.0 * _uniform(env, 6) - 1.0) * self._bound
        state = env.state
        env.engine.set_root_velocity(mask, state.root_lin_vel_w + change[:, :3], state.root_ang_vel_w + change[:, 3:])


def joint_default_pos(env: TrackingEnv, mask: torch.Tensor, spread: float = 0.01) -> None:
    """Shift what counts as zero of every joint, as a badly calibrated encoder does: in actions and in the observed positions.

    Args:
        env: the environment.
        mask: where.
        spread: bound of the uniform shift. [rad]
    """
    shift = spread * (2.0 * _uniform(env, env.robot.num_joints) - 1.0)
    env.set_joint_offset(torch.where(mask.unsqueeze(1), shift, env.joint_offset))


class physics_material:  # noqa: N801
    """Give the robot's surfaces one of a few materials drawn at the start.

    Args:
        env: the environment.
        static_friction: bounds of static friction. [-]
        dynamic_friction: bounds of dynamic friction. [-]
        restitution: bounds of restitution. [-]
        num_buckets: number of materials. [-]
    """

    needs: Final = MATERIAL

    def __init__(
        self,
        env: TrackingEnv,
        static_friction: Range = (0.3, 1.6),
        dynamic_friction: Range = (0.3, 1.2),
        restitution: Range = (0.0, 0.5),
        num_buckets: int = 64,
    ) -> None:
        low, high = torch.tensor([static_friction, dynamic_friction, restitution], device=env.device).unbind(-1)
        share = torch.rand(num_buckets, 3, generator=env.generator, device=env.device)
        self._buckets = low + (high - low) * share

    def __call__(self, env: TrackingEnv, mask: torch.Tensor) -> None:
        """Draw a material for the environments of the mask."""
        bucket = (_uniform(env) * len(self._buckets)).long().clamp_max(len(self._buckets) - 1)
        cast("RandomizingEngine", env.engine).randomize(MATERIAL, mask, self._buckets[bucket])


class body_com:  # noqa: N801
    """Shift the centre of mass of some bodies, uniform up to a bound in either direction along every axis of the link.

    Args:
        env: the environment.
        bodies: the robot's bodies it is about; regular expressions are matched whole.
        shift: bounds along x, y, z. [m]
    """

    needs: Final = BODY_COM

    def __init__(
        self,
        env: TrackingEnv,
        bodies: tuple[str, ...] = ("torso_link",),
        shift: tuple[float, float, float] = (0.025, 0.05, 0.05),
    ) -> None:
        self._bound = torch.zeros(len(env.robot.bodies), 3, device=env.device)
        self._bound[env.body_ids(env.robot.match_bodies(bodies))] = torch.tensor(shift, device=env.device)

    def __call__(self, env: TrackingEnv, mask: torch.Tensor) -> None:
        """Shift in the environments of the mask."""
        shift = (2.0 * _uniform(env, *self._bound.shape) - 1.0) * self._bound
        cast("RandomizingEngine", env.engine).randomize(BODY_COM, mask, shift)


class body_mass:  # noqa: N801
    """Scale the mass and inertia of some bodies, each by its own uniform factor.

    Args:
        env: the environment.
        scale: bounds of the factor. [-]
        bodies: the robot's bodies it is about; regular expressions are matched whole.
    """

    needs: Final = BODY_MASS

    def __init__(self, env: TrackingEnv, scale: Range = (0.9, 1.1), bodies: tuple[str, ...] = (".*",)) -> None:
        if not 0.0 < scale[0] <= scale[1]:
            raise ConfigError(f"body_mass: scale: got {list(scale)}, allowed: [lowest, highest] above 0")
        self._low, self._high = scale
        self._about = torch.zeros(len(env.robot.bodies), dtype=torch.bool, device=env.device)
        self._about[env.body_ids(env.robot.match_bodies(bodies))] = True

    def __call__(self, env: TrackingEnv, mask: torch.Tensor) -> None:
        """Scale in the environments of the mask."""
        factor = self._low + (self._high - self._low) * _uniform(env, len(self._about))
        cast("RandomizingEngine", env.engine).randomize(BODY_MASS, mask, torch.where(self._about, factor, 1.0))
