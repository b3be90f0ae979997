"""Work that is launched again and again in the same way, recorded once into a CUDA graph."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import torch

from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accelerate import Accelerator

    from grail_framework.config import PpoCfg

WARM_UP: Final = 2
"""Calls before the one that records: kernels are loaded, workspaces and optimiser state allocated."""


def captures_inference(cfg: PpoCfg, device: torch.device) -> bool:
    """Whether acting is recorded: on a GPU, unless the configuration says no."""
    return cfg.cuda_graphs and device.type == "cuda"


def captures_learning(cfg: PpoCfg, accelerator: Accelerator) -> bool:
    """Whether the update is recorded: where acting is, by one process and without fp16.

    Several processes exchange gradients while they are computed, on streams of the data-parallel wrapper's own, and the loss scale
    of fp16 is decided on the host: both are launched as they are.
    """
    alone = accelerator.num_processes == 1 and accelerator.scaler is None
    return alone and captures_inference(cfg, accelerator.device)


class Replay:
    """Calls `function`, which takes and returns nothing: it reads and writes tensors that stay where they are.

    With `capture` the first `WARM_UP` calls run it as it is, the next one records what it launches, and from then on the record is
    replayed: nothing of the function's Python runs any more. Without, every call runs it. Either way each call does its work once.
    """

    def __init__(self, function: Callable[[], None], device: torch.device, *, capture: bool, what: str) -> None:
        self._function = function
        self._device = device
        self._capture = capture
        self._what = what
        self._calls = 0
        self._stream: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    @property
    def captured(self) -> bool:
        """Whether calls replay a record."""
        return self._graph is not None

    def __call__(self) -> None:
        """Do the work once.

        Raises:
            ConfigError: the function does what cannot be recorded, such as waiting for the GPU.
        """
        if not self._capture:
            self._function()
        elif self._calls < WARM_UP:
            self._calls += 1
            self._run_aside()
        else:
            if self._graph is None:
                self._graph = self._record()
            self._graph.replay()

    def _run_aside(self) -> None:
        """Run on the stream that will record, whose workspaces are then there."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self._function()
        current.wait_stream(self._stream)

    def _record(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads (loggers, data, the process group's watchdog) may go on calling CUDA. The outer context gives the stream back
            # where recording fails.
            with (
                torch.cuda.stream(self._stream),
                _no_garbage_collection(),
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                self._function()
        except RuntimeError as error:
            cause = error.__context__ or error  # a failed recording ends with a second error that says nothing
            raise ConfigError(
                f"{self._what} cannot be recorded into a CUDA graph ({str(cause).splitlines()[0]}); a network must not wait for the "
                "GPU (no .item(), no masks as indices, no prints of tensors) nor depend on values in Python; or set "
                "algorithm.cuda_graphs=false"
            ) from error
        return graph


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep finalisers of other objects, which may free memory of the GPU, out of a recording."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
