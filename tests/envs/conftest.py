"""A pnp_ground environment without physics: what a step does is known exactly."""

import attrs
import pytest

from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.motion.library import MotionLibrary
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_43dof
from grail_framework.testing.fakes import KinematicEngine, standing_clip


@pytest.fixture(scope="session")
def robot():
    return g1_43dof()


@pytest.fixture(scope="session")
def registry():
    return GrailPluginManager().load().registry


@pytest.fixture
def pnp_cfg(registry):
    return attrs.evolve(registry.find("task", "hoi:pnp_ground").load()(), num_envs=4)


@pytest.fixture
def make_env(robot, registry, tmp_path):
    """Build an environment of `pnp_ground`; `clips` default to one with an object and contact labels."""

    def build(cfg, clips=None, seed=0):
        clips = clips or [standing_clip(robot, with_object=True)]
        clips = [attrs.evolve(clip, object_usd=tmp_path / "object.usd") for clip in clips]
        motions = MotionLibrary.build(clips, robot, device="cpu")
        spec = scene_spec(cfg, robot, motions, device="cpu")
        return TrackingEnv(cfg, KinematicEngine(spec), motions, registry, seed=seed)

    return build


@pytest.fixture
def env(make_env, pnp_cfg):
    return make_env(pnp_cfg)
