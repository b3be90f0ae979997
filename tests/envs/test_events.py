"""Disturbances and randomisation: when they happen, what they change, and what is refused."""

import attrs
import numpy as np
import pytest
import torch

from grail_framework.config import EventTermCfg
from grail_framework.engine.protocol import BODY_COM, BODY_MASS, MATERIAL, RandomizingEngine
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.errors import ConfigError
from grail_framework.motion.library import MotionLibrary
from grail_framework.tasks.randomisation import level0_4
from grail_framework.testing.fakes import KinematicEngine, standing_clip


class RandomizingFake(KinematicEngine):
    """Notes what it is asked to change."""

    def __init__(self, spec, able):
        super().__init__(spec)
        self.randomizable = frozenset(able)
        self.given = {}

    def randomize(self, quantity, mask, values):
        assert mask.all()
        self.given[quantity] = values


N = 64


def zero(env):
    return torch.zeros(env.num_envs, env.num_actions)


def with_events(cfg, **events):
    return attrs.evolve(
        cfg,
        num_envs=N,
        events=events,
        terminations={},
        command=attrs.evolve(cfg.command, start_from_first_frame=True, sample_before_contact=False),
    )


def push(low, high, **other):
    return EventTermCfg(func="core:push_robot", mode="interval", interval_range_s=(low, high), **other)


def test_no_task_has_events(registry):
    assert all(not entry.load()().events for entry in registry.entries("task"))


def test_pushes_come_at_their_intervals_and_within_their_bounds(make_env, pnp_cfg):
    env = make_env(with_events(pnp_cfg, push=push(0.1, 0.2)))
    env.reset()
    before = torch.cat((env.state.root_lin_vel_w, env.state.root_ang_vel_w), dim=1).clone()
    gaps, last = [], np.zeros(N)
    bound = torch.tensor([0.5, 0.5, 0.2, 0.52, 0.52, 0.78])
    for step in range(1, 40):
        env.step(zero(env))
        now = torch.cat((env.state.root_lin_vel_w, env.state.root_ang_vel_w), dim=1)
        change = now - before
        before = now.clone()
        pushed = (change != 0).any(dim=1)
        assert (change.abs() <= bound + 1e-6).all()
        gaps.extend((step - last)[pushed.numpy()])
        last[pushed.numpy()] = step
    assert (min(gaps), max(gaps)) == (5, 10)  # 0.1 to 0.2 s at 50 Hz
    assert env.observations["policy"].isfinite().all()


def test_the_push_is_in_the_observation_of_its_step(make_env, pnp_cfg):
    env = make_env(with_events(pnp_cfg, push=push(0.02, 0.02)))
    env.reset()
    observations, *_ = env.step(zero(env))
    velocity = slice(58 + 580 + 3 + 60 + 6, 58 + 580 + 3 + 60 + 6 + 3)
    torch.testing.assert_close(observations["policy"][:, velocity], env.state.root_lin_vel_w)  # the clip is upright
    assert (env.state.root_lin_vel_w[:, 1] != 0).all()


def test_train_only_events_rest_at_evaluation(make_env, pnp_cfg):
    for train_only in (True, False):
        env = make_env(with_events(pnp_cfg, push=push(0.02, 0.02, train_only=train_only)))
        env.begin_evaluation()
        env.reset()
        env.step(zero(env))
        assert bool((env.state.root_lin_vel_w[:, 1] == 0).all()) == train_only


def test_joint_offsets_shift_targets_and_observations(make_env, pnp_cfg, robot):
    event = EventTermCfg(func="core:joint_default_pos", mode="startup", params={"spread": 0.01})
    env = make_env(with_events(pnp_cfg, zeros=event))
    offset = env.joint_offset
    assert offset.abs().max() <= 0.01
    assert 0.0055 < offset.std() < 0.0061  # of a uniform draw: 0.01 / sqrt(3)
    env.reset()
    torch.testing.assert_close(env.state.joint_pos, env.state.joint_pos[:1].expand(N, -1))  # resets are exact
    action = zero(env)
    action[:, 29:] = -1.0
    env.step(action)
    # The kinematic joints are at their targets: the reference, which is the default pose, and open hands, each with its offset.
    default = torch.tensor([joint.default_pos for joint in robot.joints])
    torch.testing.assert_close(env.state.joint_pos, default + offset)
    layout = env.groups["policy"].layout
    parts = dict(zip(layout, env.observations["policy"].split(list(layout.values()), dim=1), strict=True))
    torch.testing.assert_close(parts["joint_pos"], torch.zeros(N, 43), atol=1e-6, rtol=0)


def test_reset_events_happen_where_an_episode_begins(make_env, pnp_cfg):
    event = EventTermCfg(func="core:joint_default_pos", mode="reset", params={"spread": 0.1})
    env = make_env(with_events(pnp_cfg, zeros=event))
    assert (env.joint_offset == 0).all()
    env.reset()
    first = env.joint_offset.clone()
    mask = torch.arange(N) % 2 == 0
    env.reset(mask)
    assert torch.equal(env.joint_offset[~mask], first[~mask])
    assert (env.joint_offset[mask] != first[mask]).any(dim=1).all()


def test_what_the_engine_cannot_change_is_refused_by_name(make_env, pnp_cfg):
    event = EventTermCfg(func="core:physics_material", mode="startup")
    cfg = with_events(pnp_cfg, slippery=event)
    with pytest.raises(
        ConfigError, match=r"events\.slippery: .*restitution.* \(material\), which the engine .* cannot.*~events\.slippery"
    ):
        make_env(cfg)


def test_the_release_preset_draws_within_its_bounds(pnp_cfg, robot, registry, tmp_path):
    cfg = with_events(pnp_cfg, **level0_4())
    clip = attrs.evolve(standing_clip(robot, with_object=True), object_usd=tmp_path / "object.usd")
    motions = MotionLibrary.build([clip], robot, device="cpu")
    spec = scene_spec(cfg, robot, motions, device="cpu")
    with pytest.raises(ConfigError, match="body_mass"):
        TrackingEnv(cfg, RandomizingFake(spec, {MATERIAL, BODY_COM}), motions, registry)
    engine = RandomizingFake(spec, {MATERIAL, BODY_COM, BODY_MASS})
    assert isinstance(engine, RandomizingEngine)
    env = TrackingEnv(cfg, engine, motions, registry)
    material, com, mass = engine.given[MATERIAL], engine.given[BODY_COM], engine.given[BODY_MASS]
    low, high = torch.tensor([0.3, 0.3, 0.0]), torch.tensor([1.6, 1.2, 0.5])
    assert ((material >= low) & (material <= high)).all()
    assert len(material.unique(dim=0)) <= 64
    assert len(material.unique(dim=0)) > 30
    torso = robot.body_names.index("torso_link")
    assert (com[:, torso].abs() <= torch.tensor([0.025, 0.05, 0.05])).all()
    assert (com[:, torso] != 0).all()
    assert (com[:, :torso] == 0).all()
    assert ((mass >= 0.9) & (mass <= 1.1)).all()
    assert mass.shape == (N, len(robot.bodies))
    assert env.events.any_interval


def test_intervals_and_offsets_go_on_after_a_restart(make_env, pnp_cfg):
    zeros = EventTermCfg(func="core:joint_default_pos", mode="reset", params={"spread": 0.1})
    cfg = attrs.evolve(with_events(pnp_cfg, push=push(0.1, 0.3), zeros=zeros), num_envs=8)
    env = make_env(cfg, seed=1)
    env.reset()
    for _ in range(7):
        env.step(zero(env))
    other = make_env(cfg, seed=2)
    other.load_state_dict(env.state_dict())
    for _ in range(16):
        ours, theirs = env.step(zero(env))[0], other.step(zero(other))[0]
        assert torch.equal(ours["policy"], theirs["policy"])
