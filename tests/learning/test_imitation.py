"""What starts a policy at the reference's own joint positions."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from test_universal_token_network import Recordable, observe
from token_layouts import MANIPULATION
from torch.nn import functional

from grail_framework.errors import ConfigError
from grail_framework.learning.bundles import leaving
from grail_framework.learning.universal_token.imitation import Imitation, JointTargets
from grail_framework.learning.universal_token.layout import TokenizerLayout
from grail_framework.learning.universal_token.network import UniversalTokenActorCritic, universal_token
from grail_framework.runs.moments import trained_names

TARGETS = JointTargets(default=(0.1, -0.2), scale=(0.5, 0.25))
SMALL: dict[str, Any] = dict.fromkeys(
    ("encoder_hidden_dims", "dyn_hidden_dims", "kin_hidden_dims", "critic_hidden_dims"), (16,)
)


def build(targets: JointTargets | None = TARGETS, **params: Any) -> UniversalTokenActorCritic:
    torch.manual_seed(0)
    settings: dict[str, Any] = SMALL | {"normalize_actor": True} | params
    network = universal_token(30, 20, 2, observation_layout={"tokenizer": MANIPULATION}, joint_targets=targets, **settings)
    assert isinstance(network, UniversalTokenActorCritic)
    return network


def rollout() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    observations = {name: tensor.unflatten(0, (4, 8)) for name, tensor in observe(32).items()}
    cause = torch.randn(4, 8, 1)
    observations["tokenizer"][..., 3:583] = cause * torch.linspace(0.5, 1.0, 580)
    return observations


def test_the_actions_are_those_that_reach_the_reference():
    imitation = Imitation(TARGETS, TokenizerLayout(MANIPULATION), rollouts=1)
    tokenizer = torch.randn(4, 1761)
    tokenizer[:, 3:5] = torch.tensor([0.6, 0.3])  # behind the three numbers of encoder_index
    # 0.1 + 0.5 * 1 and -0.2 + 0.25 * 2
    torch.testing.assert_close(imitation.wanted(tokenizer), torch.tensor([[1.0, 2.0]]).expand(4, 2))


def test_a_few_rollouts_bring_the_actor_there_and_leave_the_rest_alone():
    network, observations = build(imitated_rollouts=2), rollout()
    tokenizer = observations["tokenizer"].flatten(0, 1)
    wanted = (tokenizer[:, 3:5] - torch.tensor(TARGETS.default)) / torch.tensor(TARGETS.scale)
    before = copy.deepcopy(network.state_dict())
    network.update_normalization(observations)
    losses = [network.after_update(observations) for _ in range(3)]
    assert [sorted(each) for each in losses] == [["loss/imitation", "policy/quantiser_use"]] * 2 + [["policy/quantiser_use"]]
    mean = network.action_mean({name: tensor.flatten(0, 1) for name, tensor in observations.items()})
    assert functional.mse_loss(mean, wanted).item() < 0.05 * wanted.var(0).mean().item()
    same = {name for name, tensor in network.state_dict().items() if torch.equal(tensor, before[name])}
    assert {name for name in before if name.startswith(("std", "actor_module.decoders.g1_kin."))} <= same
    assert not same & {name for name in before if name.startswith(("actor_module.encoders.", "actor_module.decoders.g1_dyn."))}
    assert all(parameter.grad is None for parameter in network.parameters())


def test_it_goes_on_where_it_was_saved():
    network, resumed, observations = build(imitated_rollouts=2), build(imitated_rollouts=2), rollout()
    network.after_update(observations)
    resumed.load_state_dict(network.state_dict())
    for each in (network, resumed):
        assert "loss/imitation" in each.after_update(observations)
        assert "loss/imitation" not in each.after_update(observations)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert not [name for name in leaving(network.state_dict())[0] if name.startswith("imitation.")]
    assert not [name for name in trained_names(network.state_dict())[0] if name.startswith("imitation.")]


def test_ranks_take_the_same_steps():
    """Two ranks with the same rollout are one with it twice, whose parts all have both halves."""
    alone, rank, observations = build(imitated_rollouts=1), build(imitated_rollouts=1), rollout()
    alone.after_update({name: torch.cat([tensor, tensor]) for name, tensor in observations.items()})
    rank.after_update(observations, lambda sums: sums * 2.0)
    for name, tensor in alone.state_dict().items():
        torch.testing.assert_close(tensor, rank.state_dict()[name], rtol=1e-2, atol=1e-3)


def test_no_value_is_waited_for():
    network, observations = build(imitated_rollouts=1), rollout()
    with Recordable():
        network.after_update(observations)


@pytest.mark.parametrize(
    ("targets", "rollouts", "match"),
    [
        (None, 3, "use the action core:joint_position, or set imitated_rollouts=0"),
        (TARGETS, -1, "a number of rollouts, or 0 for none"),
    ],
)
def test_mistakes_are_told(targets, rollouts, match):
    with pytest.raises(ConfigError, match=match):
        build(targets, imitated_rollouts=rollouts)


def test_a_vector_without_the_reference_is_told():
    with pytest.raises(ConfigError, match="'command_multi_future_nonflat' of the observation group `tokenizer`"):
        Imitation(TARGETS, TokenizerLayout({"motion_anchor_ori_heading": 6}), rollouts=1)
