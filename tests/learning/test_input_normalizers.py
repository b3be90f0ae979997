"""Normalised inputs of a universal-token network, and the layers that take them over."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from token_layouts import MANIPULATION, TERRAIN

from grail_framework.errors import CheckpointError
from grail_framework.learning.bundles import leaving
from grail_framework.learning.universal_token.input_normalizers import without_normalizers
from grail_framework.learning.universal_token.module import UniversalTokenModule
from grail_framework.learning.universal_token.network import UniversalTokenActorCritic, universal_token
from grail_framework.runs.checkpoint import check_model

ALL = ("g1", "teleop", "smpl")
HIDDEN: dict[str, Any] = dict.fromkeys(
    ("encoder_hidden_dims", "dyn_hidden_dims", "kin_hidden_dims", "critic_hidden_dims"), (16,)
)


def build(layout: dict[str, int], **params: Any) -> UniversalTokenActorCritic:
    network = universal_token(30, 20, 5, observation_layout={"tokenizer": layout}, **HIDDEN, **params)
    assert isinstance(network, UniversalTokenActorCritic)
    return network


def observe(*shape: int, layout: dict[str, int]) -> dict[str, torch.Tensor]:
    """Return observations of which every column has another mean and deviation, some of them 0."""
    found: dict[str, torch.Tensor] = {}
    for group, width in {"policy": 30, "critic": 20, "tokenizer": sum(layout.values())}.items():
        deviation = torch.linspace(0.0, 4.0, width)
        found[group] = torch.randn(*shape, width) * deviation + torch.linspace(-3.0, 5.0, width)
    found["tokenizer"][..., :3] = torch.eye(3)[torch.arange(shape[-1]) % 3]
    return found


def trained(layout: dict[str, int], **params: Any) -> UniversalTokenActorCritic:
    torch.manual_seed(0)
    network = build(layout, normalize_actor=True, **params)
    for _ in range(3):
        network.update_normalization(observe(4, 6, layout=layout))
    return network


def left(network: UniversalTokenActorCritic, dtype: torch.dtype) -> UniversalTokenModule:
    """Return the module that a bundle of the network holds."""
    policy, _ = leaving(network.state_dict())
    state = {name.removeprefix("actor_module."): tensor for name, tensor in policy.items() if name.startswith("actor_module.")}
    return UniversalTokenModule.from_state_dict(state, **network.actor_module.settings).to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("layout", "encoders"), [(MANIPULATION, ALL), (TERRAIN, ("g1",))])
def test_the_layers_that_leave_act_as_the_normalised_network(layout, encoders, dtype, tolerance, monkeypatch):
    # Tokens are rounded: neighbouring levels would hide what is compared, and differ where rounding errors do.
    monkeypatch.setattr(UniversalTokenModule, "quantize", lambda self, latent: latent)
    network = trained(layout, encoders=encoders)
    if dtype is torch.float64:
        network.double()
    observations = {name: tensor.to(dtype) for name, tensor in observe(9, layout=layout).items()}
    module = left(network, dtype)
    mean = network.action_mean(observations)
    torch.testing.assert_close(module(observations["tokenizer"], observations["policy"]), mean, rtol=0.0, atol=tolerance)
    plain = build(layout, encoders=encoders).to(dtype)
    plain.load_state_dict(without_normalizers(network.state_dict()))
    torch.testing.assert_close(plain.action_mean(observations), mean, rtol=0.0, atol=tolerance)
    if dtype is torch.float64:
        return  # losses are of float32
    losses, expected = (each(observations, torch.zeros(9, 5)).aux_losses for each in (plain, network))
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-4), name


def test_what_leaves_has_the_releases_names_and_what_stays_is_untouched():
    network = trained(MANIPULATION, encoders=ALL)
    before = copy.deepcopy(network.state_dict())
    policy, value = leaving(network.state_dict())
    assert all(name == "std" or name.startswith(("actor_module.encoders.", "actor_module.decoders.")) for name in policy)
    assert value is not None
    assert all(name.startswith("critic_module.") for name in value)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    plain = build(MANIPULATION).state_dict()
    left_alone = without_normalizers(plain)
    assert all(left_alone[name] is plain[name] for name in plain)


def test_inputs_are_whitened_where_they_are_read_as_they_are():
    network, observations = build(TERRAIN, normalize_actor=True), observe(500, 4, layout=TERRAIN)
    network.update_normalization(observations)
    statistics = network.state_dict()
    # 10 frames of 58 + 6 numbers, each followed by the 128 of the height map's embedding.
    columns = torch.arange(10 * 192).reshape(10, 192)[:, :64].flatten()
    assert torch.equal(statistics["tokenizer_normalizer.g1.columns"], columns)
    assert torch.equal(statistics["proprioception_normalizer.columns"], torch.arange(64, 94))
    mean, variance = (statistics[f"proprioception_normalizer.running_{kind}"] for kind in ("mean", "var"))
    seen = observations["policy"].flatten(0, 1).double()
    torch.testing.assert_close(mean, seen.mean(0), rtol=0.0, atol=1e-5)
    torch.testing.assert_close(variance, seen.var(0, correction=0), rtol=1e-5, atol=1e-8)


def test_a_column_that_was_constant_moves_ten_times_further_and_no_more():
    network = trained(MANIPULATION)
    normalizer = network.proprioception_normalizer
    assert normalizer is not None
    normalizer.running_mean.fill_(2.0)
    normalizer.running_var.zero_()
    assert normalizer(torch.full((1, 30), 3.5)).tolist() == [pytest.approx([15.0] * 30)]


def test_statistics_are_those_of_all_ranks():
    alone, rank = (trained(MANIPULATION) for _ in range(2))
    observations = observe(4, 6, layout=MANIPULATION)
    twice = {name: torch.cat([tensor, tensor], 1) for name, tensor in observations.items()}
    alone.update_normalization(twice)
    rank.update_normalization(observations, lambda sums: sums * 2.0)
    for name, tensor in alone.state_dict().items():
        torch.testing.assert_close(tensor, rank.state_dict()[name])


def test_a_network_without_statistics_does_not_fit_one_with():
    with_, without = trained(MANIPULATION).state_dict(), build(MANIPULATION).state_dict()
    with pytest.raises(
        CheckpointError, match=r"not in the checkpoint: tokenizer_normalizer\.g1\.running_mean, .*proprioception_"
    ):
        check_model(without, with_, where="base.pt")
    with pytest.raises(CheckpointError, match=r"not in this run's network: tokenizer_normalizer\.g1\.running_mean"):
        check_model(with_, without, where="base.pt")
