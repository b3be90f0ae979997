"""Finding what in a step cannot be captured: where the host waits for the device or copies to it, and draws from foreign generators."""

from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from grail_framework.envs.terms import BoundTerm, TermCall

if TYPE_CHECKING:
    from collections.abc import Iterator

_READS: Final = {
    "_local_scalar_dense": "reads a number on the host (.item(), float(), an `if` on a tensor, a tensor as a plain index)",
    "nonzero": "counts on the host (.nonzero(), torch.where with one argument)",
    "masked_select": "counts on the host (masked_select)",
    "equal": "compares on the host (torch.equal)",
    "is_nonzero": "reads a number on the host (an `if` on a tensor)",
    "_unique": "counts on the host (unique)",
    "_unique2": "counts on the host (unique)",
    "unique_dim": "counts on the host (unique)",
    "unique_consecutive": "counts on the host (unique_consecutive)",
    "bincount": "counts on the host (bincount)",
    "_linalg_check_errors": "checks for errors on the host (torch.linalg; its _ex variants do not)",
    "_pin_memory": "allocates host memory (pin_memory)",
}
_INDEXING: Final = ("index", "index_put", "index_put_", "_index_put_impl_")
_SKIPPED: Final = (str(Path(torch.__file__).parent), str(Path(contextlib.__file__)), str(Path(warnings.__file__)), __file__)
STEP: Final = "the step"
"""Stands for the term's name where what is found is in none."""


@attrs.frozen
class Finding:
    """Something that cannot be captured."""

    owner: str
    """The term, as `reward 'name' (plugin:func)`."""
    what: str
    """What it does."""
    where: str
    """File and line."""

    def __str__(self) -> str:
        """Return it as a sentence."""
        return f"{self.owner}: {self.what}, at {self.where}"


@contextlib.contextmanager
def host_waits(device: torch.device, generator: torch.Generator) -> Iterator[list[Finding]]:
    """Watch what is done inside the context; the list is filled on the way. What is done is not changed by it.

    Args:
        device: where the step's tensors are; on `cpu` the same operations are found, though there they do no harm.
        generator: the one random generator, beside torch's own, that a capture knows.
    """
    watch = _Watch(device, generator)
    with watch, _synchronisations(watch):
        yield watch.findings


@contextlib.contextmanager
def may_wait() -> Iterator[None]:
    """Allow the host to wait for the device whatever torch's debug mode of synchronisations is."""
    if not torch.cuda.is_available():
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    _set_sync_mode("default")
    try:
        yield
    finally:
        _set_sync_mode(before)


def _set_sync_mode(mode: int | str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the mode is a prototype
        torch.cuda.set_sync_debug_mode(mode)


class _Watch(TorchDispatchMode):
    """Sees every operation."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Tell torch not to load its compiler, which takes seconds, just to keep it away from this class."""
        return False

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """See what compiled functions launch, and not how they are compiled."""
        return True

    def __init__(self, device: torch.device, generator: torch.Generator) -> None:
        super().__init__()
        self._device, self._generator = device, generator
        self.findings: list[Finding] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run an operation, and note it where it cannot be captured."""
        kwargs = kwargs or {}
        what = self._objection(func.overloadpacket.__name__, args, kwargs)
        if what:
            self.note(what)
        return func(*args, **kwargs)

    def note(self, what: str) -> None:
        """Add a finding about whoever is calling."""
        owner, where = _caller()
        if all((known.owner, known.where) != (owner, where) for known in self.findings):
            self.findings.append(Finding(owner, what, where))

    def _objection(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        first = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if self._foreign(kwargs.get("generator")):
            return "draws from a random generator of its own; use env.generator"
        if first is None:
            return None
        if name in ("copy_", "_to_copy"):
            return self._copy_objection(name, args, kwargs)
        if first.device.type != self._device.type:
            return None
        if name == "lift_fresh" and (first.ndim or first.device.type != "cpu"):
            return "makes a tensor of Python numbers (torch.tensor, torch.as_tensor); make it once, in a class or a cache"
        if name in _INDEXING and self._by_mask(name, args):
            return "indexes with a mask, which counts on the host; use torch.where or masked_fill"
        if name == "repeat_interleave" and kwargs.get("output_size") is None:
            return "counts on the host (repeat_interleave without output_size)"
        return _READS.get(name)

    def _foreign(self, generator: Any) -> bool:
        # Operations are handed a wrapper made anew around the same generator.
        known: Any = self._generator
        return generator is not None and generator._cdata != known._cdata

    @staticmethod
    def _by_mask(name: str, args: tuple[Any, ...]) -> bool:
        masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
        # One number written through a mask is a fill, and needs no count.
        fills = name.startswith("index_put") and args[2].numel() == 1 and args[2].device.type == "cpu"
        return bool(masks) and not fills

    @staticmethod
    def _copy_objection(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        here = args[0].device
        other = args[1].device if name == "copy_" else torch.device(kwargs.get("device") or here)
        number = name == "copy_" and args[1].ndim == 0 and other.type == "cpu"
        if here.type == other.type or number:
            return None
        return f"copies between {here.type} and {other.type}"


def _caller() -> tuple[str, str]:
    """Return the term that is being computed and the line outside of torch."""
    frame, owner, where = sys._getframe(2), STEP, ""
    while frame is not None:
        code = frame.f_code
        if not where and not code.co_filename.startswith(_SKIPPED):
            where = f"{code.co_filename}:{frame.f_lineno}"
        caller = frame.f_locals.get("self")
        if isinstance(caller, TermCall | BoundTerm):
            owner = f"{caller.kind} {caller.name!r} ({caller.func})"
            break
        frame = frame.f_back
    return owner, where


@contextlib.contextmanager
def _synchronisations(watch: _Watch) -> Iterator[None]:
    """Note synchronisations that torch itself reports, some of which are inside of operations; on a GPU."""
    if not torch.cuda.is_available():
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    _set_sync_mode("warn")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        show = warnings.showwarning

        def listen(message: Warning | str, *rest: Any, **more: Any) -> None:
            if "synchronizing CUDA operation" in str(message):
                watch.note("makes the host wait for the device")
            else:
                show(message, *rest, **more)

        warnings.showwarning = listen
        try:
            yield
        finally:
            _set_sync_mode(before)
