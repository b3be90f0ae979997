from __future__ import annotations

import pytest
import torch

from grail_framework.errors import ConfigError
from grail_framework.learning.networks import AlignedLinear, mlp


def observations(batch: int = 4) -> dict[str, torch.Tensor]:
    return {"policy": torch.randn(batch, 3), "critic": torch.randn(batch, 5)}


def test_shapes_and_parameter_names():
    network = mlp(3, 5, 2, actor_hidden_dims=(8, 6), critic_hidden_dims=(7,))
    output = network(observations())
    assert output.actions.shape == output.mean.shape == output.std.shape == (4, 2)
    assert output.log_prob.shape == output.entropy.shape == output.value.shape == (4,)
    assert set(network.state_dict()) == {
        "std",
        *(f"actor_module.module.{layer}.{kind}" for layer in (0, 2, 4) for kind in ("weight", "bias")),
        *(f"critic_module.module.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")),
    }


def test_given_actions_are_evaluated_not_sampled():
    network = mlp(3, 5, 2)
    obs, actions = observations(), torch.randn(4, 2)
    output = network(obs, actions)
    assert output.actions is actions
    expected = torch.distributions.Normal(network.action_mean(obs), 0.05).log_prob(actions).sum(-1)
    torch.testing.assert_close(output.log_prob, expected)


def test_std_is_used_directly_and_clamped_in_place():
    network = mlp(3, 5, 2, init_noise_std=0.05)
    assert network.std.tolist() == pytest.approx([0.05, 0.05])
    parameter = network.std
    with torch.no_grad():
        parameter.copy_(torch.tensor([-1.0, 7.0]))
    network.project_()
    assert network.std is parameter
    assert parameter.tolist() == pytest.approx([0.001, 0.5])


def test_normalisers_only_where_asked():
    network = mlp(3, 5, 2, normalize_critic=True)
    assert not any(name.startswith("actor_module.running") for name in network.state_dict())
    rollout = {"policy": torch.randn(6, 4, 3), "critic": torch.randn(6, 4, 5) + 10.0}
    network.update_normalization(rollout)
    mean = network.state_dict()["critic_module.running_mean_std.running_mean"]
    torch.testing.assert_close(mean, rollout["critic"].flatten(0, 1).double().mean(0))


def test_every_parameter_belongs_to_actor_or_critic():
    network = mlp(3, 5, 2)
    critic = {id(parameter) for parameter in network.critic_parameters()}
    names = {name for name, parameter in network.named_parameters() if id(parameter) in critic}
    assert names == {name for name, _ in network.named_parameters() if name.startswith("critic_module.")}


def test_the_latent_part_of_the_action_is_kept_small():
    network = mlp(3, 5, 4, latent_l2_coef=0.1, latent_dim=3)
    obs = observations()
    output = network(obs, torch.randn(4, 4))
    mean = network.action_mean(obs)
    assert output.aux_losses.keys() == {"latent_l2"}
    assert output.aux_losses["latent_l2"].item() == pytest.approx(0.1 * (mean[:, :3] ** 2).sum().item() / 12)
    output.aux_losses["latent_l2"].backward()
    last = network.get_parameter("actor_module.module.6.weight").grad
    assert last is not None
    assert (last.abs().sum(1) > 0.0).tolist() == [True, True, True, False]
    assert network(obs).aux_losses == {}
    assert mlp(3, 5, 4)(obs, torch.randn(4, 4)).aux_losses == {}


def test_a_latent_wider_than_the_action_is_refused():
    with pytest.raises(ConfigError, match=r"latent_dim=64: .*the action has 31; remove network\.params\.latent_l2_coef"):
        mlp(3, 5, 31, latent_l2_coef=0.1)
    mlp(3, 5, 31)


def test_unknown_activation_names_the_close_one():
    with pytest.raises(ConfigError, match="did you mean 'silu'"):
        mlp(3, 5, 2, activation="sillu")


def test_initial_std_outside_its_bounds_is_refused():
    with pytest.raises(ConfigError, match=r"init_noise_std 0\.9 must lie in"):
        mlp(3, 5, 2, init_noise_std=0.9)


def test_zeros_appended_to_rows_change_neither_result_nor_gradients():
    torch.manual_seed(0)
    layer, inputs = AlignedLinear(13, 4).double(), torch.randn(5, 13, dtype=torch.float64)
    outcomes = []
    for result in (layer(inputs), layer.forward_padded(inputs, 3)):
        gradients = torch.autograd.grad(result.square().sum(), list(layer.parameters()))
        outcomes.append([result.detach(), *gradients])
    for plain, padded in zip(*outcomes, strict=True):
        torch.testing.assert_close(padded, plain)
