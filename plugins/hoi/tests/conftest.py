"""A pnp_ground environment without physics that acts through a small base policy, for the tests of `latent_residual`."""

from __future__ import annotations

import attrs
import pytest

from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.motion.library import MotionLibrary
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_43dof
from grail_framework.testing.bases import with_base, write_base
from grail_framework.testing.fakes import KinematicEngine, standing_clip

NUM_ENVS = 4


@pytest.fixture(scope="module")
def robot():
    return g1_43dof()


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"), seed=3)


@pytest.fixture
def make(robot, manager, base, tmp_path):
    """Build an environment of pnp_ground without physics."""

    def build(*, folder=None, capture=None, led=False, frames=40, change=lambda cfg: cfg, **params):
        cfg = with_base(manager.registry.find("task", "hoi:pnp_ground").load()(), folder or base)
        cfg = attrs.evolve(
            cfg,
            num_envs=NUM_ENVS,
            action=attrs.evolve(cfg.action, params={**cfg.action.params, **params}),
            command=attrs.evolve(cfg.command, use_motion_hand_actions=led),
            network=attrs.evolve(cfg.network, params={"actor_hidden_dims": (8,), "critic_hidden_dims": (8,)}),
        )
        cfg = change(cfg)
        clips = [
            attrs.evolve(standing_clip(robot, key=key, frames=length, with_object=True), object_usd=tmp_path / "object.usd")
            for key, length in (("a", frames), ("b", frames - 7))
        ]
        motions = MotionLibrary.build(clips, robot, device="cpu")
        engine = KinematicEngine(scene_spec(cfg, robot, motions, device="cpu"))
        return TrackingEnv(cfg, engine, motions, manager.registry, seed=1, capture=capture)

    return build
