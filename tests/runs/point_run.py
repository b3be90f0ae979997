"""Runs of the point environment with all that `grail run` does around the training; for tests, in their process or in others."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import torch
from accelerate import Accelerator

from grail_framework.config import ActionCfg, CheckpointCfg, LoggingCfg, PpoCfg, RunCfg
from grail_framework.learning.networks import mlp
from grail_framework.learning.rng import seed_everything
from grail_framework.learning.runner import OnPolicyRunner
from grail_framework.logging.run_log import run_log
from grail_framework.logging.writer import WriterContext, build_writers
from grail_framework.runs.checkpoint import CheckpointWriter, RunIdentity
from grail_framework.runs.directory import build_meta, open_run_directory, save_config, save_meta
from grail_framework.runs.resume import apply_resume, plan_resume
from grail_framework.testing.point_env import PointEnv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CFG = RunCfg(
    task="point",
    action=ActionCfg(func="none"),
    observations={},
    rewards={},
    terminations={},
    algorithm=PpoCfg(
        num_steps_per_env=6, num_learning_epochs=2, num_mini_batches=2, learning_rate=1e-3, max_learning_rate=1e-2
    ),
    checkpoints=CheckpointCfg(last_frequency=2, save_frequency=2),
)
IDENTITY = RunIdentity(plugins=[{"name": "hoi", "version": "0.1.0", "target": "t"}], config_digest="abc")


def run(
    path: Path,
    iterations: int,
    *,
    checkpoint: str | None = None,
    resume: bool = False,
    seed: int = 5,
    width: int = 8,
    checkpoints: CheckpointCfg = CFG.checkpoints,
    tensorboard: bool = False,
    observers: Sequence[Any] = (),
) -> tuple[OnPolicyRunner, int]:
    """Do what `grail run` does, with the point environment; return the runner and the iteration it started at."""
    seed_everything(seed)
    cfg = attrs.evolve(CFG, checkpoints=checkpoints)
    plan = plan_resume(checkpoint=checkpoint, resume=resume, run_directory=path)
    directory = open_run_directory(path, resume=resume)
    with run_log(path):
        if plan.mode != "full":
            _save_manifest(directory)
        network = mlp(
            2, 3, 1, actor_hidden_dims=(width,), critic_hidden_dims=(width,), normalize_actor=True, normalize_critic=True
        )
        checkpointer = CheckpointWriter(directory, cfg.checkpoints, IDENTITY)
        runner = OnPolicyRunner(
            PointEnv(8), cfg, network, Accelerator(cpu=True), checkpointer=checkpointer, observers=observers
        )
        apply_resume(plan, runner, identity=IDENTITY, directory=directory)
        if plan.mode == "full":
            _save_manifest(directory)
        started_at = runner.iteration
        context = WriterContext(
            directory=path,
            run_name=path.name,
            project="p",
            logging=LoggingCfg(console="off", tensorboard=tensorboard),
            total_iterations=iterations,
            start_iteration=started_at,
        )
        runner.writer = build_writers(context)
        runner.learn(iterations)
        runner.writer.close()
    return runner, started_at


def _save_manifest(directory: Any) -> None:
    save_config(directory, {"task": "point"})
    save_meta(directory, build_meta(task="point", config_digest="abc", plugins=[]))


def flat(tree: Any, place: str = "") -> dict[str, Any]:
    if isinstance(tree, dict):
        return {name: leaf for key, value in tree.items() for name, leaf in flat(value, f"{place}.{key}").items()}
    if isinstance(tree, list | tuple):
        return {name: leaf for index, value in enumerate(tree) for name, leaf in flat(value, f"{place}[{index}]").items()}
    return {place: tree}


def assert_same(first: Any, second: Any) -> None:
    """Compare two checkpoints bitwise."""
    first, second = flat(first), flat(second)
    assert first.keys() == second.keys()
    for name, value in first.items():
        same = torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        assert same, name


def lines(directory: Path) -> list[dict[str, Any]]:
    """Read the metrics without what is timed."""
    read = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if k != "time" and (not k.startswith("perf/") or k == "perf/samples")} for line in read
    ]


def start(target: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """Start a process in which all that a run imports is there already; `target` is a function of a module in this folder."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "warm"])
    process = context.Process(target=target, args=arguments, kwargs=settings, daemon=True)
    with pytest.MonkeyPatch.context() as patch:  # read by the server, which the first process starts
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        patch.setenv("OMP_NUM_THREADS", "1")
        process.start()
    return process
