from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from accelerate import Accelerator
from point_run import CFG, IDENTITY, assert_same, lines, run

from grail_framework.errors import CheckpointError, ConfigError
from grail_framework.learning.networks import mlp
from grail_framework.learning.runner import OnPolicyRunner
from grail_framework.runs.directory import RunDirectory
from grail_framework.runs.formats import read_checkpoint
from grail_framework.runs.resume import ResumePlan, apply_resume, cut_metrics, identity_differences, plan_resume
from grail_framework.testing.point_env import PointEnv

if TYPE_CHECKING:
    from pathlib import Path


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
    def refusal() -> str:
        with pytest.raises(CheckpointError) as raised:
            plan_resume(checkpoint=None, resume=True, run_directory=tmp_path)
        return str(raised.value)

    assert refusal() == f"--resume: {tmp_path} holds no checkpoint, allowed: a *.pt file or a run directory with last.pt"
    (tmp_path / "config.yaml").touch()
    assert "its run ended before the first one: remove the folder and start again without --resume" in refusal()
    (tmp_path / "model_step_000050.pt").touch()
    assert f"It holds model_step_000050.pt: write --checkpoint {tmp_path / 'model_step_000050.pt'}" in refusal()


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


WHOLE = [json.dumps({"iteration": i}) + "\n" for i in range(1, 6)]


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("".join(WHOLE) + '{"iteration": 2, "x"', "".join(WHOLE[:3])),
        ("".join(WHOLE[:3]) + WHOLE[3][:-1], "".join(WHOLE[:3])),
        ("".join(WHOLE[:2]), "".join(WHOLE[:2])),
        ("".join(WHOLE[:2]) + "\0" * 40, "".join(WHOLE[:2])),
        ("[1]\n" + WHOLE[0] + "\n", WHOLE[0]),
        ("", ""),
    ],
    ids=["torn line", "no end of line", "nothing to cut", "zeros of a power cut", "foreign lines", "empty"],
)
def test_metrics_are_cut_to_the_checkpoint(tmp_path: Path, content: str, left: str):
    path = tmp_path / "metrics.jsonl"
    path.write_text(content)
    cut_metrics(path, 3)
    assert path.read_text() == left
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_without_metrics_there_is_nothing_to_cut(tmp_path: Path):
    cut_metrics(tmp_path / "metrics.jsonl", 3)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_metrics_that_cannot_be_cut_stop_the_resume(tmp_path: Path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(ConfigError, match=r"metrics\.jsonl cannot be cut to iteration 3 \(Is a directory\); make it writable"):
        cut_metrics(tmp_path / "metrics.jsonl", 3)


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
