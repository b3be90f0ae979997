from __future__ import annotations

import pytest
import torch

from grail_framework.config import ActionCfg, PpoCfg, RunCfg
from grail_framework.learning.distributed import make_accelerator
from grail_framework.learning.networks import mlp
from grail_framework.learning.runner import OnPolicyRunner
from grail_framework.testing.point_env import PointEnv


@pytest.mark.gpu
def test_an_iteration_waits_for_the_gpu_once():
    accelerator = make_accelerator(cpu=False)
    cfg = RunCfg(task="point", action=ActionCfg(func="none"), observations={}, rewards={}, terminations={}, algorithm=PpoCfg())
    network = mlp(2, 3, 1, normalize_actor=True, normalize_critic=True)
    runner = OnPolicyRunner(PointEnv(64, device="cuda"), cfg, network, accelerator)
    runner.learn(2)

    # In the mode "error" any operation that makes the host wait raises; the one read of the metrics is allowed.
    torch.cuda.set_sync_debug_mode("error")
    try:
        value = runner._collect()
        runner.ppo.update(runner.rollout, value)
        runner.statistics.drain()
        runner.env.drain_metrics()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert runner.learn(3)["perf/collection_time"] > 0.0
