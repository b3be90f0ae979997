"""The action latent_residual with a small base policy: values by hand, what it remembers, captured steps, what it refuses."""

import attrs
import numpy as np
import pytest
import torch

from grail_framework.config import RewardTermCfg
from grail_framework.envs.capture import EAGER_STEPS
from grail_framework.errors import CheckpointError, EnvContractError
from grail_framework.learning.bundles import write_bundle
from grail_framework.runs.assembly import build_network
from grail_framework.testing.bases import base_state, write_base
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


def test_what_an_iteration_tells_of_the_latent(make):
    env = make(scale=0.1)
    env.reset()
    action = torch.zeros(N, 66)
    action[:, 0], action[:, 1], action[:, HANDS] = 3.0, 4.0, 5.0
    env.step(action)
    env.action_term.latent.zero_()
    env.action_term.latent[0] = 1 / 16  # one of four on another level: entropy of (1/4, 3/4)
    metrics = env.drain_metrics()
    assert metrics["action/residual_norm"].item() == pytest.approx(0.5)
    perplexity = 4**0.25 * (4 / 3) ** 0.75
    assert metrics["action/quantiser_use"].item() == pytest.approx(perplexity / 32)


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


def test_other_widths_of_latent_make_other_numbers_of_actions(make, tmp_path):
    env = make(folder=write_base(tmp_path / "one_token", latent=32))
    assert (env.num_actions, env.action_term.latent.shape) == (34, (N, 32))
    env.reset()
    env.step(draw(width=34))
