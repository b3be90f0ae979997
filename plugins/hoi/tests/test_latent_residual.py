"""The action latent_residual with a small base policy: values by hand, what it remembers, captured steps, what it refuses."""

import attrs
import numpy as np
import pytest
import torch

from grail_framework.config import RewardTermCfg
from grail_framework.envs.capture import EAGER_STEPS
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.errors import CheckpointError, ConfigError, EnvContractError
from grail_framework.learning.bundles import write_bundle
from grail_framework.motion.library import MotionLibrary
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_43dof
from grail_framework.runs.assembly import build_network
from grail_framework.testing.bases import base_state, with_base, write_base
from grail_framework.testing.fakes import KinematicEngine, standing_clip
from grail_framework.testing.tape import TapeGraph

N = 4
HANDS = slice(64, 66)
# The release's order of the 29 joints that the base moves; each name ends in _joint.
ISAAC = (
    "left_hip_pitch",
    "right_hip_pitch",
    "waist_yaw",
    "left_hip_roll",
    "right_hip_roll",
    "waist_roll",
    "left_hip_yaw",
    "right_hip_yaw",
    "waist_pitch",
    "left_knee",
    "right_knee",
    "left_shoulder_pitch",
    "right_shoulder_pitch",
    "left_ankle_pitch",
    "right_ankle_pitch",
    "left_shoulder_roll",
    "right_shoulder_roll",
    "left_ankle_roll",
    "right_ankle_roll",
    "left_shoulder_yaw",
    "right_shoulder_yaw",
    "left_elbow",
    "right_elbow",
    "left_wrist_roll",
    "right_wrist_roll",
    "left_wrist_pitch",
    "right_wrist_pitch",
    "left_wrist_yaw",
    "right_wrist_yaw",
)


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
            num_envs=N,
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


def draw(seed=0, count=1, width=66):
    actions = 2.0 * torch.randn(count, N, width, generator=torch.Generator().manual_seed(seed))
    return actions if count > 1 else actions[0]


def mlp(state, part, x):
    """Linear layers with SiLU between them, in float64."""

    def numbers(layer, what):
        return state[f"actor_module.{part}.module.{layer}.{what}"].double().numpy()

    hidden = x @ numbers(0, "weight").T + numbers(0, "bias")
    return (hidden / (1.0 + np.exp(-hidden))) @ numbers(2, "weight").T + numbers(2, "bias")


def fsq(z):
    """The release's quantiser of 32 levels."""
    half = 31 * (1 + 1e-3) / 2
    return np.round(np.tanh(z + np.arctanh(0.5 / half)) * half - 0.5) / 16


def encoder_input(observations):
    """10 frames of 58 numbers of joints and 6 of the orientation, from where the release's layout has them."""
    vector = observations["tokenizer"].double().numpy()
    joints, orientation = vector[:, 3:583].reshape(N, 10, 58), vector[:, 594:654].reshape(N, 10, 6)
    return np.concatenate((joints, orientation), axis=-1).reshape(N, 640)


def test_the_quantiser_of_these_tests_is_the_releases():
    assert fsq(np.array([0.0, 1.0, -1.0, 0.1, -0.1, 9.0, -9.0])).tolist() == [0, 0.75, -0.75, 0.125, -0.125, 15 / 16, -1]


TOKENS = {
    "pre_quantization": lambda latent, residual: fsq(latent + residual),
    "post_quantization": lambda latent, residual: fsq(latent) + residual,
    "pre_quantization_replace": lambda latent, residual: fsq(residual),
}


@pytest.mark.parametrize("mode", TOKENS)
@pytest.mark.parametrize("scale", [0.1, 0.7])
def test_tokens_actions_and_targets(make, robot, mode, scale):
    env, state = make(mode=mode, scale=scale), base_state(seed=3)
    env.reset()
    before = env.action_term.latent.clone()
    for seed in range(3):
        seen = {name: value.clone() for name, value in env.observations.items()}
        action = draw(seed)
        targets = env.before_physics(action)
        tokens = TOKENS[mode](mlp(state, "encoders.g1", encoder_input(seen)), scale * action[:, :64].double().numpy())
        np.testing.assert_allclose(env.action_term.latent, tokens, atol=1e-5)
        assert torch.equal(env.action_term.previous_latent, before)
        before = env.action_term.latent.clone()
        decoded = mlp(state, "decoders.g1_dyn", np.concatenate((tokens, seen["policy_atm"].double().numpy()), axis=1))
        np.testing.assert_allclose(env.action_term.joint_action[:, :29], decoded, atol=1e-4)
        scales = np.array([joint.action_scale for joint in robot.joints[:29]])
        default = np.array([joint.default_pos for joint in robot.joints[:29]])
        np.testing.assert_allclose(targets[:, :29], default + scales * decoded, atol=1e-4)
        env.engine.step(targets)
        env.after_physics()


@pytest.mark.parametrize(("mode", "on_levels"), [("pre_quantization", True), ("post_quantization", False)])
def test_the_release_adds_before_it_quantises(make, mode, on_levels):
    env = make(mode=mode)
    env.reset()
    env.before_physics(draw())
    levels = env.action_term.latent * 16
    assert torch.equal(levels, levels.round()) is on_levels


def constant_decoder(folder, values):
    """A base policy whose decoder always gives these actions."""
    state = base_state()
    state["actor_module.decoders.g1_dyn.module.2.weight"].zero_()
    state["actor_module.decoders.g1_dyn.module.2.bias"].copy_(torch.as_tensor(values))
    write_bundle(folder, policy=state, value=None, model_config=None)
    return folder


def test_every_joint_gets_its_own_action_by_name(make, robot, tmp_path):
    given = {f"{name}_joint": 0.1 * (i + 1) for i, name in enumerate(ISAAC)}
    env = make(folder=constant_decoder(tmp_path / "constant", list(given.values())))
    env.reset()
    action = torch.zeros(N, 66)
    action[:, HANDS] = torch.tensor([-0.3, 0.3])  # left open, right closed
    targets = dict(zip(robot.joint_names, env.before_physics(action)[0].tolist(), strict=True))
    raw = dict(zip(robot.joint_names, env.action_term.joint_action[0].tolist(), strict=True))
    assert {name: raw[name] for name in given} == pytest.approx(given, abs=1e-6)
    assert targets["left_hip_pitch_joint"] == pytest.approx(-0.312 + 0.1 * 0.35066, abs=1e-5)
    assert targets["right_wrist_yaw_joint"] == pytest.approx(2.9 * 0.07450, abs=1e-4)
    closed = {
        "index_0": 1.0,
        "index_1": 1.5,
        "middle_0": 1.0,
        "middle_1": 1.5,
        "thumb_0": 0.0,
        "thumb_1": -0.7,
        "thumb_2": -0.7,
    }
    for finger, angle in closed.items():
        assert targets[f"right_hand_{finger}_joint"] == pytest.approx(angle, abs=1e-5)
        assert targets[f"left_hand_{finger}_joint"] == 0.0
    assert raw["right_hand_index_1_joint"] == pytest.approx(2.14285714)


def test_actions_are_clipped_before_their_scale(make, tmp_path):
    env = make(folder=constant_decoder(tmp_path / "wild", [100.0] * 28 + [-100.0]))
    env.reset()
    targets = env.before_physics(torch.zeros(N, 66))
    assert env.action_term.joint_action[0, 27:29].tolist() == [20.0, -20.0]
    assert targets[0, 27].item() == pytest.approx(20 * 0.0745, abs=1e-2)


def test_linear_primitives_open_and_close_by_degrees(make, robot):
    env = make(finger_primitive="linear")
    env.reset()
    action = torch.zeros(N, 66)
    action[:, HANDS] = torch.tensor([[-1.0, 1.0], [0.0, 0.5], [-3.0, 3.0], [-0.5, -1.0]])
    targets = env.before_physics(action)
    right, left = (robot.joint_ids((f"{side}_hand_index_0_joint",))[0] for side in ("right", "left"))
    assert targets[:, right].tolist() == pytest.approx([1.0, 0.75, 1.0, 0.0], abs=1e-6)
    assert targets[:, left].tolist() == pytest.approx([0.0, -0.5, 0.0, -0.25], abs=1e-6)
    assert env.action_term.primitives[2].tolist() == [-3.0, 3.0]
    assert env.action_term.primitive_limit == 1.0


def test_hands_that_follow_the_motion_are_what_is_stored_and_penalised(make):
    """The release overwrites the last two entries before it stores the action: the penalty is 0.5 per hand, always."""
    limit = {"limit": RewardTermCfg(func="rewards:finger_primitive_limit", weight=-10.0)}
    env = make(led=True, change=lambda cfg: attrs.evolve(cfg, rewards=limit))
    env.reset()
    action = draw()
    action[:, HANDS] = -0.2
    env.before_physics(action)
    assert (env.action_term.action[:, HANDS] == 1.0).all()  # the clip's hands are closed
    assert torch.equal(env.action_term.action[:, :64], action[:, :64])
    assert env.rewards.values()[0].tolist() == [1.0] * N


def test_a_reset_forgets_and_the_state_goes_on_elsewhere(make, base):
    env, other = make(), make()
    for one in (env, other):
        one.reset()
    for action in draw(count=4):
        env.step(action)
    other.load_state_dict(env.state_dict())
    for action in draw(seed=1, count=3):
        ours, theirs = env.step(action), other.step(action)
        assert all(torch.equal(value, theirs[0][name]) for name, value in ours[0].items())
        assert torch.equal(ours[1], theirs[1])
    term, mask = env.action_term, torch.tensor([True, False, False, False])
    kept = term.latent[1:].clone()
    assert kept.abs().sum() > 0
    term.reset(mask)
    for buffer in (term.latent, term.previous_latent, term.action, term.previous_action, term.primitives, term.joint_action):
        assert not buffer[0].any()
    assert torch.equal(term.latent[1:], kept)


def test_the_state_is_of_one_base_policy(make, tmp_path):
    env = make()
    env.reset()
    with pytest.raises(
        CheckpointError, match=r"was trained on a base policy with the digest .* and .*other.* has .*base_checkpoint="
    ):
        make(folder=write_base(tmp_path / "other", seed=4)).load_state_dict(env.state_dict())


def test_the_change_of_tokens_is_penalised_from_the_second_action(make):
    rate = {"rate": RewardTermCfg(func="rewards:full_latent_rate_l2", weight=-0.01)}
    env = make(change=lambda cfg: attrs.evolve(cfg, rewards=rate, terminations={}), frames=80)
    env.reset()
    found = []
    for action in draw(count=3):
        reward = env.step(action)[1]
        change = (env.action_term.latent - env.action_term.previous_latent).square().sum(dim=1)
        found.append((reward / (-0.01 * 0.02), change))
    assert found[0][0].tolist() == [0.0] * N
    assert found[0][1].min() > 0
    for reward, change in found[1:]:
        torch.testing.assert_close(reward, change)
        assert change.min() > 0


def test_captured_steps_see_what_resets_return(make):
    """What a graph reads stays where it is, so a reset must write there too."""
    envs = make(capture=TapeGraph), make()
    for round_ in range(3):
        for env in envs:
            env.reset()
        for action in draw(seed=round_, count=EAGER_STEPS + 3):
            ours, theirs = (env.step(action) for env in envs)
            assert torch.equal(envs[0].action_term.latent, envs[1].action_term.latent)
            assert all(torch.equal(value, theirs[0][name]) for name, value in ours[0].items())
        mask = torch.tensor([True, False, True, False])
        for env in envs:
            env.reset(mask)
        ours, theirs = (env.step(torch.zeros(N, 66)) for env in envs)
        assert torch.equal(envs[0].action_term.joint_action, envs[1].action_term.joint_action)
        assert all(torch.equal(value, theirs[0][name]) for name, value in ours[0].items())
    assert envs[0].graphs.captured == ("before", "after"), envs[0].graphs.off


def test_captured_and_eager_agree_through_episodes_and_evaluation(make):
    envs = make(capture=TapeGraph, frames=25), make(frames=25)
    for env in envs:
        env.reset()
    ended = 0
    for step, action in enumerate(draw(count=45)):
        if step == 15:
            saved = [env.state_dict() for env in envs]
            for env in envs:
                env.begin_evaluation()
                env.reset()
        if step == 24:
            for env, state in zip(envs, saved, strict=True):
                env.end_evaluation()
                env.load_state_dict(state)
        ours, theirs = (env.step(action) for env in envs)
        assert all(torch.equal(value, theirs[0][name]) for name, value in ours[0].items())
        assert all(torch.equal(one, other) for one, other in zip(ours[1:4], theirs[1:4], strict=True))
        ended += int((ours[2] | ours[3]).sum())
    assert ended > 0
    assert envs[0].graphs.captured == ("before", "after"), envs[0].graphs.off


def test_the_base_learns_nothing(make, manager):
    env = make()
    env.reset()
    module = env.action_term._decode.__self__
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not module.training
    with torch.enable_grad():
        action = draw().requires_grad_()
        assert not env.before_physics(action).requires_grad
        assert not env.action_term.latent.requires_grad
    network = build_network(env.cfg, manager, env)
    learned = {id(parameter) for parameter in network.parameters()}
    assert not learned & {id(parameter) for parameter in module.parameters()}
    assert network.action_mean(env.observations).shape == (N, 66)


def test_the_base_runs_once_per_step(make):
    env = make()
    env.reset()
    calls = []
    for name in ("_encode", "_quantize", "_decode"):
        inner = getattr(env.action_term, name)
        setattr(env.action_term, name, lambda *x, inner=inner, name=name: calls.append(name) or inner(*x))
    env.step(draw())
    assert calls == ["_encode", "_quantize", "_decode"]


def test_a_step_before_the_first_reset_is_refused(make):
    with pytest.raises(EnvContractError, match=r"call env.reset\(\) first"):
        make().step(draw())


# --- What does not fit ---


def without(group, *terms):
    """Take terms out of a group."""

    def change(cfg):
        left = {name: term for name, term in cfg.observations[group].terms.items() if name not in terms}
        groups = cfg.observations | {group: attrs.evolve(cfg.observations[group], terms=left, width=None)}
        return attrs.evolve(cfg, observations=groups)

    return change


def test_a_decoder_of_another_width_is_refused_with_the_groups_terms(make):
    with pytest.raises(CheckpointError) as raised:
        make(change=without("policy_atm", "gravity_dir"))
    message = str(raised.value)
    assert (
        "reads 930 numbers of proprioception beside 64 of its tokens, and the observation group policy_atm has 900" in message
    )
    assert "base_ang_vel 30, joint_pos_wo_hand 290" in message


def test_an_encoder_of_another_width_is_refused_with_the_terms_it_could_read(make, tmp_path):
    with pytest.raises(CheckpointError) as raised:
        make(folder=write_base(tmp_path / "wide", reads=650))
    message = str(raised.value)
    assert "does not fit the observation group tokenizer" in message
    assert "(16, 650)" in message
    assert "command_multi_future_nonflat 580 + motion_anchor_ori_heading_mf_nonflat 60 = 640" in message
    assert "action.params.base_inputs=[...]" in message


def test_the_terms_of_an_encoder_can_be_named(make, tmp_path):
    terms = ("command_multi_future_nonflat", "command_z_multi_future_nonflat", "motion_anchor_ori_heading_mf_nonflat")
    env = make(folder=write_base(tmp_path / "wide", reads=650, seed=5), base_inputs=terms)
    env.reset()
    seen = {name: value.clone() for name, value in env.observations.items()}
    env.before_physics(torch.zeros(N, 66))
    vector = seen["tokenizer"].double().numpy()
    parts = (vector[:, 3:583].reshape(N, 10, 58), vector[:, 583:593].reshape(N, 10, 1), vector[:, 594:654].reshape(N, 10, 6))
    latent = mlp(base_state(reads=650, seed=5), "encoders.g1", np.concatenate(parts, axis=-1).reshape(N, 650))
    np.testing.assert_allclose(env.action_term.latent, fsq(latent), atol=1e-6)


def test_a_base_of_another_robot_is_refused(make, tmp_path):
    with pytest.raises(CheckpointError, match="moves 23 joints, and motions describe 29 of the robot"):
        make(folder=write_base(tmp_path / "small", joints=23))


def test_a_missing_group_is_refused(make):
    def change(cfg):
        return attrs.evolve(cfg, observations={k: v for k, v in cfg.observations.items() if k != "policy_atm"})

    with pytest.raises(ConfigError, match=r"reads the observation groups tokenizer and policy_atm, .* no policy_atm"):
        make(change=change)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"mode": "mixed"}, "action.params.mode: got 'mixed', allowed: 'pre_quantization', 'post_quantization'"),
        ({"finger_primitive": "both"}, "action.params.finger_primitive: got 'both'"),
        ({"scale": -0.1}, "action.params.scale: got -0.1, allowed: a finite number of at least 0"),
        ({"scale": float("nan")}, "action.params.scale: got nan"),
    ],
)
def test_wrong_settings_are_refused(make, params, says):
    with pytest.raises(ConfigError) as raised:
        make(**params)
    assert says in str(raised.value)


def test_other_widths_of_latent_make_other_numbers_of_actions(make, tmp_path):
    env = make(folder=write_base(tmp_path / "one_token", latent=32))
    assert (env.num_actions, env.action_term.latent.shape) == (34, (N, 32))
    env.reset()
    env.step(draw(width=34))
