from __future__ import annotations

import copy

import attrs
import pytest
import torch
from accelerate import Accelerator

from grail_framework.config import PpoCfg
from grail_framework.errors import ConfigError, EnvContractError
from grail_framework.learning.networks import ActorCritic, PolicyOutput, mlp
from grail_framework.learning.ppo import Ppo, adapted_learning_rate, check_mini_batches, surrogate_loss, value_loss
from grail_framework.learning.storage import MiniBatch, RolloutStorage

CFG = PpoCfg(num_steps_per_env=4, num_learning_epochs=2, num_mini_batches=2)


def make_ppo(cfg: PpoCfg = CFG) -> Ppo:
    torch.manual_seed(0)
    network = mlp(2, 3, 1, actor_hidden_dims=(8,), critic_hidden_dims=(8,))
    return Ppo(network, cfg, Accelerator(cpu=True))


def make_rollout(network: ActorCritic, cfg: PpoCfg = CFG, *, reward_scale: float = 1.0) -> RolloutStorage:
    torch.manual_seed(1)
    rollout = RolloutStorage(cfg.num_steps_per_env, 6, {"policy": 2, "critic": 3}, 1, torch.device("cpu"))
    for step in range(cfg.num_steps_per_env):
        observations = {"policy": torch.randn(6, 2), "critic": torch.randn(6, 3)}
        with torch.no_grad():
            output = network(observations)
        rollout.record_decision(torch.tensor([step]), observations, output)
        rollout.record_outcome(torch.tensor([step]), reward_scale * torch.randn(6), torch.rand(6) < 0.1, torch.rand(6) < 0.1)
    return rollout


def parameters(ppo: Ppo) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in ppo.network.named_parameters()}


@pytest.mark.parametrize(
    ("kl", "rate", "expected"),
    [
        (0.021, 3e-5, 2e-5),  # above twice the desired 0.01
        (0.0049, 2e-5, 3e-5),  # below half of it
        (0.02, 2e-5, 2e-5),
        (0.005, 2e-5, 2e-5),
        (0.0, 2e-5, 2e-5),  # nothing was learned yet
        (-1e-3, 2e-5, 2e-5),
        (float("nan"), 2e-5, 2e-5),
        (1.0, 1.2e-5, 1e-5),  # lower bound
        (0.001, 1.9e-4, 2e-4),  # upper bound
    ],
)
def test_adaptive_rule(kl: float, rate: float, expected: float):
    adapted = adapted_learning_rate(torch.tensor(rate), torch.tensor(kl), CFG)
    assert adapted.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("num_envs", "parts", "nearest"), [(10, 4, "8 or 12"), (3, 4, "4"), (4097, 4, "4096 or 4100")])
def test_uneven_mini_batches_name_the_nearest_numbers(num_envs: int, parts: int, nearest: str):
    with pytest.raises(ConfigError, match=f"num_envs={nearest}, or"):
        check_mini_batches(num_envs, parts)


def test_even_mini_batches_pass():
    check_mini_batches(12, 4)


def crafted(*, ratio: list[float], advantage: list[float], value: list[float], old: list[float], returns: list[float]):
    zeros = torch.zeros(len(ratio))
    output = PolicyOutput(zeros, torch.tensor(ratio).log(), zeros, zeros, zeros, torch.tensor(value), {})
    batch = MiniBatch(
        observations={},
        actions=zeros,
        log_prob=zeros,
        mean=zeros,
        std=zeros,
        value=torch.tensor(old),
        returns=torch.tensor(returns),
        advantages=torch.tensor(advantage),
    )
    return output, batch


def test_surrogate_by_hand():
    output, batch = crafted(
        ratio=[1.5, 0.5, 1.1], advantage=[2.0, -1.0, 1.0], value=[0.0] * 3, old=[0.0] * 3, returns=[0.0] * 3
    )
    # min(3, 2.4), min(-0.5, -0.8), min(1.1, 1.1)
    assert surrogate_loss(output, batch, 0.2).item() == pytest.approx(-(2.4 - 0.8 + 1.1) / 3.0)


def test_value_loss_by_hand():
    output, batch = crafted(ratio=[1.0] * 2, advantage=[0.0] * 2, value=[1.0, 0.1], old=[0.0, 0.0], returns=[1.0, 1.0])
    # Clipped: 0.2 -> 0.64 against 0; 0.1 -> 0.81 either way.
    assert value_loss(output, batch, 0.2).item() == pytest.approx((0.64 + 0.81) / 2.0)
    assert value_loss(output, batch, None).item() == pytest.approx(0.81 / 2.0)


def test_update_changes_actor_and_critic_and_reports_scalars():
    ppo = make_ppo()
    before = parameters(ppo)
    metrics = ppo.update(make_rollout(ppo.network), torch.zeros(6))
    after = parameters(ppo)
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert all(isinstance(value, torch.Tensor) and value.ndim == 0 and value.isfinite() for value in metrics.values())
    assert metrics["policy/skipped_updates"].item() == 0.0


def test_first_step_equals_plain_adamw_with_one_joint_clip():
    cfg = attrs.evolve(CFG, num_learning_epochs=1, num_mini_batches=1, schedule="fixed", learning_rate=1e-3, max_grad_norm=0.1)
    ppo = make_ppo(cfg)
    rollout = make_rollout(ppo.network, cfg, reward_scale=5.0)
    reference = mlp(2, 3, 1, actor_hidden_dims=(8,), critic_hidden_dims=(8,))
    reference.load_state_dict(ppo.network.state_dict())
    ppo.update(rollout, torch.zeros(6))

    batch = rollout.mini_batch(torch.arange(6))
    output = reference(batch.observations, batch.actions)
    ratio = (output.log_prob - batch.log_prob).exp()
    loss = -(ratio * batch.advantages).mean() + (output.value - batch.returns).square().mean() - 0.01 * output.entropy.mean()
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in reference.parameters()]).norm()
    assert norm > 0.1
    for parameter in reference.parameters():
        parameter.grad.mul_(0.1 / (norm + 1e-6))
    torch.optim.AdamW(reference.parameters(), lr=1e-3, weight_decay=0.0).step()
    for name, value in reference.named_parameters():
        torch.testing.assert_close(ppo.network.get_parameter(name), value, rtol=1e-4, atol=1e-7)


def test_one_norm_over_actor_and_critic_is_clipped():
    ppo = make_ppo(attrs.evolve(CFG, max_grad_norm=1.0))
    std, bias = ppo.network.std, ppo.network.get_parameter("critic_module.module.2.bias")
    norm, skipped = ppo._descend(3.0 * std.sum() + 4.0 * bias.sum() + 0.0 * sum(p.sum() for p in ppo.network.parameters()))
    assert (norm.item(), skipped.item()) == (pytest.approx(5.0), 0.0)
    # Clipped apart they would be 1 each.
    assert (std.grad.item(), bias.grad.item()) == (pytest.approx(0.6, abs=1e-5), pytest.approx(0.8, abs=1e-5))


@pytest.mark.parametrize(("slope", "bound"), [(-1.0, 0.5), (1.0, 0.001)])
def test_the_std_is_clamped_after_every_step(slope: float, bound: float):
    ppo = make_ppo(attrs.evolve(CFG, schedule="fixed", learning_rate=0.6))
    # The first step of AdamW moves a parameter by the learning rate, here from 0.05 beyond either bound.
    ppo._descend(slope * ppo.network.std.sum())
    assert ppo.network.std.tolist() == pytest.approx([bound])


class Poisoned(torch.autograd.Function):
    """Passes values on and gradients as NaN."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * float("nan")


def test_nan_gradient_leaves_weights_moments_and_step_count_alone(monkeypatch):
    ppo = make_ppo()
    ppo.update(make_rollout(ppo.network), torch.zeros(6))
    before, optimizer = parameters(ppo), ppo.state_dict()["optimizer"]
    steps = [entry["step"].clone() for entry in optimizer["state"].values()]
    moments = [entry["exp_avg"].clone() for entry in optimizer["state"].values()]
    healthy = ppo.network.value
    monkeypatch.setattr(ppo.network, "value", lambda observations: Poisoned.apply(healthy(observations)))
    metrics = ppo.update(make_rollout(ppo.network), torch.zeros(6))
    assert metrics["policy/skipped_updates"].item() == 4.0
    assert all(torch.equal(before[name], value) for name, value in parameters(ppo).items())
    state = ppo.state_dict()["optimizer"]["state"].values()
    assert all(torch.equal(a, entry["step"]) for a, entry in zip(steps, state, strict=True))
    assert all(torch.equal(a, entry["exp_avg"]) for a, entry in zip(moments, state, strict=True))

    monkeypatch.undo()
    assert ppo.update(make_rollout(ppo.network), torch.zeros(6))["policy/skipped_updates"].item() == 0.0
    assert not torch.equal(before["std"], ppo.network.std)


def test_adaptive_rate_reaches_the_optimiser_and_the_critics_own_stays():
    cfg = attrs.evolve(CFG, critic_learning_rate=1e-3, learning_rate=2e-5, num_learning_epochs=5)
    ppo = make_ppo(cfg)
    ppo.update(make_rollout(ppo.network, cfg), torch.zeros(6))
    actor, critic = ppo.state_dict()["optimizer"]["param_groups"]
    assert actor["lr"].item() == ppo.learning_rate.item() != pytest.approx(2e-5)
    assert critic["lr"].item() == pytest.approx(1e-3)


def test_state_round_trip_continues_bitwise():
    first, second = make_ppo(), make_ppo()
    first.update(make_rollout(first.network), torch.zeros(6))
    second.load_state_dict(first.state_dict())
    for ppo in (first, second):
        ppo.update(make_rollout(ppo.network), torch.zeros(6))
    assert second.learning_rate.item() == first.learning_rate.item()
    assert all(torch.equal(a, b) for a, b in zip(parameters(first).values(), parameters(second).values(), strict=True))


def test_a_state_loaded_between_updates_continues_bitwise():
    ppo = make_ppo()
    rollout = make_rollout(ppo.network)
    ppo.update(rollout, torch.zeros(6))
    state = copy.deepcopy(ppo.state_dict())
    outcomes = []
    for _ in range(2):
        ppo.load_state_dict(state)
        torch.manual_seed(2)
        ppo.update(rollout, torch.zeros(6))
        outcomes.append(parameters(ppo) | {"rate": ppo.learning_rate.clone()})
    assert all(torch.equal(outcomes[0][name], value) for name, value in outcomes[1].items())


def test_aux_losses_that_come_and_go_are_refused(monkeypatch):
    ppo, names = make_ppo(), iter(["first", "second"])
    monkeypatch.setattr(ppo.network, "aux_losses", lambda _, mean: {next(names): mean.square().mean()})
    with pytest.raises(EnvContractError, match=r"loss/second.*return zero"):
        ppo.update(make_rollout(ppo.network), torch.zeros(6))


def test_aux_losses_are_weighted_and_reported(monkeypatch):
    cfg = attrs.evolve(CFG, num_learning_epochs=1, num_mini_batches=1, schedule="fixed", value_loss_coef=0.0, entropy_coef=0.0)
    ppo = make_ppo(cfg)
    monkeypatch.setattr(ppo.network, "aux_losses", lambda _, mean: {"latent_l2": 0.1 * mean.square().mean()})
    metrics = ppo.update(make_rollout(ppo.network, cfg), torch.zeros(6))
    assert metrics["loss/latent_l2"].item() > 0.0
