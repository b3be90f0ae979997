"""What a pickle of plain values and numpy arrays may name, and what stands in for it here.

No global name of a file is ever looked up: the few that numpy and joblib write are keys of `GLOBALS`, and their values are functions
of this module that check every argument.
"""

from __future__ import annotations

import math
import reprlib
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_KINDS: Final = "biufcSU"
"""Kinds of numpy dtypes that are plain memory without references."""


class RefusedError(Exception):
    """Something a file asked for that is not allowed; becomes an UnsafePickleError that names the file."""


@attrs.frozen(eq=False)
class Global:
    """Stands in for something a pickle names."""

    name: str
    call: Callable[..., object] | None = None
    """What happens where the pickle calls it; None: it must not."""


ARRAY_TYPE: Final = Global("numpy.ndarray")
JOBLIB_ARRAY: Final = Global("joblib.numpy_pickle.NumpyArrayWrapper")


def shown(value: object) -> str:
    """Describe a value of the file for a message: short whatever its size and depth."""
    return reprlib.repr(value)


class Dtype:
    """Stands in for a numpy.dtype until its byte order is known."""

    __slots__ = ("value",)

    def __init__(self, spec: object, *flags: object) -> None:
        # Only numpy's short codes ('f4'): longer strings describe records and sub-arrays.
        if not isinstance(spec, str) or len(spec) > 12 or not spec.isascii() or not spec.lstrip("<>=|").isalnum():
            raise RefusedError(f"a numpy dtype made from {shown(spec)}")
        if len(flags) > 2 or not all(isinstance(flag, (bool, int)) for flag in flags):
            raise RefusedError(f"a numpy dtype with the arguments {shown(flags)}")
        self.value: np.dtype[Any] = np.dtype(spec)
        if self.value.kind not in _KINDS or self.value.hasobject or self.value.itemsize == 0:
            raise RefusedError(
                f"a numpy array of dtype {self.value}, where only numbers, booleans and fixed-length strings are plain data"
            )

    def set_state(self, state: object) -> None:
        """Take the state numpy pickles for a dtype: version, byte order, and nothing that plain dtypes do not have."""
        if (
            not isinstance(state, tuple)
            or len(state) != 8
            or state[1] not in ("<", ">", "|", "=")
            or any(part is not None for part in state[2:5])
        ):
            raise RefusedError(f"a numpy dtype with the state {shown(state)}")
        if state[1] in "<>":
            self.value = self.value.newbyteorder(state[1])


class JoblibArray:
    """Stands in for joblib's NumpyArrayWrapper, the header of an array whose bytes follow in the file."""

    __slots__ = ()

    def read(self, state: object, data: bytearray, pos: int) -> tuple[np.ndarray, int]:
        """Read the array that the wrapper's attributes describe, past the padding that aligns it.

        Returns:
            A writable view of the data, and the position behind it.
        """
        if type(state) is not dict or state.get("subclass") is not ARRAY_TYPE:
            raise RefusedError("a joblib array that is no plain numpy.ndarray")
        shape, size = _shape_and_size(state.get("shape"))
        dtype, order = _dtype(state.get("dtype")), state.get("order")
        if order != "C" and order != "F":
            raise RefusedError(f"a joblib array of the order {shown(order)}")
        if state.get("numpy_array_alignment_bytes") is not None:
            pos += 1 + data[pos]
        end = pos + size * dtype.itemsize
        if end > len(data):
            raise EOFError(f"the file ends {end - len(data)} bytes before its array does")
        if not size:
            return np.empty(shape, dtype.newbyteorder("="), order=order), pos
        array = np.ndarray(shape, dtype, data, pos, None, order)
        if not dtype.isnative:
            array = array.astype(dtype.newbyteorder("="))
        elif pos % dtype.itemsize:
            array = array.copy(order="K")
        return array, end


def _dtype(dtype: object) -> np.dtype[Any]:
    if type(dtype) is not Dtype:
        raise RefusedError(f"a numpy array whose dtype is {shown(dtype)}")
    return dtype.value


def _shape_and_size(shape: object) -> tuple[tuple[int, ...], int]:
    """Check a shape, and return it and the number of items."""
    if type(shape) is not tuple or len(shape) > 16:
        raise RefusedError(f"a numpy array of the shape {shown(shape)}")
    size = 1
    for length in shape:
        if type(length) is not int or not 0 <= length < 1 << 40:
            raise RefusedError(f"a numpy array of the shape {shown(shape)}")
        size *= length
    return shape, size


def _shape(shape: object) -> tuple[int, ...]:
    return _shape_and_size(shape)[0]


def _array(data: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> np.ndarray:
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array of shape {shape} and dtype {dtype} does not have {len(data)} bytes")
    flat = np.frombuffer(data, dtype=dtype)
    array = flat.reshape(shape[::-1]).T if order == "F" else flat.reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _reconstruct(subtype: object, _shape: object, _typecode: object) -> np.ndarray:
    if subtype is not ARRAY_TYPE:
        raise RefusedError("a numpy array of another class than numpy.ndarray")
    return np.empty((0,), dtype=np.int8)  # what numpy's own does first; the state that follows gives shape and content


def set_array_state(array: np.ndarray, state: object) -> None:
    """Give an array that `_reconstruct` made the content that numpy pickles, once."""
    fresh = array.ndim == 1 and not array.size and array.dtype.char == "b"
    if not fresh or type(state) is not tuple or len(state) != 5:
        raise RefusedError("a numpy array with an unknown state")
    _version, given_shape, given_dtype, fortran, data = state
    if type(data) is not bytes or type(fortran) not in (bool, int):
        raise RefusedError("a numpy array whose content is not bytes")
    shape, dtype = _shape(given_shape), _dtype(given_dtype)
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array of shape {shape} and dtype {dtype} does not have {len(data)} bytes")
    if not dtype.isnative:
        swapped = _array(data, dtype, shape, "F" if fortran else "C")
        dtype, data, fortran = swapped.dtype, swapped.tobytes(), False
    # Values that the pickle refers to later must be this very object, so it is filled in place, with arguments that are checked.
    array.__setstate__((1, shape, dtype, bool(fortran), data))  # pyright: ignore[reportArgumentType]


def _from_buffer(buffer: object, dtype: object, shape: object, order: object, axes: object = None) -> np.ndarray:
    if not isinstance(buffer, (bytes, bytearray)) or order not in ("C", "F", "K"):
        raise RefusedError("a numpy array from an unknown buffer")
    if order != "K":
        return _array(buffer, _dtype(dtype), _shape(shape), cast("str", order))
    array = _array(buffer, _dtype(dtype), _shape(shape), "C")
    return array if axes is None else array.transpose(_shape(axes))


def _scalar(dtype: object, data: object) -> object:
    if not isinstance(data, bytes):
        raise RefusedError("a numpy scalar whose content is not bytes")
    return _array(data, _dtype(dtype), (1,), "C")[0]


def _latin1_bytes(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedError(f"an encoding of text as {shown(encoding)}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


GLOBALS: Final[Mapping[tuple[str, str], Global]] = {
    ("numpy", "ndarray"): ARRAY_TYPE,
    ("numpy", "dtype"): Global("numpy.dtype", Dtype),
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): JOBLIB_ARRAY,
    # Protocols 0-2 spell bytes this way.
    ("_codecs", "encode"): Global("_codecs.encode", _latin1_bytes),
    ("__builtin__", "bytes"): Global("bytes", _empty_bytes),
    ("builtins", "bytes"): Global("bytes", _empty_bytes),
} | {
    (f"numpy.{core}.{module}", name): Global(f"numpy.{core}.{module}.{name}", stand_in)
    for core in ("core", "_core")
    for module, name, stand_in in (
        ("multiarray", "_reconstruct", _reconstruct),
        ("multiarray", "scalar", _scalar),
        ("numeric", "_frombuffer", _from_buffer),
    )
}
"""All that a motion file may name."""
