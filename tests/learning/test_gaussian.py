from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from grail_framework.learning import gaussian


def test_log_prob_and_entropy_equal_scipys():
    mean, std, actions = torch.tensor([[0.3, -1.0]]), torch.tensor([[0.5, 2.0]]), torch.tensor([[0.1, 0.4]])
    expected = stats.norm.logpdf(actions.numpy(), mean.numpy(), std.numpy()).sum()
    assert gaussian.log_prob(actions, mean, std).item() == pytest.approx(expected, rel=1e-6)
    assert gaussian.entropy(std).item() == pytest.approx(stats.norm.entropy(0.0, std.numpy()).sum(), rel=1e-6)


def test_kl_by_hand():
    # log(2 + 1e-5) + (1 + 1) / (2 * 4) - 1/2, with old std 1, new std 2, means 1 apart; a second, equal dimension adds log(1 + 1e-5).
    kl = gaussian.kl_divergence(
        torch.tensor([[0.0, 3.0]]), torch.tensor([[1.0, 0.5]]), torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, 0.5]])
    )
    assert kl.item() == pytest.approx(math.log(2.0 + 1e-5) + 0.25 - 0.5 + math.log(1.0 + 1e-5), abs=1e-6)
