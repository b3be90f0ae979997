from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from accelerate import Accelerator

from grail_framework.config import ActionCfg, CheckpointCfg, LoggingCfg, PpoCfg, RunCfg
from grail_framework.errors import CheckpointError
from grail_framework.learning.networks import mlp
from grail_framework.learning.rng import seed_everything
from grail_framework.learning.runner import OnPolicyRunner
from grail_framework.logging.jsonl import JsonlWriter
from grail_framework.logging.writer import WriterContext
from grail_framework.runs.checkpoint import CheckpointWriter, RunIdentity
from grail_framework.runs.directory import RunDirectory, open_run_directory
from grail_framework.runs.formats import read_checkpoint
from grail_framework.runs.resume import ResumePlan, apply_resume, cut_metrics, identity_differences, plan_resume
from grail_framework.testing.point_env import PointEnv

if TYPE_CHECKING:
    from pathlib import Path

CFG = RunCfg(
    task="point",
    action=ActionCfg(func="none"),
    observations={},
    rewards={},
    terminations={},
    algorithm=PpoCfg(num_steps_per_env=6, learning_rate=1e-3, max_learning_rate=1e-2),
    checkpoints=CheckpointCfg(last_frequency=2, save_frequency=2),
)
IDENTITY = RunIdentity(plugins=[{"name": "hoi", "version": "0.1.0", "target": "t"}], config_digest="abc")


def run(
    path: Path, iterations: int, *, checkpoint: str | None = None, resume: bool = False, seed: int = 5, width: int = 8
) -> Any:
    """Do what `grail run` does, with the point environment."""
    seed_everything(seed)
    directory = open_run_directory(path, resume=resume)
    network = mlp(2, 3, 1, actor_hidden_dims=(width,), critic_hidden_dims=(width,), normalize_actor=True, normalize_critic=True)
    runner = OnPolicyRunner(PointEnv(8), CFG, network, Accelerator(cpu=True))
    plan = plan_resume(checkpoint=checkpoint, resume=resume, run_directory=path)
    apply_resume(plan, runner, identity=IDENTITY, directory=directory)
    runner.checkpointer = CheckpointWriter(directory, CFG.checkpoints, IDENTITY)
    context = WriterContext(directory=path, run_name=path.name, project="p", logging=LoggingCfg(), total_iterations=iterations)
    runner.writer = JsonlWriter(context)
    started_at = runner.iteration
    runner.learn(iterations)
    runner.writer.close()
    return runner, started_at


def flat(tree: Any, place: str = "") -> dict[str, Any]:
    if isinstance(tree, dict):
        return {name: leaf for key, value in tree.items() for name, leaf in flat(value, f"{place}.{key}").items()}
    if isinstance(tree, list | tuple):
        return {name: leaf for index, value in enumerate(tree) for name, leaf in flat(value, f"{place}[{index}]").items()}
    return {place: tree}


def assert_same(first: Any, second: Any) -> None:
    first, second = flat(first), flat(second)
    assert first.keys() == second.keys()
    for name, value in first.items():
        same = torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        assert same, name


def lines(directory: Path) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if k != "time" and (not k.startswith("perf/") or k == "perf/samples")} for line in read
    ]


def test_resumed_training_is_bitwise_that_of_one_go(tmp_path: Path):
    run(tmp_path / "whole", 8)
    run(tmp_path / "parts", 4)
    _, started_at = run(tmp_path / "parts", 8, resume=True, seed=99)
    assert started_at == 4
    assert_same(read_checkpoint(tmp_path / "whole/last.pt"), read_checkpoint(tmp_path / "parts/last.pt"))
    assert lines(tmp_path / "whole") == lines(tmp_path / "parts")
    assert len(lines(tmp_path / "whole")) == 8


def test_resuming_an_older_checkpoint_repeats_what_followed_it(tmp_path: Path):
    run(tmp_path / "run", 8)
    before, last = lines(tmp_path / "run"), read_checkpoint(tmp_path / "run/last.pt")
    _, started_at = run(tmp_path / "run", 8, resume=True, checkpoint=str(tmp_path / "run/model_step_000002.pt"))
    assert started_at == 2
    assert lines(tmp_path / "run") == before
    assert_same(read_checkpoint(tmp_path / "run/last.pt"), last)


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path):
    run(tmp_path / "run", 4)
    runner, started_at = run(tmp_path / "run", 4, resume=True)
    assert started_at == runner.iteration == 4
    assert len(lines(tmp_path / "run")) == 4


def test_checkpoint_alone_gives_weights_and_nothing_else(tmp_path: Path):
    run(tmp_path / "old", 4)
    old = read_checkpoint(tmp_path / "old/last.pt")
    runner, started_at = run(tmp_path / "new", 2, checkpoint=str(tmp_path / "old"))
    assert started_at == 0
    first = read_checkpoint(tmp_path / "new/model_step_000000.pt")
    assert_same(first["model"], old["model"])
    assert first["optimizer"]["state"] == {}
    assert first["learning_rate"].item() == pytest.approx(CFG.algorithm.learning_rate)
    assert runner.iteration == 2


def test_warm_resume_gives_weights_optimiser_and_rate_with_counters_at_zero(tmp_path: Path):
    run(tmp_path / "old", 4)
    old = read_checkpoint(tmp_path / "old/last.pt")
    _, started_at = run(tmp_path / "new", 2, checkpoint=str(tmp_path / "old/last.pt"), resume=True)
    assert started_at == 0
    first = read_checkpoint(tmp_path / "new/model_step_000000.pt")
    for key in ("model", "optimizer", "learning_rate"):
        assert_same(first[key], old[key])
    assert first["iteration"] == 0


def test_plans(tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (here / "last.pt").touch()

    def mode(checkpoint: str | None, resume: bool) -> str:
        return plan_resume(checkpoint=checkpoint, resume=resume, run_directory=here).mode

    assert mode(None, False) == "fresh"
    assert mode(str(there / "last.pt"), False) == "weights"
    assert mode(str(here / "last.pt"), False) == "weights"
    assert mode(str(there), True) == "warm"
    assert mode(str(here), True) == "full"
    assert mode(None, True) == "full"
    assert plan_resume(checkpoint=str(there), resume=True, run_directory=here).checkpoint == there / "last.pt"


def test_the_same_directory_by_another_name_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    for checkpoint in ("run/model_step_000002.pt", "alias/model_step_000002.pt", "./run/../run"):
        plan = plan_resume(checkpoint=checkpoint, resume=True, run_directory=tmp_path / "alias")
        assert plan.mode == "full"


def test_resume_of_a_directory_without_checkpoint_is_an_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"last\.pt does not exist; name the run directory"):
        plan_resume(checkpoint=None, resume=True, run_directory=tmp_path)


def test_another_network_is_refused_with_both_shapes(tmp_path: Path):
    run(tmp_path / "old", 1)
    with pytest.raises(
        CheckpointError, match=r"actor_module\.module\.0\.weight: \(8, 2\) in the checkpoint, \(16, 2\) in this run"
    ):
        run(tmp_path / "new", 1, checkpoint=str(tmp_path / "old"), width=16)


def test_a_checkpoint_of_weights_alone_cannot_be_resumed(tmp_path: Path):
    plan = ResumePlan(mode="warm", checkpoint=tmp_path / "x.pt")
    torch.save({"format": "grail_framework_checkpoint", "format_version": 1, "model": {}}, tmp_path / "x.pt")
    runner = OnPolicyRunner(PointEnv(8), CFG, mlp(2, 3, 1), Accelerator(cpu=True))
    with pytest.raises(CheckpointError, match="holds no optimizer, learning_rate"):
        apply_resume(plan, runner, identity=IDENTITY, directory=RunDirectory(tmp_path))


def test_metrics_are_cut_to_the_checkpoint_and_torn_lines_go(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    whole = [json.dumps({"iteration": i}) + "\n" for i in range(1, 6)]
    path.write_text("".join(whole) + '{"iteration": 2, "x"')
    cut_metrics(path, 3)
    assert path.read_text() == "".join(whole[:3])
    cut_metrics(tmp_path / "missing.jsonl", 3)
    assert not (tmp_path / "missing.jsonl").exists()


def test_other_plugins_and_settings_are_named():
    state = {
        "plugins": [{"name": "hoi", "version": "0.0.9", "target": "t"}, {"name": "old", "dist": "grail-old", "version": "1"}],
        "config_digest": "xyz",
    }
    assert identity_differences(state, IDENTITY) == [
        "plugin 'old' (grail-old 1) is missing; install it, or see `grail plugins list` if it is installed",
        "plugin 'hoi': version was '0.0.9', is '0.1.0'",
        "the configuration is not the one the checkpoint was trained with",
    ]
    assert identity_differences({"plugins": IDENTITY.plugins, "config_digest": "abc"}, IDENTITY) == []
