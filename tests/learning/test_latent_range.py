"""Latents that stay where the quantiser can tell them apart."""

from __future__ import annotations

import pytest
import torch
from test_imitation import build, rollout
from test_universal_token_network import observe

from grail_framework.learning.universal_token.losses import latent_range


def test_the_loss_by_hand():
    first = torch.tensor([[[2.0, -3.0], [0.5, -1.0]]])  # 1 and 2 beyond +-1: (1 + 4) / 4
    assert latent_range({"g1": first}).item() == pytest.approx(1.25)
    assert latent_range({"g1": first, "smpl": torch.ones(1, 2, 2)}).item() == pytest.approx(0.625)


def test_it_is_a_loss_of_the_update_where_it_counts():
    observations = observe(4)
    without, with_it = (build(range_coef=coef).action_mean_and_losses(observations) for coef in (0.0, 0.5))
    assert list(without[1]) == ["g1_recon"]
    assert list(with_it[1]) == ["latent_range", "g1_recon"]
    assert torch.equal(without[0], with_it[0])
    latents = build().actor_module.latents(observations["tokenizer"])
    torch.testing.assert_close(with_it[1]["latent_range"], 0.5 * latent_range(latents))


def test_latents_at_the_ends_come_back_and_a_residual_changes_tokens_again():
    """Ten times the weights of an encoder's last layer put its latents where tanh is flat."""
    changed: dict[float, float] = {}
    for coef in (0.0, 1.0):
        network, observations = build(imitated_rollouts=5, range_coef=coef), rollout()
        module = network.actor_module
        with torch.no_grad():
            last = [parameter for name, parameter in module.encoders.named_parameters() if name.endswith("weight")][-1]
            last.mul_(10.0)
        network.update_normalization(observations)
        for _ in range(5):
            network.after_update(observations)
        latent = module.encode(observations["tokenizer"].flatten(0, 1))
        moved = module.quantize(latent + 0.1) != module.quantize(latent)
        changed[coef] = moved.float().mean().item()
    assert changed[1.0] > 1.5 * changed[0.0], changed
