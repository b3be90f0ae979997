"""Which of the simulation's worlds each environment is.

Newton copies runs of equal worlds at once and unequal neighbours one by one, which takes three times as long or more. So worlds
that hold the same object lie side by side, and environments keep the order they were asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from grail_framework.engine.isaaclab.physics import NEWTON

if TYPE_CHECKING:
    from grail_framework.engine.objects import SceneObjects
    from grail_framework.engine.protocol import SceneSpec


@attrs.frozen(kw_only=True)
class WorldOrder:
    """A permutation of the environments."""

    env_of_world: tuple[int, ...]

    @property
    def world_of_env(self) -> tuple[int, ...]:
        """The world of each environment."""
        return tuple(int(world) for world in np.argsort(self.env_of_world))

    @property
    def is_identity(self) -> bool:
        """Whether environment k is world k."""
        return all(world == env for world, env in enumerate(self.env_of_world))

    def sort(self, objects: SceneObjects | None) -> SceneObjects | None:
        """Return the objects with `env_body` by world."""
        if objects is None:
            return None
        return attrs.evolve(objects, env_body=tuple(objects.env_body[env] for env in self.env_of_world))


def world_order(spec: SceneSpec, objects: SceneObjects | None) -> WorldOrder:
    """Sort environments by the object they hold, those of one object in their own order; PhysX keeps them as they are."""
    if objects is None or spec.physics != NEWTON:
        return WorldOrder(env_of_world=tuple(range(spec.num_envs)))
    return WorldOrder(env_of_world=tuple(int(env) for env in np.argsort(objects.env_body, kind="stable")))
