"""A pnp_ground environment without physics, whose every step is known: the robot and the object stay where they were put."""

import attrs
import pytest

from grail_framework import hookimpl
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.motion.library import MotionLibrary
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_43dof
from grail_framework.testing.bases import without_base
from grail_framework.testing.fakes import KinematicEngine, standing_clip


class KinematicPlugin:
    """Provides the engine without physics."""

    grail_api = ">=1,<2"

    @hookimpl
    def grail_register_engines(self, registry):
        registry.add("kinematic", "grail_framework.testing.fakes:KinematicEngine")


@pytest.fixture(scope="session")
def robot():
    return g1_43dof()


@pytest.fixture(scope="session")
def manager():
    loaded = GrailPluginManager().load()
    loaded.register(KinematicPlugin(), "kinematics")
    return loaded


@pytest.fixture
def cfg(manager):
    """Terminations as released; start frames drawn, as in training."""
    cfg = without_base(manager.registry.find("task", "hoi:pnp_ground").load()(), manager)
    return attrs.evolve(cfg, num_envs=4, rewards={})


@pytest.fixture
def make_env(robot, manager, tmp_path):
    """Build an environment of clips with an object, given as {key: number of frames}."""

    def build(cfg, lengths, seed=0):
        clips = [standing_clip(robot, key=key, with_object=True, frames=n) for key, n in lengths.items()]
        clips = [attrs.evolve(clip, object_usd=tmp_path / "object.usd") for clip in clips]
        motions = MotionLibrary.build(clips, robot, device="cpu")
        engine = KinematicEngine(scene_spec(cfg, robot, motions, device="cpu"))
        return TrackingEnv(cfg, engine, motions, manager.registry, seed=seed)

    return build
