from __future__ import annotations

import pytest
import torch

from grail_framework.learning.advantages import generalized_advantages, normalize_advantages


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values).unsqueeze(1)


def flags(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool).unsqueeze(1)


def test_by_hand_without_ends():
    # gamma 0.5, lambda 0.5: delta_1 = 2 + 0.5 * 4 - 3 = 1; delta_0 = 1 + 0.5 * 3 - 2 = 0.5; A_0 = 0.5 + 0.25 * 1.
    returns, advantages = generalized_advantages(
        column(1.0, 2.0), column(2.0, 3.0), flags(0, 0), flags(0, 0), torch.tensor([4.0]), gamma=0.5, lam=0.5
    )
    assert advantages.squeeze(1).tolist() == pytest.approx([0.75, 1.0])
    assert returns.squeeze(1).tolist() == pytest.approx([2.75, 4.0])


def test_termination_cuts_both_the_value_and_the_sum():
    # Step 0 terminates: delta_0 = 1 - 2, nothing of step 1 reaches it.
    _, advantages = generalized_advantages(
        column(1.0, 2.0), column(2.0, 3.0), flags(1, 0), flags(0, 0), torch.tensor([4.0]), gamma=0.5, lam=0.5
    )
    assert advantages.squeeze(1).tolist() == pytest.approx([-1.0, 1.0])


def test_time_out_bootstraps_with_the_value_of_its_own_state():
    # Step 0 is truncated: delta_0 = (1 + 0.5 * 2) - 2 = 0.
    returns, advantages = generalized_advantages(
        column(1.0, 2.0), column(2.0, 3.0), flags(0, 0), flags(1, 0), torch.tensor([4.0]), gamma=0.5, lam=0.5
    )
    assert advantages.squeeze(1).tolist() == pytest.approx([0.0, 1.0])
    assert returns.squeeze(1).tolist() == pytest.approx([2.0, 4.0])


def test_rewards_are_left_alone():
    rewards = column(1.0, 2.0)
    generalized_advantages(rewards, rewards, flags(0, 0), flags(1, 1), torch.tensor([0.0]), gamma=0.9, lam=0.9)
    assert rewards.squeeze(1).tolist() == [1.0, 2.0]


def test_lambda_one_gives_discounted_returns():
    torch.manual_seed(0)
    rewards, values, last = torch.randn(7, 3), torch.randn(7, 3), torch.randn(3)
    none = torch.zeros(7, 3, dtype=torch.bool)
    returns, _ = generalized_advantages(rewards, values, none, none, last, gamma=0.9, lam=1.0)
    expected = sum((0.9**t * rewards[t] for t in range(7)), 0.9**7 * last)
    torch.testing.assert_close(returns[0], expected)


def test_normalised_by_hand():
    # Mean 2, unbiased standard deviation sqrt(2 / 2) = 1.
    assert normalize_advantages(column(1.0, 2.0, 3.0)).squeeze(1).tolist() == pytest.approx([-1.0, 0.0, 1.0])


def test_normalised_over_ranks_equals_normalised_together():
    torch.manual_seed(0)
    parts = [torch.randn(5, 4), torch.randn(5, 4) * 3.0 + 1.0]
    together = normalize_advantages(torch.cat(parts, dim=1))
    # Both collectives of this rank, answered as the other rank would: first (sum, count), then the squares.
    total = torch.cat(parts).sum()
    mean = total / 40.0
    answers = iter([torch.stack([total, torch.tensor(40.0)]), sum((part - mean).square().sum() for part in parts)])
    torch.testing.assert_close(normalize_advantages(parts[0], lambda _: next(answers)), together[:, :4])
