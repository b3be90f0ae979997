"""Runs whose disk refuses everything for some iterations: targets for `point_run.start`."""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import point_run
import torch

from grail_framework.config import CheckpointCfg
from grail_framework.runs.formats import read_checkpoint

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

CHECKPOINTS = CheckpointCfg(last_frequency=1, save_frequency=100)


class FullDisk:
    """No file may get another byte: the kernel refuses the write. Python has SIGXFSZ ignored."""

    def begin(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def end(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class ReadOnlyDisk:
    """What a file system answers that was mounted read-only after an error: nothing below a folder is opened, written or moved."""

    CHANGES = ("os.rename", "os.remove", "os.symlink", "os.mkdir", "os.truncate")

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._active = False
        self._write, os.write = os.write, self._refuse_write
        sys.addaudithook(self._refuse_change)

    def begin(self) -> None:
        self._active = True

    def end(self) -> None:
        self._active = False

    def _refuse_change(self, event: str, arguments: tuple[Any, ...]) -> None:
        writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if self._active and (writing or event in self.CHANGES):
            inside = [str(path) for path in arguments[:2] if isinstance(path, str | Path) and self._folder in str(path)]
            if inside:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), inside[0])

    def _refuse_write(self, descriptor: int, content: bytes) -> int:
        if self._active and self._folder in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return self._write(descriptor, content)


class Trouble:
    """Begins after an iteration and ends after another; in between it looks what a resume would find."""

    def __init__(self, disk: Any, path: Path, begin: int, end: int) -> None:
        self.disk, self.path, self.begin, self.end = disk, path, begin, end
        self.found: list[int] = []

    def on_iteration(self, iteration: int, _metrics: Any) -> None:
        if iteration == self.begin:
            self.disk.begin()
        elif iteration == self.end:
            self.disk.end()
        elif self.begin < iteration < self.end:
            self.found.append(read_checkpoint(self.path / "last.pt")["iteration"])

    def on_checkpoint(self, path: Path) -> None:
        read_checkpoint(path)


def train(kind: str, stderr: Connection, path: Path, begin: int, end: int, iterations: int) -> None:
    """Train with trouble from one iteration to another; what was found goes to a file beside the run."""
    torch.set_num_threads(1)
    os.dup2(stderr.fileno(), sys.stderr.fileno())
    disk = FullDisk() if kind == "full" else ReadOnlyDisk(path)
    trouble = Trouble(disk, path, begin, end)
    try:
        point_run.run(path, iterations, checkpoints=CHECKPOINTS, tensorboard=True, observers=[trouble])
    finally:
        disk.end()
    path.with_name("found").write_text(json.dumps(trouble.found))
