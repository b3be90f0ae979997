from __future__ import annotations

import warnings

import pytest
import torch

from grail_framework.config import ActionCfg, PpoCfg, RunCfg
from grail_framework.learning.distributed import make_accelerator
from grail_framework.learning.networks import mlp
from grail_framework.learning.runner import OnPolicyRunner
from grail_framework.testing.point_env import PointEnv


@pytest.mark.gpu
@pytest.mark.usefixtures("fresh_accelerate")
@pytest.mark.parametrize("graphs", [True, False])
def test_an_iteration_waits_for_the_gpu_once(graphs: bool):
    accelerator = make_accelerator(cpu=False)
    algorithm = PpoCfg(cuda_graphs=graphs)
    cfg = RunCfg(task="point", action=ActionCfg(func="none"), observations={}, rewards={}, terminations={}, algorithm=algorithm)
    network = mlp(2, 3, 1, normalize_actor=True, normalize_critic=True)
    runner = OnPolicyRunner(PointEnv(64, device="cuda"), cfg, network, accelerator)
    runner.learn(4)  # graphs are recorded in the first three
    assert (runner.ppo.captured, runner.collector.captured) == (graphs, graphs)

    # In the mode "error" any operation that makes the host wait raises; the one read of the metrics is allowed.
    torch.cuda.set_sync_debug_mode("error")
    try:
        value = runner._collect()
        runner.ppo.update(runner.rollout, value)
        runner.statistics.drain()
        runner.env.drain_metrics()
    finally:
        torch.cuda.set_sync_debug_mode("default")

    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            metrics = runner.learn(5)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([warning for warning in caught if "synchronizing" in str(warning.message)]) == 1
    assert metrics["perf/collection_time"] > 0.0
