"""PPO against an independent implementation: the same networks, the same rollout, one mini-batch."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from accelerate import Accelerator
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage as TheirStorage
from tensordict import TensorDict

from grail_framework.config import PpoCfg
from grail_framework.learning.networks import mlp
from grail_framework.learning.ppo import Ppo
from grail_framework.learning.storage import RolloutStorage

STEPS, ENVS, ACTIONS = 7, 12, 3
WIDTHS = {"policy": 5, "critic": 6}
HIDDEN = (16, 8)
CFG = PpoCfg(
    num_steps_per_env=STEPS,
    num_learning_epochs=1,
    num_mini_batches=1,
    learning_rate=1e-3,
    max_learning_rate=1e-2,
    max_grad_norm=1e9,  # gradients stay as they are before clipping
)
TOLERANCE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


def draw_observations() -> dict[str, torch.Tensor]:
    return {group: torch.randn(ENVS, width) for group, width in WIDTHS.items()}


def as_tensordict(observations: dict[str, torch.Tensor]) -> TensorDict:
    return TensorDict(dict(observations), batch_size=[ENVS])


def make_theirs(cfg: PpoCfg) -> PPO:
    observations = as_tensordict(draw_observations())
    groups = {"actor": ["policy"], "critic": ["critic"]}
    gaussian = {"class_name": "GaussianDistribution", "init_std": 0.3, "std_type": "scalar"}
    actor = MLPModel(observations, groups, "actor", ACTIONS, list(HIDDEN), "elu", distribution_cfg=gaussian)
    critic = MLPModel(observations, groups, "critic", 1, list(HIDDEN), "elu")
    return PPO(
        actor,
        critic,
        TheirStorage("rl", ENVS, STEPS, observations, [ACTIONS]),
        num_learning_epochs=1,
        num_mini_batches=1,
        clip_param=cfg.clip_param,
        gamma=cfg.gamma,
        lam=cfg.lam,
        value_loss_coef=cfg.value_loss_coef,
        entropy_coef=cfg.entropy_coef,
        learning_rate=cfg.learning_rate,
        max_grad_norm=cfg.max_grad_norm,
        use_clipped_value_loss=cfg.use_clipped_value_loss,
        schedule=cfg.schedule,
        desired_kl=cfg.desired_kl,
    )


def make_ours(cfg: PpoCfg) -> Ppo:
    network = mlp(
        WIDTHS["policy"],
        WIDTHS["critic"],
        ACTIONS,
        actor_hidden_dims=HIDDEN,
        critic_hidden_dims=HIDDEN,
        activation="elu",
        init_noise_std=0.3,
    )
    return Ppo(network, cfg, Accelerator(cpu=True))


def pairs(ours: Ppo, theirs: PPO) -> dict[str, tuple[torch.nn.Parameter, torch.nn.Parameter]]:
    """Our parameters beside theirs, by our names."""
    found = {"std": (ours.network.get_parameter("std"), theirs.actor.get_parameter("distribution.std_param"))}
    for part, model in (("actor", theirs.actor), ("critic", theirs.critic)):
        for name, parameter in model.mlp.named_parameters():
            own = f"{part}_module.module.{name}"
            found[own] = (ours.network.get_parameter(own), parameter)
    assert set(found) == {name for name, _ in ours.network.named_parameters()}
    return found


@torch.no_grad()
def collect(ours: Ppo, theirs: PPO) -> tuple[RolloutStorage, torch.Tensor]:
    """Give both the same steps, with failures and time-outs; return our storage and the value after the last step."""
    rollout = RolloutStorage(STEPS, ENVS, WIDTHS, ACTIONS, torch.device("cpu"))
    observations = draw_observations()
    for step in range(STEPS):
        actions = theirs.act(as_tensordict(observations))
        rollout.record_decision(torch.tensor([step]), observations, ours.network(observations, actions))
        reward, terminated = torch.randn(ENVS), torch.rand(ENVS) < 0.15
        truncated = (torch.rand(ENVS) < 0.15) & ~terminated
        rollout.record_outcome(torch.tensor([step]), reward, terminated, truncated)
        observations = draw_observations()
        theirs.process_env_step(as_tensordict(observations), reward, terminated | truncated, {"time_outs": truncated.float()})
    assert rollout.terminated.any()
    assert rollout.truncated.any()
    theirs.compute_returns(as_tensordict(observations))
    return rollout, ours.network.value(observations)


@torch.no_grad()
def drift(ours: Ppo, theirs: PPO, size: float) -> None:
    """Move both sets of weights alike, so that ratios leave 1 and clipping matters."""
    for own, other in pairs(ours, theirs).values():
        own += size * torch.randn_like(own)
        own.abs_() if own.ndim == 1 and own is ours.network.std else None
        other.copy_(own)


def both(cfg: PpoCfg, size: float) -> tuple[Ppo, PPO, RolloutStorage, dict[str, float], dict[str, float]]:
    torch.manual_seed(0)
    theirs, ours = make_theirs(cfg), make_ours(cfg)
    drift(ours, theirs, 0.0)
    rollout, last_value = collect(ours, theirs)
    drift(ours, theirs, size)
    told = {name: value.item() for name, value in ours.update(rollout, last_value).items()}
    return ours, theirs, rollout, told, theirs.update()


@pytest.mark.parametrize("size", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("clipped_value", [True, False])
def test_returns_advantages_losses_and_gradients_agree(size: float, clipped_value: bool):
    cfg = attrs.evolve(CFG, use_clipped_value_loss=clipped_value)
    ours, theirs, rollout, told, expected = both(cfg, size)
    torch.testing.assert_close(rollout.returns, theirs.storage.returns.squeeze(-1), **TOLERANCE)
    torch.testing.assert_close(rollout.advantages, theirs.storage.advantages.squeeze(-1), **TOLERANCE)
    for name in ("surrogate", "value", "entropy"):
        assert told[f"loss/{name}"] == pytest.approx(expected[name], rel=1e-5, abs=1e-5)
    for name, (own, other) in pairs(ours, theirs).items():
        assert own.grad is not None
        assert other.grad is not None
        assert other.grad.abs().max() > 1e-4, name
        torch.testing.assert_close(own.grad, other.grad, **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(("size", "direction"), [(0.1, -1), (0.004, 1)])
def test_the_kl_rule_moves_the_rate_alike(size: float, direction: int):
    ours, theirs, _, told, _ = both(CFG, size)
    assert (told["policy/kl"] > 2 * CFG.desired_kl) == (direction < 0)
    assert ours.learning_rate.item() == pytest.approx(theirs.learning_rate, rel=1e-6)
    assert ours.learning_rate.item() == pytest.approx(1e-3 * 1.5**direction, rel=1e-5)
