from __future__ import annotations

import numpy as np
import torch

from grail_framework.learning.normalization import RunningMeanStd


def test_statistics_equal_numpys_over_all_samples():
    generator = np.random.default_rng(0)
    batches = [generator.normal(100.0, 0.5, size=(7, 11, 3)), generator.normal(-3.0, 20.0, size=(50, 3))]
    normalizer = RunningMeanStd(3)
    for batch in batches:
        normalizer.update(torch.tensor(batch))
    samples = np.concatenate([batch.reshape(-1, 3) for batch in batches])
    np.testing.assert_allclose(normalizer.running_mean.numpy(), samples.mean(0), rtol=1e-12)
    np.testing.assert_allclose(normalizer.running_var.numpy(), samples.var(0), rtol=1e-12)
    assert normalizer.count.item() == 127.0


def test_ranks_merge_to_the_statistics_of_all_samples():
    torch.manual_seed(0)
    parts = [torch.randn(9, 2, dtype=torch.float64), torch.randn(13, 2, dtype=torch.float64) + 4.0]
    together = RunningMeanStd(2)
    together.update(torch.cat(parts))

    other = []
    RunningMeanStd(2).update(parts[1], lambda sums: other.append(sums) or sums)
    rank = RunningMeanStd(2)
    rank.update(parts[0], lambda sums: sums + other[0])
    torch.testing.assert_close(rank.running_mean, together.running_mean)
    torch.testing.assert_close(rank.running_var, together.running_var)


def test_formula_and_clamp():
    normalizer = RunningMeanStd(2)
    normalizer.running_mean.copy_(torch.tensor([1.0, 0.0]))
    normalizer.running_var.copy_(torch.tensor([4.0, 0.0]))
    out = normalizer(torch.tensor([[3.0, 1.0], [2.0, -1e-3]]))
    # (3 - 1) / sqrt(4 + 1e-5); 1 / sqrt(1e-5) = 316 is clamped to 5; -1e-3 / sqrt(1e-5) = -0.31623.
    torch.testing.assert_close(out, torch.tensor([[0.99999875, 5.0], [0.49999938, -0.31622777]]))


def test_before_the_first_update_nothing_is_shifted():
    out = RunningMeanStd(1)(torch.tensor([[0.5]]))
    torch.testing.assert_close(out, torch.tensor([[0.5 / (1.0 + 1e-5) ** 0.5]]))
