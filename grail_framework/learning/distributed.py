"""Accelerate's part: building the accelerator, and the few collectives learning needs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

if TYPE_CHECKING:
    from collections.abc import Callable


def make_accelerator(*, cpu: bool, mixed_precision: str = "no", timeout_s: float = 6000.0) -> Accelerator:
    """Build the accelerator of this process; launched by `accelerate launch` it joins the process group.

    `cpu` keeps learning on the CPU although a GPU is there.
    """
    # Normalisers are merged exactly by us, so no buffer has to be broadcast in every forward pass.
    ddp = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=False, gradient_as_bucket_view=True)
    group = InitProcessGroupKwargs(timeout=timedelta(seconds=timeout_s))
    return Accelerator(cpu=cpu, mixed_precision=mixed_precision, kwargs_handlers=[ddp, group])


def set_matrix_precision(device: torch.device, *, tf32: bool) -> None:
    """Choose how this process multiplies float32 matrices on a GPU; nothing changes where `device` is none."""
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if tf32 else "highest")


def sum_over_ranks(accelerator: Accelerator) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return the function that adds a tensor up over the ranks, or None in a run of one process."""
    if accelerator.num_processes == 1:
        return None
    return lambda tensor: cast("torch.Tensor", accelerator.reduce(tensor, reduction="sum"))


def gather_on_main(accelerator: Accelerator, value: Any) -> list[Any]:
    """Collect each rank's `value` (plain values and CPU tensors) on the main process, in rank order; elsewhere the list is empty."""
    if accelerator.num_processes == 1:
        return [value]
    gathered: list[Any] | None = [None] * accelerator.num_processes if accelerator.is_main_process else None
    torch.distributed.gather_object(value, gathered, dst=0)
    return gathered or []


def to_cpu(tree: Any) -> Any:
    """Copy a tree of mappings, lists, tuples and tensors: mappings as plain dicts, tensors as compact copies on the CPU."""
    if isinstance(tree, torch.Tensor):
        # A view would drag its whole storage into the file.
        return tree.detach().to("cpu", copy=True).contiguous()
    if isinstance(tree, dict):
        return {key: to_cpu(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [to_cpu(value) for value in tree]
    if type(tree) is tuple:
        return tuple(to_cpu(value) for value in tree)
    return tree
