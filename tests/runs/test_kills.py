"""Processes that are killed, for real, and what the next one finds."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import deaths
import pytest
import yaml
from point_run import IDENTITY, assert_same, lines, run, start

from grail_framework.config import CheckpointCfg
from grail_framework.errors import CheckpointError
from grail_framework.runs.checkpoint import CheckpointWriter
from grail_framework.runs.directory import RunDirectory, list_checkpoints, step_of
from grail_framework.runs.formats import read_checkpoint
from grail_framework.runs.resume import cut_metrics, plan_resume

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVERY = CheckpointCfg(last_frequency=1, save_frequency=1)
FEW = CheckpointCfg(last_frequency=1, save_frequency=100)


def killed(target: Callable[..., None], *arguments: Any, by: signal.Signals = signal.SIGKILL) -> None:
    """Run something in a process of its own that does not survive it."""
    process = start(target, *arguments)
    process.join(300)
    assert process.exitcode == -by


def operations(target: Callable[..., None], record: Path, *arguments: Any) -> list[str]:
    """Return what something does with files."""
    process = start(target, None, record, *arguments)
    process.join(300)
    assert process.exitcode == 0
    return json.loads(record.read_text())


def names(path: Path) -> list[str]:
    """List a run directory without its event files, of which each process writes one."""
    return sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("events."))


def check_whole(path: Path, *, iterations: tuple[int, ...]) -> None:
    """Demand that every file a reader may open is whole, and that `last.pt` is of one of these iterations."""
    for _, checkpoint in list_checkpoints(path):
        read_checkpoint(checkpoint)
    for name in ("config.yaml", "meta.yaml"):
        assert not (path / name).exists() or yaml.safe_load((path / name).read_text())
    if iterations:
        assert read_checkpoint(path / "last.pt")["iteration"] in iterations


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    """A directory with the checkpoints 0 to 4, of which a save with other settings removes three."""
    path = tmp_path / "steps"
    path.mkdir()
    writer = CheckpointWriter(RunDirectory(path), EVERY, IDENTITY)
    for iteration in range(5):
        writer.save(deaths.small_state(iteration))
    return path


def save_again(path: Path) -> list[str]:
    CheckpointWriter(RunDirectory(path), FEW, IDENTITY).save(deaths.small_state(6))
    return names(path)


def test_a_kill_before_any_operation_of_a_save_leaves_whole_checkpoints(tmp_path: Path, steps: Path):
    made = operations(deaths.save_until, tmp_path / "record", shutil.copytree(steps, tmp_path / "rehearsal", symlinks=True), 5)
    assert {"write", "fsync", "replace", "symlink"} <= set(made)
    assert made.count("unlink") >= 4  # three checkpoints and a stale link
    for at in range(1, len(made) + 1):
        path = shutil.copytree(steps, tmp_path / f"{at}", symlinks=True)
        killed(deaths.save_until, at, tmp_path / "record", path, 5)
        check_whole(path, iterations=(4, 5))
        assert save_again(path) == ["last.pt", "model_step_000000.pt", "model_step_000006.pt"]


@pytest.mark.parametrize("share", ["none", "one", "half", "all but one"])
def test_a_kill_between_the_bytes_of_a_checkpoint(tmp_path: Path, steps: Path, share: str):
    size = (steps / "model_step_000004.pt").stat().st_size
    limit = {"none": 0, "one": 1, "half": size // 2, "all but one": size - 1}[share]
    killed(deaths.save_until_byte, steps, 5, limit, by=signal.SIGXFSZ)
    (partial,) = steps.glob(".partial-*")
    assert partial.stat().st_size == limit
    check_whole(steps, iterations=(4,))
    assert len(list_checkpoints(steps)) == 5
    assert save_again(steps) == ["last.pt", "model_step_000000.pt", "model_step_000006.pt"]


@pytest.mark.parametrize("limit", [0, 1, 20])
def test_a_kill_between_the_bytes_of_a_line(tmp_path: Path, limit: int):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"iteration": 1}\n')
    killed(deaths.report_until_byte, tmp_path, 2, limit, by=signal.SIGXFSZ)
    assert path.stat().st_size == 17 + limit
    cut_metrics(path, 1)
    assert path.read_text() == '{"iteration": 1}\n'


@pytest.mark.slow
@pytest.mark.parametrize("done", [0, 3])
def test_a_kill_before_any_operation_of_a_run_is_made_good_by_the_next(tmp_path: Path, done: int):
    """From an empty place, or from three iterations with checkpoints to be removed; the next process makes one iteration more."""
    before, goal = tmp_path / "before", tmp_path / "goal"
    if done:
        run(before, done, checkpoints=EVERY)
        shutil.copytree(before, goal, symlinks=True)
    made = operations(deaths.train_until, tmp_path / "record", goal, done + 1, FEW)
    run(goal, done + 2, resume=True, checkpoints=FEW)
    for at in range(1, len(made) + 1):
        path = tmp_path / "killed"
        if done:
            shutil.copytree(before, path, symlinks=True)
        killed(deaths.train_until, at, tmp_path / "record", path, done + 1, FEW)
        resumable = (path / "last.pt").exists()
        if path.exists():
            check_whole(path, iterations=(done, done + 1) if resumable else ())
        if not resumable:
            assert not done, f"before operation {at}, {made[at - 1]}"
            with pytest.raises(CheckpointError, match=r"^--resume: [^\n]*$"):
                plan_resume(checkpoint=None, resume=True, run_directory=path)
            shutil.rmtree(path, ignore_errors=True)
        run(path, done + 2, resume=resumable, checkpoints=FEW)
        assert names(path) == names(goal)
        assert_same(read_checkpoint(path / "last.pt"), read_checkpoint(goal / "last.pt"))
        assert lines(path) == lines(goal)
        shutil.rmtree(path)


KILLS, ITERATIONS = 20, 80


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(tmp_path: Path):
    whole, path = tmp_path / "whole", tmp_path / "killed"
    checkpoints = CheckpointCfg(last_frequency=2, save_frequency=20)
    run(whole, ITERATIONS, checkpoints=checkpoints)
    draw = random.Random(7)
    resumed_from = []
    for kill in range(KILLS):
        process = start(deaths.train, path, ITERATIONS, checkpoints)
        if kill % 5:
            wait_for_iteration(path, int(0.75 * ITERATIONS * (kill + draw.random()) / KILLS))
            time.sleep(draw.uniform(0.0, 0.05))  # an iteration, with its save, takes some hundredths of a second
        else:
            time.sleep(draw.uniform(0.0, 0.15))  # while it starts or resumes
        assert process.is_alive()
        process.kill()
        process.join(300)
        assert process.exitcode == -signal.SIGKILL
        step = step_of(path / "last.pt")
        if step is None:  # before the first checkpoint
            shutil.rmtree(path, ignore_errors=True)
        else:
            check_whole(path, iterations=(step,))
        resumed_from.append(step)
    assert len(set(resumed_from)) >= KILLS / 2  # they were spread over the run
    process = start(deaths.train, path, ITERATIONS, checkpoints)
    process.join(300)
    assert process.exitcode == 0
    assert_same(read_checkpoint(path / "last.pt"), read_checkpoint(whole / "last.pt"))
    assert lines(path) == lines(whole)
    assert names(path) == names(whole)


def wait_for_iteration(path: Path, iteration: int) -> None:
    """Wait until a run has reported an iteration."""
    metrics = path / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while iteration and not (metrics.exists() and metrics.read_bytes().count(b"\n") >= iteration):
        assert time.monotonic() < deadline
        time.sleep(0.002)
