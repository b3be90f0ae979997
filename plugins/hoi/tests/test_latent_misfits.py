"""What does not fit a base policy is refused when the environment is built, and the message names it."""

import attrs
import pytest

from grail_framework.errors import CheckpointError, ConfigError
from grail_framework.testing.bases import write_base


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
