"""Disks that fill up or become read-only under a run: it goes on, says so once, and loses nothing once they are well again."""

from __future__ import annotations

import json
import os
import re
from multiprocessing import Pipe
from typing import TYPE_CHECKING

import pytest
import troubles
from point_run import assert_same, lines, run, start

from grail_framework.errors import ConfigError
from grail_framework.runs.directory import RunDirectory, open_run_directory, save_config, save_meta
from grail_framework.runs.formats import read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

REASON = {"full": "File too large", "read-only": "Read-only file system"}
ITERATIONS = 8


def in_trouble(kind: str, path: Path, begin: int, end: int) -> list[str]:
    """Train with trouble; return the lines on stderr."""
    reader, writer = Pipe(duplex=False)
    process = start(troubles.train, kind, writer, path, begin, end, ITERATIONS)
    writer.close()
    with open(os.dup(reader.fileno()), encoding="utf-8") as stream:
        told = stream.read()
    process.join(300)
    reader.close()
    assert process.exitcode == 0, told
    assert "Traceback" not in told
    return told.splitlines()


@pytest.mark.parametrize("kind", REASON)
def test_a_run_survives_a_disk_that_refuses_for_some_iterations(tmp_path: Path, kind: str):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path, whole = tmp_path / "run", tmp_path / "whole"
    told = in_trouble(kind, path, begin=2, end=5)
    run(whole, ITERATIONS, checkpoints=troubles.CHECKPOINTS)

    assert json.loads((tmp_path / "found").read_text()) == [1, 1]  # after iterations 3 and 4: the newest whole one
    assert_same(read_checkpoint(path / "last.pt"), read_checkpoint(whole / "last.pt"))
    assert lines(path) == lines(whole)  # those of the trouble too
    events = event_accumulator.EventAccumulator(str(path)).Reload().Scalars("train/mean_reward")
    assert [event.step for event in events] == list(range(1, ITERATIONS + 1))
    left = {entry.name for entry in path.iterdir() if not entry.name.startswith("events.")}
    assert left == {entry.name for entry in whole.iterdir()}

    shown = [
        r"error: CHECKPOINT NOT WRITTEN: iteration 2, .*REASON.*model_step_000001\.pt is still whole.*in 1 iterations",
        r"error: run\.log cannot be written \(.*REASON.*\); training goes on, its lines wait for the disk",
        r"error: writer 'jsonl' failed \(OSError: .*REASON.*metrics\.jsonl'\); training goes on, .*",
        r"error: writer 'tensorboard' failed \(OSError: .*REASON.*events\..*\); training goes on, .*",
        r"error: CHECKPOINT NOT WRITTEN: iteration 3, .*",
        r"error: CHECKPOINT NOT WRITTEN: iteration 4, .*",
        r"warning: checkpoints are written again: .*model_step_000005\.pt",
        r"warning: run\.log is written again",
        r"warning: writer 'jsonl' works again",
        r"warning: writer 'tensorboard' works again",
    ]
    for pattern in shown:
        assert sum(re.fullmatch(pattern.replace("REASON", re.escape(REASON[kind])), line) is not None for line in told) == 1
    assert len(told) == len(shown)
    log = (path / "run.log").read_text()
    for iteration in (2, 3, 4):
        assert log.count(f"CHECKPOINT NOT WRITTEN: iteration {iteration}, ") == 1  # in the end there too


def test_trouble_that_lasts_to_the_end_is_told_with_what_is_lost(tmp_path: Path):
    path = tmp_path / "run"
    told = in_trouble("full", path, begin=4, end=ITERATIONS + 1)
    assert [line["iteration"] for line in lines(path)] == [1, 2, 3, 4]
    assert read_checkpoint(path / "last.pt")["iteration"] == 3
    ending = [line for line in told if "not closed in order" in line or "not complete" in line]
    assert [re.findall(r"'jsonl'|'tensorboard'|run\.log|\d+ records are lost", line) for line in ending] == [
        ["'jsonl'", "4 records are lost"],
        ["'tensorboard'", "4 records are lost"],
        ["run.log", "9 records are lost", "run.log"],
    ]
    run(path, ITERATIONS, resume=True, checkpoints=troubles.CHECKPOINTS)  # what is lost is made again
    assert [line["iteration"] for line in lines(path)] == list(range(1, ITERATIONS + 1))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no device that is always full")
@pytest.mark.parametrize("name", ["metrics.jsonl", "run.log"])
def test_a_file_on_a_device_that_is_full(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str):
    (tmp_path / name).symlink_to("/dev/full")
    run(tmp_path, 3)
    assert read_checkpoint(tmp_path / "last.pt")["iteration"] == 3
    assert "Traceback" not in capfd.readouterr().err


def test_a_directory_that_takes_no_byte_stops_the_start(tmp_path: Path, files_up_to):
    refused = r"run cannot be written \(File too large\); make room or make it writable, or choose"
    with files_up_to(0), pytest.raises(ConfigError, match=refused):
        open_run_directory(tmp_path / "run", resume=False)
    assert list((tmp_path / "run").iterdir()) == []


def test_a_directory_without_links_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # what FAT answers

    monkeypatch.setattr(os, "symlink", refuse)
    with pytest.raises(ConfigError, match=r"cannot be written \(Operation not permitted\)"):
        open_run_directory(tmp_path, resume=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("save", "name"), [(save_config, "config.yaml"), (save_meta, "meta.yaml")])
def test_a_manifest_that_cannot_be_written_stops_the_start(tmp_path: Path, files_up_to, save, name: str):
    save(RunDirectory(tmp_path), {"task": "old"})
    with files_up_to(0), pytest.raises(ConfigError, match=rf"{name} cannot be written \(File too large\)"):
        save(RunDirectory(tmp_path), {"task": "new"})
    assert (tmp_path / name).read_text() == "task: old\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_log_that_cannot_be_opened_stops_the_start(tmp_path: Path):
    (tmp_path / "run.log").mkdir()
    with pytest.raises(ConfigError, match=r"run\.log cannot be written \(Is a directory\)"):
        run(tmp_path, 1)
