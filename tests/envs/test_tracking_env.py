import attrs
import pytest
import torch

from grail_framework.config import ObservationTermCfg, RewardTermCfg
from grail_framework.errors import CheckpointError, ConfigError, DataError, EnvContractError, NotFoundError
from grail_framework.testing.fakes import standing_clip


def zero(env):
    return torch.zeros(env.num_envs, env.num_actions)


def first_frame(cfg):
    return attrs.evolve(cfg, command=attrs.evolve(cfg.command, start_from_first_frame=True, sample_before_contact=False))


def test_layout_is_that_of_the_release(env):
    assert env.observation_dims == {"policy": 984, "critic": 1101}
    policy = env.groups["policy"].layout
    assert list(policy.values()) == [58, 580, 3, 60, 6, 3, 3, 43, 43, 43, 3, 12, 30, 60, 9, 3, 6, 3, 6, 10]
    critic = env.groups["critic"].layout
    assert list(critic.values()) == [58, 580, 3, 6, 60, 42, 84, 3, 3, 43, 43, 43, 3, 12, 30, 60, 9, 3, 6, 3, 6, 1]


def test_full_reset_shows_the_start_frame_and_a_step_the_next_one(make_env, pnp_cfg):
    env = make_env(first_frame(pnp_cfg))
    observations = env.reset()
    assert env.command.frame.tolist() == [0, 0, 0, 0]
    # The clip drifts along x by 1 cm a frame; its root stands where the robot was put.
    torch.testing.assert_close(observations["policy"][:, 638:641], torch.zeros(4, 3), atol=1e-6, rtol=0)
    observations, *_ = env.step(zero(env))
    assert env.command.frame.tolist() == [1, 1, 1, 1]
    # The kinematic robot has not moved: the observation shows frame 1, 1 cm ahead of it.
    torch.testing.assert_close(observations["policy"][:, 638], torch.full((4,), 0.01), atol=1e-6, rtol=0)


def test_the_reward_is_computed_on_the_frame_the_observation_showed(make_env, pnp_cfg):
    cfg = first_frame(pnp_cfg)
    term = RewardTermCfg(func="core:tracking_anchor_pos", weight=1.0, params={"std": 0.1})
    env = make_env(attrs.evolve(cfg, rewards={"anchor": term}))
    env.reset()
    expected = [0.0, 0.01, 0.02, 0.03]  # error of frames 0, 1, 2, 3 for a robot that stays at frame 0
    for error in expected:
        _, reward, *_ = env.step(zero(env))
        want = 0.02 * torch.exp(torch.tensor(-((error / 0.1) ** 2)))
        torch.testing.assert_close(reward, want.expand(4), atol=1e-6, rtol=1e-5)


def test_a_reset_inside_a_step_stands_at_s_and_shows_s_plus_one(make_env, pnp_cfg, robot):
    cfg = first_frame(pnp_cfg)
    cfg = attrs.evolve(cfg, terminations={k: v for k, v in cfg.terminations.items() if v.time_out})
    env = make_env(cfg, [standing_clip(robot, frames=35, with_object=True)])
    env.reset()
    length = int(env.command.num_frames[0])
    for step in range(length):
        observations, _, terminated, truncated, _ = env.step(zero(env))
        assert not terminated.any()
        assert truncated.all() == (step == length - 1)
    assert env.command.frame.tolist() == [1, 1, 1, 1]
    assert env.episode_length.tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(env.state.root_pos_w[:, 0], torch.zeros(4))
    torch.testing.assert_close(observations["policy"][:, 638], torch.full((4,), 0.01), atol=1e-6, rtol=0)
    # The last action is forgotten.
    actions = slice(58 + 580 + 3 + 60 + 6 + 3 + 3 + 86, 58 + 580 + 3 + 60 + 6 + 3 + 3 + 86 + 43)
    assert (observations["policy"][:, actions] == 0).all()


def test_start_frames_lie_before_the_first_contact(make_env, pnp_cfg):
    env = make_env(attrs.evolve(pnp_cfg, num_envs=512))
    env.reset()
    # First contact at frame 30, margin 10: uniform on 0 .. 19.
    counts = torch.bincount(env.command.start, minlength=20)
    assert len(counts) == 20
    assert counts.min() > 5


def test_no_contact_data_is_refused_with_the_release_message(make_env, pnp_cfg, robot):
    clip = standing_clip(robot, with_object=True)
    clip = attrs.evolve(clip, object=attrs.evolve(clip.object, contact_points=None))
    with pytest.raises(DataError, match="sample_before_contact=True but no contact data available"):
        make_env(pnp_cfg, [clip])


def test_environment_k_follows_motion_k_mod_m(make_env, pnp_cfg, robot):
    clips = [standing_clip(robot, key=key, with_object=True, frames=n) for key, n in (("a", 40), ("b", 50), ("c", 60))]
    env = make_env(pnp_cfg, clips)
    assert env.command.motion_ids.tolist() == [0, 1, 2, 0]
    assert env.command.num_frames.tolist() == [40, 50, 60, 40]


def test_joint_residual_targets(make_env, pnp_cfg, robot):
    env = make_env(first_frame(pnp_cfg))
    env.reset()
    action = zero(env)
    action[:, 0] = 0.5  # left hip pitch, scale 0.35066
    action[:, 29], action[:, 30] = -0.3, 0.3  # left open, right closed
    env.step(action)
    joints = dict(zip(robot.joint_names, env.state.joint_pos[0].tolist(), strict=True))
    assert joints["left_hip_pitch_joint"] == pytest.approx(-0.312 + 0.5 * 0.35066, abs=1e-5)
    assert joints["right_hip_pitch_joint"] == pytest.approx(-0.312, abs=1e-6)
    assert joints["left_hand_index_0_joint"] == 0.0
    assert joints["right_hand_index_0_joint"] == pytest.approx(1.0, abs=1e-5)
    assert joints["right_hand_index_1_joint"] == pytest.approx(1.5, abs=1e-5)
    assert joints["right_hand_thumb_1_joint"] == pytest.approx(-0.7, abs=1e-5)
    assert env.action_term.primitives[0].tolist() == pytest.approx([-0.3, 0.3])


def test_actions_are_clipped_before_their_scale(env):
    env.reset()
    action = zero(env)
    action[:, 0] = 100.0
    env.step(action)
    assert env.action_term.joint_action[:, 0].tolist() == [20.0] * 4


def test_motion_hand_actions_replace_the_primitives(make_env, pnp_cfg):
    env = make_env(attrs.evolve(pnp_cfg, command=attrs.evolve(pnp_cfg.command, use_motion_hand_actions=True)))
    env.reset()
    action = zero(env)
    action[:, 29:] = -1.0
    env.step(action)
    assert (env.action_term.primitives == 1.0).all()  # the clip's hands are closed


def test_a_state_that_is_not_finite_is_reset_and_counted(env):
    env.reset()
    env.drain_metrics()
    targets_step = env.engine.step

    def poisoned(targets):
        targets_step(targets)
        env.state.joint_vel[2, 5] = float("nan")
        env.state.object_pos_w[3, 0] = 2e6

    env.engine.step = poisoned
    observations, reward, terminated, truncated, _ = env.step(zero(env))
    assert terminated.tolist() == [False, False, True, True]
    assert not truncated.any()
    assert reward[2:].tolist() == [0.0, 0.0]
    assert torch.isfinite(reward).all()
    assert all(torch.isfinite(group).all() for group in observations.values())
    assert torch.isfinite(env.state.joint_vel).all()
    assert env.drain_metrics()["env/invalid_env_resets"] == 2


def test_metrics_are_means_per_step_and_start_anew(make_env, pnp_cfg):
    term = RewardTermCfg(func="core:tracking_anchor_ori", weight=2.0, params={"std": 0.4})
    env = make_env(attrs.evolve(first_frame(pnp_cfg), rewards={"ori": term}))
    env.reset()
    for _ in range(3):
        env.step(zero(env))
    metrics = env.drain_metrics()
    assert metrics["reward/ori"] == pytest.approx(2.0 * 0.02)  # perfect orientation: exp(0)
    assert env.drain_metrics()["reward/ori"] == 0.0


def test_state_dict_restores_bitwise(make_env, pnp_cfg):
    env = make_env(pnp_cfg, seed=3)
    env.reset()
    generator = torch.Generator().manual_seed(0)
    actions = torch.randn(30, env.num_envs, env.num_actions, generator=generator)
    for action in actions[:10]:
        env.step(action)
    saved = env.state_dict()
    first = [env.step(action)[:4] for action in actions[10:]]
    other = make_env(pnp_cfg, seed=99)
    other.load_state_dict(saved)
    for action, (observations, *rest) in zip(actions[10:], first, strict=True):
        again, *more = other.step(action)
        for name, value in observations.items():
            assert torch.equal(value, again[name])
        assert all(torch.equal(a, b) for a, b in zip(rest, more[:3], strict=True))


def test_state_of_other_motions_is_refused(make_env, pnp_cfg, robot):
    env = make_env(pnp_cfg)
    other = make_env(pnp_cfg, [standing_clip(robot, key="other", with_object=True)])
    with pytest.raises(CheckpointError, match="motions"):
        other.load_state_dict(env.state_dict())


def test_an_asserted_width_names_every_term(make_env, pnp_cfg):
    groups = dict(pnp_cfg.observations)
    groups["policy"] = attrs.evolve(groups["policy"], width=996)
    with pytest.raises(EnvContractError, match=r"984 wide, the task asserts 996: .*finger_tips_force 12"):
        make_env(attrs.evolve(pnp_cfg, observations=groups))


def test_history_is_oldest_first_and_filled_after_a_reset(make_env, pnp_cfg):
    groups = dict(pnp_cfg.observations)
    term = ObservationTermCfg(func="core:actions", history_length=3)
    groups["policy"] = attrs.evolve(groups["policy"], width=None, terms={"actions": term})
    env = make_env(attrs.evolve(pnp_cfg, observations=groups))
    assert (env.reset()["policy"] == 0).all()
    for value in (0.1, 0.2):
        action = zero(env)
        action[:, 0] = value
        observations, *_ = env.step(action)
    history = observations["policy"].view(4, 3, 43)[:, :, 0]
    torch.testing.assert_close(history, torch.tensor([[0.0, 0.1, 0.2]]).expand(4, 3))


@pytest.mark.parametrize(
    ("rewards", "error", "message"),
    [
        ({"r": RewardTermCfg(func="core:tracking_anchor_po", weight=1.0)}, NotFoundError, "tracking_anchor_pos"),
        ({"r": RewardTermCfg(func="core:tracking_anchor_pos", weight=1.0)}, ConfigError, "missing parameter 'std'"),
        (
            {"r": RewardTermCfg(func="core:tracking_anchor_pos", weight=1.0, params={"sdt": 1.0, "std": 1.0})},
            ConfigError,
            "unknown parameter 'sdt'.*'std'",
        ),
    ],
)
def test_wrong_terms_are_named(make_env, pnp_cfg, rewards, error, message):
    with pytest.raises(error, match=message):
        make_env(attrs.evolve(pnp_cfg, rewards=rewards))


def test_zero_weight_terms_are_not_computed(make_env, pnp_cfg):
    rewards = {"a": RewardTermCfg(func="core:tracking_anchor_pos", weight=0.0, params={"std": 0.3})}
    env = make_env(attrs.evolve(pnp_cfg, rewards=rewards))
    env.reset()
    assert env.rewards.names == ()
    assert (env.step(zero(env))[1] == 0).all()
