"""A pnp_ground environment without physics: what a step does is known exactly; and environments with their eager twins."""

import attrs
import pytest
import torch

from grail_framework.config import CurriculumTermCfg, EventTermCfg, ObservationTermCfg
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.motion.library import MotionLibrary
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_43dof
from grail_framework.testing.bases import without_base, write_base
from grail_framework.testing.fakes import KinematicEngine, standing_clip
from grail_framework.testing.tape import TapeGraph


@pytest.fixture(scope="session")
def robot():
    return g1_43dof()


@pytest.fixture(scope="session")
def manager():
    return GrailPluginManager().load()


@pytest.fixture(scope="session")
def registry(manager):
    return manager.registry


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A small base policy, for the action latent_residual."""
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def pnp_cfg(manager):
    return attrs.evolve(without_base(manager.registry.find("task", "hoi:pnp_ground").load()(), manager), num_envs=4)


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


class MaterialEngine(KinematicEngine):
    """Can be given other materials and masses."""

    randomizable = frozenset({"material", "body_mass", "body_com"})

    def __init__(self, spec):
        super().__init__(spec)
        shapes = {"material": (3,), "body_mass": (len(spec.robot.bodies),), "body_com": (len(spec.robot.bodies), 3)}
        self.given = {name: torch.zeros(spec.num_envs, *shape, device=self.device) for name, shape in shapes.items()}

    def randomize(self, quantity, mask, values):
        buffer = self.given[quantity]
        buffer.copy_(torch.where(mask.view(-1, *[1] * (buffer.ndim - 1)), values, buffer))


@pytest.fixture(scope="session")
def material_engine():
    return MaterialEngine


@pytest.fixture(params=["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def device(request):
    return request.param


@pytest.fixture
def build(robot, registry, tmp_path, device):
    """Build an environment; `twin`: its eager one."""

    def make(cfg, *, twin=False, seed=1, capture=None, frames=60, engine=KinematicEngine, derive="auto"):
        lengths = {"a": frames, "b": frames - 7}
        clips = [standing_clip(robot, key=key, frames=length, with_object=True) for key, length in lengths.items()]
        clips = [
            attrs.evolve(clip, object_usd=tmp_path / "object.usd", table_pos=[1, 0, 0.5], table_quat=[1, 0, 0, 0])
            for clip in clips
        ]
        motions = MotionLibrary.build(clips, robot, device=device, derive=derive)
        if capture is None:
            capture = TapeGraph if device == "cpu" else not twin
        env = TrackingEnv(
            cfg, engine(scene_spec(cfg, robot, motions, device=device)), motions, registry, seed=seed, capture=capture
        )
        if twin and env.graphs is not None:
            env.graphs.turn_off("it is the eager twin")
        return env

    return make


@pytest.fixture
def pair(build):
    def make(cfg, **options):
        return build(cfg, **options), build(cfg, twin=True, **options)

    return make


@pytest.fixture
def rich_cfg(pnp_cfg):
    """With events of all modes, noise, a history and a curriculum."""
    groups = dict(pnp_cfg.observations)
    terms = groups["policy"].terms | {"past": ObservationTermCfg(func="core:joint_vel", history_length=3)}
    groups["policy"] = attrs.evolve(groups["policy"], enable_corruption=True, width=None, terms=terms)
    ramp = {"reward": "tracking_anchor_ori", "start": 0.0, "end": 5.0, "to_iteration": 6}
    return attrs.evolve(
        pnp_cfg,
        num_envs=8,
        observations=groups,
        events={
            "push": EventTermCfg(func="core:push_robot", mode="interval", interval_range_s=(0.1, 0.3)),
            "zeros": EventTermCfg(func="core:joint_default_pos", mode="reset"),
            "surface": EventTermCfg(func="core:physics_material", mode="reset", train_only=False),
        },
        curriculums={"ramp": CurriculumTermCfg(func="core:reward_weight", params=ramp)},
        algorithm=attrs.evolve(pnp_cfg.algorithm, num_steps_per_env=8),
    )


def _actions(env, count, seed=0):
    drawn = 0.3 * torch.randn(count, env.num_envs, env.num_actions, generator=torch.Generator().manual_seed(seed))
    return drawn.to(env.device)


def _assert_same(ours, theirs):
    for name, value in ours[0].items():
        assert torch.equal(value, theirs[0][name]), name
    for one, other in zip(ours[1:4], theirs[1:4], strict=True):
        assert torch.equal(one, other)


def _step_both(envs, count, seed=0):
    """Take the same steps in both and compare everything; return how many episodes ended."""
    ended = 0
    for action in _actions(envs[0], count, seed):
        ours, theirs = (env.step(action) for env in envs)
        _assert_same(ours, theirs)
        ended += int((ours[2] | ours[3]).sum())
    return ended


@pytest.fixture(scope="session")
def actions():
    return _actions


@pytest.fixture(scope="session")
def assert_same():
    return _assert_same


@pytest.fixture(scope="session")
def step_both():
    return _step_both
