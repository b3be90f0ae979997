from __future__ import annotations

import sys

import pytest
import torch

from grail_framework.bench.ppo_update import UpdateSize, compare, measure
from grail_framework.config import PpoCfg
from grail_framework.errors import ConfigError

CPU = torch.device("cpu")
SMALL = UpdateSize(num_envs=8, num_steps=4, hidden=(16, 8), widths={"policy": 12, "critic": 13}, num_actions=3)


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_update_gives_rsl_rls_losses_and_weights(shuffle: bool):
    found = compare(SMALL, CPU, 2, PpoCfg(num_learning_epochs=2, shuffle_every_epoch=shuffle))
    assert len(found.ours) == len(found.rsl_rl) == 2
    assert found.details["loss_difference"] < 1e-5
    assert found.details["weight_difference"] < 1e-5


def test_medians_by_name():
    found = measure(device="cpu", num_envs=4, num_steps=2, hidden=(4,), repeats=1)
    assert found["ratio"] == pytest.approx(found["ours_ms"] / found["rsl_rl_ms"])
    assert {"eager_ms", "rsl_rl_returns_ms", "act_ms", "act_eager_ms", "rsl_rl_act_ms"} <= found.keys()
    assert "waits" not in found  # a CPU is never waited for


def test_without_rsl_rl_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rsl_rl.algorithms", None)
    with pytest.raises(ConfigError, match=r"pip install 'rsl-rl-lib"):
        compare(SMALL, CPU, 1)
