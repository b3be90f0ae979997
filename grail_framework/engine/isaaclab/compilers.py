"""Child processes that run Warp's compilers, side by side.

Threads would not do: the first half of NVRTC's work, reading the source, is under one lock per process.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from grail_framework.errors import GrailError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PROGRAM: Final = ("-m", "grail_framework.engine.isaaclab.kernel_process")
_MOST: Final = 16
"""Processes; each holds about 0.3 GB while it compiles."""


class CompilerError(GrailError):
    """A child process did not compile a file."""


class Compilers:
    """Starts a child when a job finds none idle, up to a number of them; each does one job at a time."""

    def __init__(self, count: int) -> None:
        self._idle: queue.LifoQueue[subprocess.Popen[bytes] | None] = queue.LifoQueue()
        for _ in range(count):
            self._idle.put(None)
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[bytes]] = set()
        self.closed = False

    def run(self, function: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> float:
        """Run a function of Warp's build module in a child; called by many threads. Return how long it took there. [s]

        Raises:
            CompilerError: it failed there, the child died, or the children were told to end.
        """
        child = self._idle.get()
        began = time.perf_counter()
        try:
            child = child or self._start()
            trouble = _ask(child, (function, arguments, options))
        except (OSError, EOFError, pickle.PickleError) as error:
            if child is not None:
                self._end(child)
            child = None
            raise CompilerError(f"a compiler process ended ({type(error).__name__}: {error})") from error
        finally:
            self._idle.put(child)
        if trouble is not None:
            raise CompilerError(trouble)
        return time.perf_counter() - began

    def close(self) -> None:
        """End the children, busy ones too."""
        with self._lock:
            self.closed = True
            children = list(self._children)
        for child in children:
            self._end(child)

    def _start(self) -> subprocess.Popen[bytes]:
        # A compiler needs no GPU, and should hold no memory of one.
        environ = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        with self._lock:
            if self.closed:
                raise OSError("no more kernels are compiled")
            child = subprocess.Popen(
                [sys.executable, *_PROGRAM],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._children.add(child)
        return child

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._children.discard(child)
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what was written last is still in the buffer of a pipe nobody reads
                    continue


def _ask(child: subprocess.Popen[bytes], job: tuple[str, Sequence[Any], Mapping[str, Any]]) -> str | None:
    assert child.stdin is not None
    assert child.stdout is not None
    pickle.dump(job, child.stdin)
    child.stdin.flush()
    return pickle.load(child.stdout)


def how_many() -> int:
    """Return how many compilers this process may run: its cores, shared with the other processes of a training on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MOST, cores // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))))
