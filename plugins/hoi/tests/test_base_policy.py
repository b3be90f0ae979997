"""What is read of a base policy's file, and what is said where it was made for something else."""

import logging

import pytest
import torch

from grail_framework.errors import CheckpointError
from grail_framework.learning.bundles import write_bundle
from grail_framework.robots.g1 import g1_43dof
from grail_framework.testing.bases import base_state, write_base
from grail_hoi.base_policy import RELEASE_WIDTHS, check_groups, check_robot, digest, frozen_module, read_base

POLICY_ATM = {
    "base_ang_vel": 30,
    "joint_pos_wo_hand": 290,
    "joint_vel_wo_hand": 290,
    "actions_wo_hand": 290,
    "gravity_dir": 30,
}
LAYOUTS = {"tokenizer": dict(RELEASE_WIDTHS), "policy_atm": POLICY_ATM}


@pytest.fixture(scope="module")
def robot():
    return g1_43dof()


def described(robot, **changes):
    """What a run of motion_base writes beside its weights."""
    joints = robot.joints[:29]
    environment = {
        "joint_names": [joint.name for joint in joints],
        "action_scale": [joint.action_scale for joint in joints],
        "observations": {"policy": POLICY_ATM, "tokenizer": dict(RELEASE_WIDTHS), "critic": {"command": 58}},
    }
    network = {
        "func": "core:universal_token",
        "params": {"encoders": ["g1"], "activation": "silu", **changes.pop("params", {})},
    }
    return {"env_config": environment | changes, "algo_config": {"network": network, "iteration": 3}}


def load(folder):
    base = read_base(folder)
    return base, frozen_module(base, LAYOUTS["tokenizer"])


def test_widths_of_the_release():
    assert sum(RELEASE_WIDTHS.values()) == 1761
    assert sum(POLICY_ATM.values()) == 930


def test_only_what_is_used_is_kept(tmp_path):
    """The release's base has encoders and a decoder more, whose inputs need not be known."""
    state = base_state(seed=2)
    more = {
        "actor_module.encoders.teleop.module.0.weight": torch.zeros(4, 77),
        "actor_module.decoders.g1_kin.module.0.weight": torch.zeros(4, 64),
        "actor_module.aux_loss_func.buffer": torch.zeros(1),
    }
    write_bundle(tmp_path, policy=state | more, value={"critic_module.module.0.weight": torch.zeros(2, 2)}, model_config=None)
    base, module = load(tmp_path)
    assert (base.latent_width, module.proprioception_dim, module.num_actions) == (64, 930, 29)
    assert set(base.state) == {name.removeprefix("actor_module.") for name in state if name != "std"}
    check_groups(base, module, LAYOUTS)
    assert base.digest == digest(base.state) == read_base(write_base(tmp_path / "same", seed=2)).digest
    assert base.digest != read_base(write_base(tmp_path / "other", seed=3)).digest


def test_a_file_that_was_replaced_is_read_anew(tmp_path):
    first = read_base(write_base(tmp_path / "base", seed=2))
    assert read_base(tmp_path / "base") is first
    assert read_base(write_base(tmp_path / "base", seed=3)).digest != first.digest


def test_a_checkpoint_of_a_run_serves_as_well(tmp_path):
    """A run directory's last.pt holds the whole network, with its observations beside it."""
    layout = {"policy": POLICY_ATM, "tokenizer": dict(RELEASE_WIDTHS), "critic": {"command": 58}}
    critic = {"critic_module.module.0.weight": torch.zeros(1, 58)}
    torch.save({"model": base_state() | critic, "iteration": 3, "observation_layout": layout}, tmp_path / "last.pt")
    (tmp_path / "config.yaml").write_text("network: {func: 'core:universal_token', params: {activation: tanh}}")
    base, module = load(tmp_path)
    assert base.observed == {"policy": POLICY_ATM, "tokenizer": dict(RELEASE_WIDTHS)}
    assert module.activation == "tanh"
    check_groups(base, module, LAYOUTS)


def test_what_a_run_of_motion_base_wrote_is_heeded(tmp_path, robot):
    inputs = ["command_multi_future_nonflat", "command_z_multi_future_nonflat", "motion_anchor_ori_heading_mf_nonflat"]
    config = described(robot, params={"inputs": {"g1": inputs}, "activation": "tanh", "token_dim": 16})
    base, module = load(write_base(tmp_path, reads=650, model_config=config))
    assert module.inputs["g1"] == tuple(inputs)
    assert (module.activation, module.num_tokens, module.token_dim) == ("tanh", 4, 16)
    check_groups(base, module, LAYOUTS)
    check_robot(base, module, robot)
    assert base.doubts == ()


def test_terms_in_another_order_are_refused(tmp_path, robot):
    """Widths alone would not tell."""
    turned = dict(reversed(POLICY_ATM.items()))
    base, module = load(write_base(tmp_path, model_config=described(robot, observations={"policy": turned})))
    with pytest.raises(
        CheckpointError, match="trained on other observations than the group policy_atm has, or on others in order"
    ):
        check_groups(base, module, LAYOUTS)


def test_joints_in_another_order_are_refused(tmp_path, robot):
    names = [joint.name for joint in robot.joints[:29]]
    base, module = load(write_base(tmp_path, model_config=described(robot, joint_names=[names[1], names[0], *names[2:]])))
    with pytest.raises(CheckpointError, match=r"in another order: right_hip_pitch_joint \(left_hip_pitch_joint here\)"):
        check_robot(base, module, robot)


def test_other_action_scales_are_told(tmp_path, robot, caplog):
    scales = [joint.action_scale for joint in robot.joints[:29]]
    base, module = load(write_base(tmp_path, model_config=described(robot, action_scale=[2 * scales[0], *scales[1:]])))
    with caplog.at_level(logging.WARNING):
        check_robot(base, module, robot)
    assert "other action scales of left_hip_pitch_joint" in caplog.text


def test_a_release_config_is_compared_with_the_weights_and_not_read_otherwise(tmp_path):
    """Its schema is not public, so nothing of it is taken for ours."""
    config = {"env_config": {"observations": {"policy": "proprio_hist"}}, "algo_config": {"config": {"num_actions": 23}}}
    base, _ = load(write_base(tmp_path, model_config=config))
    assert (base.observed, base.joint_names) == ({}, ())
    (line,) = base.doubts
    assert "num_actions=23, and the weights have num_actions 29" in line


def test_a_policy_of_another_kind_is_refused(tmp_path):
    write_bundle(tmp_path, policy={"actor_module.module.0.weight": torch.zeros(2, 2)}, value=None, model_config=None)
    with pytest.raises(CheckpointError) as raised:
        read_base(tmp_path)
    assert "holds no actor_module.encoders.g1.*, so it is no base policy" in str(raised.value)
    assert "It holds actor_module.module.0.weight" in str(raised.value)
