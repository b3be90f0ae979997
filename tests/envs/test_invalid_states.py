"""The guard against invalid numbers: what it keeps, what a replay of it says, and that nothing reaches the learner."""

import attrs
import pytest
import torch
from accelerate import Accelerator

from grail_framework.config import RewardTermCfg, TerminationTermCfg
from grail_framework.envs.guard import RING_LENGTH
from grail_framework.envs.replay import recorded_outcome, replay
from grail_framework.errors import CheckpointError
from grail_framework.learning.networks import mlp
from grail_framework.learning.runner import OnPolicyRunner

NAN = float("nan")


@pytest.fixture
def cfg(pnp_cfg):
    """Episodes from frame 0 that end with the motion alone."""
    return attrs.evolve(
        pnp_cfg,
        command=attrs.evolve(pnp_cfg.command, start_from_first_frame=True, sample_before_contact=False),
        rewards={"ori": RewardTermCfg(func="core:tracking_anchor_ori", weight=1.0, params={"std": 0.4})},
        terminations={"end": TerminationTermCfg(func="core:tracking_time_out", time_out=True)},
    )


def actions(env, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(count, env.num_envs, env.num_actions, generator=generator)


def stepped(env, taken):
    env.reset()
    for action in taken:
        env.step(action)
    return env


def names(findings):
    return [(finding.step, finding.what) for finding in findings]


def test_nothing_is_kept_of_what_stays_valid(make_env, cfg):
    env = make_env(cfg)
    stepped(env, actions(env, 5))
    assert env.drain_invalid() == []


def test_an_invalid_action_is_kept_with_what_came_before(make_env, cfg):
    env = make_env(cfg)
    taken = actions(env, 8)
    taken[4, 2, 7] = NAN
    stepped(env, taken)
    (record,) = env.drain_invalid()
    assert (record.env, record.motion, record.reason, record.start) == (2, "stand", "state", 0)
    assert record.frames == [0, 1, 2, 3, 4]
    assert record.steps == [0, 1, 2, 3, 4]
    assert torch.equal(record.actions[:4], taken[:4, 2])
    assert record.actions[4].isnan().nonzero().flatten().tolist() == [7]
    root = record.states[:, :3]
    torch.testing.assert_close(root, env.state.root_pos_w[:1].expand(5, 3))  # the kinematic root stands still
    assert "state.joint_pos" in {what for _, what in names(recorded_outcome(record))}
    assert env.drain_invalid() == []  # drained


def test_a_ring_holds_the_last_steps_of_one_episode(make_env, cfg):
    env = make_env(cfg)
    taken = actions(env, 30)
    taken[29, 0, 0] = NAN
    stepped(env, taken)
    (record,) = env.drain_invalid()
    assert record.frames == list(range(30 - RING_LENGTH, 30))
    assert torch.equal(record.actions[:-1], taken[30 - RING_LENGTH : 29, 0])
    # The motion has 60 frames: five steps into the second episode, whose first action is taken on frame 1.
    taken = actions(env, 65)
    taken[64, 0, 0] = NAN
    stepped(env, taken)
    (record,) = env.drain_invalid()
    assert record.frames == [1, 2, 3, 4, 5]
    assert record.steps == [0, 1, 2, 3, 4]


def test_the_first_of_several_is_kept(make_env, cfg):
    env = make_env(cfg)
    taken = actions(env, 12)
    taken[3, 1, 0] = taken[9, 1, 0] = NAN
    stepped(env, taken)
    (record,) = env.drain_invalid()
    assert record.frames == [0, 1, 2, 3]
    assert env.drain_metrics()["env/invalid_env_resets"] == 2


def test_a_replay_names_the_action(make_env, cfg):
    env = make_env(cfg)
    taken = actions(env, 6)
    taken[5, 3, 7] = NAN
    stepped(env, taken)
    (record,) = env.drain_invalid()
    findings = replay(make_env(attrs.evolve(cfg, num_envs=1)), record)
    assert names(findings) == [(5, "action")]
    assert findings[0].entries == (7,)


def test_a_replay_names_the_state(make_env, cfg):
    env = make_env(cfg)
    env.reset()
    taken = actions(env, 4)
    for action in taken[:3]:
        env.step(action)
    env.state.object_pos_w[1, 2] = 2e6
    env.step(taken[3])
    (record,) = env.drain_invalid()
    # The observation of that state is invalid before anything else.
    found = names(replay(make_env(attrs.evolve(cfg, num_envs=1)), record))
    assert found[0] == (3, "observation.policy.target_object_pos")
    assert names(recorded_outcome(record)) == [(3, "state.object_pos_w")]


def breaks_at(env, frame):
    """Make the reward NaN on a frame, in every environment."""
    term = env.rewards.terms["ori"]
    plain = term.compute
    broken = attrs.evolve(term, compute=lambda: torch.where(env.command.frame == frame, NAN, plain()))
    env.rewards.terms["ori"] = broken
    return env


def test_a_replay_names_the_reward(make_env, cfg):
    env = breaks_at(make_env(cfg), frame=7)
    stepped(env, actions(env, 10))
    records = env.drain_invalid()
    assert [record.reason for record in records] == ["reward"] * 4
    findings = replay(breaks_at(make_env(attrs.evolve(cfg, num_envs=1)), frame=7), records[2])
    assert names(findings) == [(7, "reward.ori")]
    assert recorded_outcome(records[2]) == []


def test_an_invalid_observation_is_hidden_and_its_environment_reset_in_the_next_step(make_env, cfg):
    env = make_env(cfg)
    env.reset()
    group = env.groups["policy"]
    term = group._terms["joint_pos"].compute.term
    plain = term.compute
    broken = torch.zeros(4, 43)
    broken[1, 5] = NAN
    group._terms["joint_pos"].compute.term = attrs.evolve(term, compute=lambda: plain() + broken)
    action = torch.zeros(4, env.num_actions)
    observations, _, terminated, *_ = env.step(action)
    assert not terminated.any()
    assert (observations["policy"][1] == 0).all()
    broken.zero_()
    _, _, terminated, *_ = env.step(action)
    assert terminated.tolist() == [False, True, False, False]
    (record,) = env.drain_invalid()
    assert (record.env, record.reason) == (1, "observation")
    _, _, terminated, *_ = env.step(action)
    assert not terminated.any()


def test_a_record_of_another_scene_is_refused(make_env, cfg):
    env = make_env(cfg)
    taken = actions(env, 1)
    taken[0, 0, 0] = NAN
    stepped(env, taken)
    (record,) = env.drain_invalid()
    with pytest.raises(CheckpointError, match="the record is of a state"):
        replay(env, record)


def test_nothing_invalid_reaches_the_optimiser(make_env, cfg):
    cfg = attrs.evolve(cfg, algorithm=attrs.evolve(cfg.algorithm, num_steps_per_env=6, num_learning_epochs=2))
    env = make_env(cfg)
    simulate, count = env.engine.step, [0]

    def poisoned(targets):
        simulate(targets)
        count[0] += 1
        if count[0] % 4 == 0:
            env.state.joint_vel[count[0] % 3, 3] = NAN
            env.state.object_pos_w[3] = float("inf")

    env.engine.step = poisoned
    network = mlp(
        actor_obs_dim=984,
        critic_obs_dim=1101,
        num_actions=env.num_actions,
        init_noise_std=0.05,
        min_noise_std=0.001,
        max_noise_std=0.5,
        actor_hidden_dims=(16,),
        critic_hidden_dims=(16,),
    )
    runner = OnPolicyRunner(env, cfg, network, Accelerator(cpu=True))
    metrics = runner.learn(3)
    assert metrics["env/invalid_env_resets"] > 0
    rollout = runner.rollout
    for tensor in (*rollout.observations.values(), rollout.rewards, rollout.value, rollout.returns, rollout.advantages):
        assert tensor.isfinite().all()
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    assert all(value == value for value in metrics.values())
    assert len(env.drain_invalid()) > 0
