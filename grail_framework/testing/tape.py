"""A stand-in for CUDA graphs without a GPU: the operations of a function on a tape, played again on the same tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from collections.abc import Callable

_FORBIDDEN: Final = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim", "unique_consecutive")
_UNSET: Final = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")
"""Operations whose result is whatever was in memory."""


class TapeGraph:
    """What `envs.capture` asks of a graph: `TrackingEnv(..., capture=TapeGraph)` steps on a CPU as it would on a GPU.

    As in a CUDA graph, what is captured is not done, Python does not run in a replay, values of Python are those of the capture, tensors
    are where they were, random numbers are drawn anew from the generators, and what a GPU would refuse is refused.
    """

    def __init__(self, generator: torch.Generator, beside: object = None) -> None:
        self._generators = (generator, torch.default_generator)
        self._tape: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self.replays = 0

    @property
    def num_operations(self) -> int:
        """Operations on the tape, views left out: about the number of kernels a GPU would launch."""
        return len(self._tape)

    def capture(self, body: Callable[[], None]) -> None:
        """Record a function and undo what it did."""
        states = [generator.get_state() for generator in self._generators]
        recorder = _Recorder()
        with torch.no_grad(), recorder:
            body()
        recorder.undo()
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)
        self._tape = recorder.tape

    @torch.no_grad()
    def replay(self) -> None:
        """Do what was recorded."""
        self.replays += 1
        for func, args, kwargs, given in self._tape:
            result = func(*args, **kwargs)
            for old, new in zip(_fresh(func, given), _fresh(func, result), strict=True):
                if old is not new:
                    old.copy_(new)


class _Recorder(TorchDispatchMode):
    """Records operations, and keeps what was in tensors before the first write to them."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Tell torch not to load its compiler, which takes seconds, just to keep it away from this class."""
        return False

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """See what compiled functions launch, and not how they are compiled."""
        return True

    def __init__(self) -> None:
        super().__init__()
        self.tape: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Run an operation and put it on the tape."""
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in _FORBIDDEN or (name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])):
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        for tensor in _written(func, args, kwargs):
            storage = tensor.untyped_storage()
            self._before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        given = func(*args, **kwargs)
        if name not in _UNSET and not func.is_view and name != "lift_fresh":
            self.tape.append((func, args, kwargs, given))
        return given

    def undo(self) -> None:
        """Put everything back that was written to."""
        for storage, before in self._before.values():
            storage.copy_(before)


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """The arguments an operation writes to."""
    given = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
    written = [
        given.get(argument.name)
        for argument in func._schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return [value for value in written if isinstance(value, torch.Tensor)]


def _fresh(func: Any, result: Any) -> list[torch.Tensor]:
    """The results that are new tensors, no aliases of arguments."""
    returns = func._schema.returns
    results = result if isinstance(result, tuple) and len(returns) > 1 else (result,)
    fresh: list[torch.Tensor] = []
    for value, declared in zip(results, returns, strict=True):
        if declared.alias_info is None:
            fresh += [one for one in (value if isinstance(value, list | tuple) else (value,)) if isinstance(one, torch.Tensor)]
    return fresh
