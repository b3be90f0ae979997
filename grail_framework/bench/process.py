"""Processes that are timed: from their start to their end, or to the lines they write."""

from __future__ import annotations

import re
import subprocess
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import attrs

from grail_framework.errors import GrailError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FIRST_PHASE: Final = "command line, plugins, checks"
"""What a run does before it tells its first stage."""
_STAGE: Final = re.compile(r"\[\s*[\d.]+ s\] (.+)")
_FIRST_ITERATION: Final = re.compile(r"iteration 1/\d")
_KEPT: Final = 20
"""Lines of a failed process that are shown."""


@attrs.frozen(kw_only=True)
class Phases:
    """How long a run took to its first iteration, in the order of its phases."""

    seconds: dict[str, float]

    @property
    def total(self) -> float:
        """All of it. [s]"""
        return sum(self.seconds.values())


def wall(command: Sequence[str], environ: Mapping[str, str]) -> float:
    """Time a process from its start to its end. [s]

    Raises:
        GrailError: it failed.
    """
    began = time.perf_counter()
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode != 0:
        raise _failed(command, done.returncode, done.stdout.splitlines()[-_KEPT:])
    return took


def follow(command: Sequence[str], environ: Mapping[str, str]) -> Phases:
    """Start a training run and time what it tells on its way to the first finished iteration.

    Raises:
        GrailError: it failed, or ended without an iteration.
    """
    began = time.perf_counter()
    last: deque[str] = deque(maxlen=_KEPT)
    marks: list[tuple[str, float]] = [(FIRST_PHASE, began)]
    reached: float | None = None
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            now = time.perf_counter()
            last.append(line.rstrip())
            if reached is None and _FIRST_ITERATION.match(line):
                reached = now
            elif reached is None and (stage := _STAGE.match(line)):
                marks.append((stage[1].strip(), now))
    if process.returncode != 0:
        raise _failed(command, process.returncode, last)
    if reached is None:
        raise GrailError(f"no iteration was finished by: {' '.join(command)}")
    return Phases(seconds=_durations(marks, reached))


def _durations(marks: Sequence[tuple[str, float]], end: float) -> dict[str, float]:
    """Return how long each phase lasted; one that is told twice counts together."""
    found: dict[str, float] = {}
    ends = [began for _, began in marks[1:]] + [end]
    for (name, began), ended in zip(marks, ends, strict=True):
        found[name] = found.get(name, 0.0) + ended - began
    return found


def _failed(command: Sequence[str], code: int, lines: Iterable[str]) -> GrailError:
    return GrailError("\n".join([f"exit code {code} of: {' '.join(command)}", *lines]))
