"""What torch's own pickles name, and what stands in for it here.

As for motion files, no name is looked up: a few are keys of `TORCH_GLOBALS`, their values are functions of this module or plain
objects, and all others become `Foreign`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
import torch

from grail_framework.learning.foreign import Foreign
from grail_framework.motion.pickle_values import GLOBALS, Dtype, Global, RefusedError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST_EXPANSION: Final = 1 << 24
"""Numbers a tensor may have beyond those its storage holds, as views with a stride of 0 do."""
_DEVICES: Final = frozenset(("cpu", "cuda", "mps", "meta", "xpu", "hpu", "npu"))


@attrs.frozen(eq=False)
class StorageType:
    """Stands in for a class of storages."""

    dtype: torch.dtype


@attrs.frozen(eq=False)
class Storage:
    """Numbers of the file that tensors are views of."""

    data: torch.Tensor
    """(bytes,) uint8."""
    dtype: torch.dtype


class ObjectDtype:
    """Stands in for numpy's dtype of arrays of objects: here they hold inert values only."""

    __slots__ = ()


def set_object_array(array: np.ndarray, state: tuple[Any, ...]) -> None:
    """Fill an array of objects with the values a pickle lists, in place."""
    _version, shape, _dtype, fortran, values = state
    lengths = _lengths(shape, "a numpy array of the shape")
    if type(values) is not list or math.prod(lengths) != len(values):
        raise RefusedError("a numpy array of objects whose content is no list of as many values")
    array.__setstate__((1, lengths, np.dtype(object), bool(fortran), values))  # pyright: ignore[reportArgumentType]


def is_object_array_state(state: object) -> bool:
    """Tell whether the state of an array is that of an array of objects."""
    return type(state) is tuple and len(state) == 5 and type(state[2]) is ObjectDtype


def _numpy_dtype(spec: object, *flags: object) -> object:
    return ObjectDtype() if spec in ("O", "O4", "O8") else Dtype(spec, *flags)


def _lengths(shape: object, what: str) -> tuple[int, ...]:
    if type(shape) is not tuple or len(shape) > 64 or not all(type(n) is int and 0 <= n < 1 << 48 for n in shape):
        raise RefusedError(f"{what} {shown(shape)}")
    return shape


def _view(storage: object, offset: object, size: object, stride: object, dtype: torch.dtype | None = None) -> torch.Tensor:
    if type(storage) is not Storage or type(offset) is not int or offset < 0:
        raise RefusedError(f"a tensor of {shown(storage)} at {shown(offset)}")
    shape, strides = _lengths(size, "a tensor of the shape"), _lengths(stride, "a tensor of the stride")
    kind = storage.dtype if dtype is None else dtype
    flat = storage.data.view(kind) if storage.data.numel() else torch.empty(0, dtype=kind)
    if math.prod(shape) > flat.numel() + _LARGEST_EXPANSION:
        raise RefusedError(f"a tensor of the shape {shown(shape)} from a storage of {flat.numel()} numbers")
    return torch.as_strided(flat, shape, strides, offset)


def _rebuild_v2(
    storage: object, offset: object, size: object, stride: object, _grad: object, _hooks: object, _metadata: object = None
) -> torch.Tensor:
    return _view(storage, offset, size, stride)


def _rebuild_v3(
    storage: object,
    offset: object,
    size: object,
    stride: object,
    _grad: object,
    _hooks: object,
    dtype: object,
    _metadata: object = None,
) -> torch.Tensor:
    if type(dtype) is not torch.dtype:
        raise RefusedError(f"a tensor of the type {shown(dtype)}")
    return _view(storage, offset, size, stride, dtype)


def _parameter(data: object, _grad: object, _hooks: object, _state: object = None) -> object:
    return data


def _from_type(function: object, kind: object, arguments: object, _state: object) -> object:
    """Rebuild a tensor that has attributes of its own, without them; of another class it stays inert."""
    if type(function) is not Global or function.call is None or type(kind) is not Foreign or type(arguments) is not tuple:
        raise RefusedError("a tensor of an unknown class")
    plain = kind.name in ("torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter", "torch.nn.Parameter")
    return function.call(*arguments) if plain else Foreign(kind.name, arguments)


def _device(kind: object, index: object = None) -> torch.device:
    if type(kind) is not str or kind.partition(":")[0] not in _DEVICES or not (index is None or type(index) is int):
        raise RefusedError(f"a device {shown(kind)}")
    return torch.device(kind) if index is None else torch.device(kind, index)


def _size(numbers: object = ()) -> tuple[Any, ...]:
    if type(numbers) is not tuple:
        raise RefusedError(f"a size {shown(numbers)}")
    return numbers


def _dictionary(pairs: object = ()) -> dict[Any, Any]:
    if type(pairs) not in (list, tuple) or pairs:
        raise RefusedError("a dictionary made from other values")
    return {}


def _default_dictionary(_factory: object = None) -> dict[Any, Any]:
    return {}


def _counter(counts: object = None) -> dict[Any, Any]:
    if counts is not None and type(counts) is not dict:
        raise RefusedError("a counter made from other values")
    return counts if type(counts) is dict else {}


def _queue(values: object = (), _maximum: object = None) -> list[Any]:
    if type(values) not in (list, tuple):
        raise RefusedError("a deque made from other values")
    return list(values)  # pyright: ignore[reportArgumentType]


def _complex(real: object, imaginary: object) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise RefusedError("a complex number made from other values")
    return complex(real, imaginary)


_DTYPES: Final = {name: value for name in dir(torch) if type(value := getattr(torch, name)) is torch.dtype}
_STORAGES: Final = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
}
TORCH_GLOBALS: Final[Mapping[tuple[str, str], Any]] = (
    dict(GLOBALS)
    | {("torch", name): dtype for name, dtype in _DTYPES.items()}
    | {("torch", name): StorageType(dtype) for name, dtype in _STORAGES.items()}
    | {(module, "UntypedStorage"): StorageType(torch.uint8) for module in ("torch", "torch.storage")}
    | {
        (module, name): Global(f"{module}.{name}", stand_in)
        for module, name, stand_in in (
            ("numpy", "dtype", _numpy_dtype),
            ("torch._utils", "_rebuild_tensor_v2", _rebuild_v2),
            ("torch._utils", "_rebuild_tensor_v3", _rebuild_v3),
            ("torch._utils", "_rebuild_parameter", _parameter),
            ("torch._utils", "_rebuild_parameter_with_state", _parameter),
            ("torch._tensor", "_rebuild_from_type_v2", _from_type),
            ("torch", "device", _device),
            ("torch", "Size", _size),
            ("collections", "OrderedDict", _dictionary),
            ("collections", "defaultdict", _default_dictionary),
            ("collections", "Counter", _counter),
            ("collections", "deque", _queue),
        )
    }
    | {(module, "complex"): Global("complex", _complex) for module in ("builtins", "__builtin__")}
)
"""All that has a meaning here; of sets see `torch_machine`, since their elements have to be checked."""
