"""The quantiser against vector_quantize_pytorch and hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch
from vector_quantize_pytorch import FSQ

from grail_framework.errors import ConfigError
from grail_framework.learning.universal_token.fsq import Fsq, level_use


def latents(levels: int, count: int = 4000) -> torch.Tensor:
    """Return latents over the whole range, but for those that two ways of rounding may take to different levels."""
    torch.manual_seed(0)
    z = torch.randn(count, 4) * 2.0
    half, offset = (levels - 1) * 1.001 / 2, 0.0 if levels % 2 else 0.5
    bounded = torch.tanh(z.double() + math.atanh(offset / half)) * half - offset
    edge = ((bounded - bounded.floor() - 0.5).abs() < 1e-4).any(-1)
    return z[~edge]


def theirs(levels: int) -> FSQ:
    return FSQ([levels] * 4)


@pytest.mark.parametrize("levels", [3, 5, 8, 32])
def test_tokens_are_those_of_vector_quantize_pytorch(levels):
    z = latents(levels)
    expected, _ = theirs(levels)(z.unsqueeze(0))
    torch.testing.assert_close(Fsq(levels)(z), expected.squeeze(0), rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("levels", [5, 32])
def test_gradients_are_those_of_vector_quantize_pytorch(levels):
    z = latents(levels)
    weight = torch.randn_like(z)
    gradients = []
    for quantizer in (Fsq(levels), theirs(levels)):
        leaf = z.clone().requires_grad_()
        tokens = quantizer(leaf) if isinstance(quantizer, Fsq) else quantizer(leaf.unsqueeze(0))[0].squeeze(0)
        (tokens * weight).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().min() >= 0.0
    assert gradients[0].abs().max() > 0.1


def test_indices_are_those_of_vector_quantize_pytorch():
    z = latents(32)
    quantizer, single = Fsq(32), FSQ([32])
    for column in z.T:
        tokens, indices = single(column[None, :, None])
        assert torch.equal(quantizer.indices(tokens), indices.long().reshape(tokens.shape))


def test_values_of_the_release():
    z = torch.tensor([0.0, 1.0, -1.0, 0.1, -0.1, 50.0, -50.0])
    assert Fsq(32)(z).tolist() == [0.0, 0.75, -0.75, 0.125, -0.125, 15 / 16, -1.0]


def test_tokens_are_levels_to_the_bit_and_all_are_reached():
    tokens = Fsq(32)(torch.linspace(-6.0, 6.0, 20_000))
    assert torch.equal(torch.unique(tokens), torch.arange(-16, 16) / 16)
    assert torch.equal(torch.unique(Fsq(32).indices(tokens)), torch.arange(32))


def test_the_gradient_is_that_of_the_bound():
    z = torch.tensor(0.3, requires_grad=True)
    Fsq(32)(z).backward()
    half = 31 * 1.001 / 2
    assert z.grad is not None
    assert z.grad.item() == pytest.approx(half * (1 - math.tanh(0.3 + math.atanh(0.5 / half)) ** 2) / 16, rel=1e-5)


def test_half_precision_latents_are_quantised_in_float32():
    z = torch.linspace(-2.0, 2.0, 500).bfloat16()
    tokens = Fsq(32)(z)
    assert tokens.dtype == torch.float32
    assert torch.equal(tokens, Fsq(32)(z.float()))


def test_nothing_is_saved():
    assert Fsq(32).state_dict() == {}


def test_too_few_levels_are_refused():
    with pytest.raises(ConfigError, match="fsq_levels=2"):
        Fsq(2)


@pytest.mark.parametrize("levels", [3, 5, 32])
def test_use_of_levels_is_their_perplexity(levels):
    half = levels // 2
    steps = (torch.arange(levels) - half) / half
    every, one = steps.repeat(3)[:, None], torch.zeros(3 * levels, 1)
    assert level_use(every, levels).item() == pytest.approx(1.0)
    assert level_use(one, levels).item() == pytest.approx(1.0 / levels)
    # Two elements: the first takes all levels alike, the second three in the shares 1/2, 1/4, 1/4.
    shares = steps[torch.tensor([0, 0, 1, 2]).repeat(3 * levels)][:, None]
    both = torch.cat([every.repeat(4, 1), shares], 1).unflatten(1, (2, 1))
    perplexity = math.exp(0.5 * math.log(2.0) + 0.5 * math.log(4.0))
    assert level_use(both, levels).item() == pytest.approx((levels + perplexity) / 2 / levels, rel=1e-5)


def test_tokens_beyond_the_outermost_levels_count_for_these():
    assert level_use(torch.tensor([[1.7], [-1.7], [0.94], [-1.0]]), 32).item() == pytest.approx(2.0 / 32)
