"""Timing without waiting: how long pieces of work take where they run."""

from __future__ import annotations

import time
from typing import Any

import torch


class Stopwatch:
    """Takes marks in the order of a device's work, without making the host wait: on a GPU by events in its queue."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._marks: list[Any] = []
        self._spare: list[torch.cuda.Event] = []

    def clear(self) -> None:
        """Forget all marks."""
        if self._cuda:
            self._spare += self._marks
        self._marks = []

    def mark(self) -> None:
        """Take a mark."""
        if self._cuda:
            event = self._spare.pop() if self._spare else torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def laps(self) -> list[float]:
        """Return the time between each two marks; on a GPU only once the host has waited for the last one. [s]"""
        pairs = zip(self._marks, self._marks[1:], strict=False)
        return [a.elapsed_time(b) * 1e-3 if self._cuda else b - a for a, b in pairs]

    def spans(self) -> float:
        """Add up the time from the first to the second mark, from the third to the fourth, and so on. [s]"""
        return sum(self.laps()[::2])
