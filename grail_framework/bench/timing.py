"""Timing of blocks of work: the host waits for the device before and after a block, never inside."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Callable


_SYNC_WARNING: Final = "synchronizing CUDA operation"


def wait_for(device: torch.device) -> None:
    """Wait until a device has done all that was asked of it; on a CPU it has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time a block of work, from an idle device to an idle device. [s]"""
    wait_for(device)
    began = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - began


def alternating(
    first: Callable[[], object], second: Callable[[], object], device: torch.device, repeats: int
) -> tuple[list[float], list[float]]:
    """Time two blocks in turns, after one of each to warm up; the order changes every time. [s]"""
    times: tuple[list[float], list[float]] = ([], [])
    first()
    second()
    for repeat in range(repeats):
        for which in (0, 1) if repeat % 2 else (1, 0):
            times[which].append(seconds((first, second)[which], device))
    return times


def captured(work: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """Return the work as a CUDA graph: what is left is the device's own time. On a CPU, the work itself."""
    if device.type != "cuda":
        return work
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def count_waits(work: Callable[[], object]) -> int:
    """Count the operations of torch in which the host waits for the GPU; what other libraries do is not seen."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum(_SYNC_WARNING in str(warning.message) for warning in caught)
