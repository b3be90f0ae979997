"""Processes that are killed at a chosen place of their work with files: targets for `point_run.start`."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import point_run
import torch

from grail_framework.config import CheckpointCfg, LoggingCfg
from grail_framework.logging.jsonl import JsonlWriter
from grail_framework.logging.writer import WriterContext
from grail_framework.runs.checkpoint import CheckpointWriter
from grail_framework.runs.directory import RunDirectory

READING = {"read", "readinto", "readline", "seek", "tell", "stat", "lstat", "fstat", "access", "scandir", "readlink", "getcwd"}
READING |= {"fspath", "getpid", "text_encoding", "_path_normpath"}
"""Calls that change nothing; every other one of `os` and of files counts, also those that the code makes tomorrow."""
HELPERS = frozenset({"contextlib.py", "os.py", "pathlib.py", "shutil.py", "tempfile.py"})
"""Between the framework and its calls; what others do with files, importing above all, is not the framework's."""


def is_operation(frame: Any, function: Any) -> bool:
    """Tell whether a call is the framework's and changes files."""
    owner = getattr(function, "__self__", None)
    of_files = isinstance(owner, io.IOBase) and not isinstance(owner, io.BytesIO | io.StringIO)
    if function.__name__ in READING or not (of_files or getattr(function, "__module__", None) in ("posix", "io", "_io")):
        return False
    while Path(frame.f_code.co_filename).name in HELPERS and frame.f_back is not None:
        frame = frame.f_back
    return "grail_framework" in frame.f_globals["__name__"]


class Death:
    """Counts the framework's operations on files; before the `at`-th, counted from 1, the process is gone."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.operations: list[str] = []

    def __enter__(self) -> Death:
        sys.setprofile(self._watch)
        return self

    def __exit__(self, *_error: object) -> None:
        sys.setprofile(None)

    def _watch(self, frame: Any, event: str, function: Any) -> None:
        if event == "c_call" and is_operation(frame, function):
            self.operations.append(function.__name__)
            if len(self.operations) == self.at:
                os.kill(os.getpid(), signal.SIGKILL)


def train(path: Path, iterations: int, checkpoints: CheckpointCfg) -> None:
    """Run, or go on where there is a checkpoint."""
    torch.set_num_threads(1)
    point_run.run(path, iterations, resume=(path / "last.pt").exists(), checkpoints=checkpoints, tensorboard=True)


def train_until(at: int | None, record: Path, path: Path, iterations: int, checkpoints: CheckpointCfg) -> None:
    """Train until death, or `record` the operations."""
    with Death(at) as death:
        train(path, iterations, checkpoints)
    record.write_text(json.dumps(death.operations))


def save_until(at: int | None, record: Path, path: Path, iteration: int) -> None:
    """Save a small checkpoint until death, or `record` the operations."""
    writer = CheckpointWriter(RunDirectory(path), CheckpointCfg(save_frequency=100), point_run.IDENTITY)
    with Death(at) as death:
        writer.save(small_state(iteration))
    record.write_text(json.dumps(death.operations))


def small_state(iteration: int) -> dict[str, Any]:
    return {"iteration": iteration, "model": {"weight": torch.full((50_000,), float(iteration))}}


def save_until_byte(path: Path, iteration: int, limit: int) -> None:
    """Save a small checkpoint; die after `limit` bytes of it."""
    writer = CheckpointWriter(RunDirectory(path), CheckpointCfg(save_frequency=100), point_run.IDENTITY)
    _die_at_byte(limit)
    writer.save(small_state(iteration))


def report_until_byte(path: Path, iteration: int, limit: int) -> None:
    """Write a line of metrics; die after `limit` bytes of it."""
    context = WriterContext(directory=path, run_name="x", project="p", logging=LoggingCfg(), total_iterations=1)
    writer = JsonlWriter(context)
    _die_at_byte((path / "metrics.jsonl").stat().st_size + limit)
    writer.write(iteration, {"name": 1.0})


def _die_at_byte(limit: int) -> None:
    """Let the kernel kill this process once a file has `limit` bytes and is to get another one."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
