"""Read pickles and joblib dumps that hold plain values and numpy arrays, and refuse all others.

A pickle is a program. This reader runs only the opcodes that build plain values, resolves a global name to a stand-in of its own
and never to the named object, checks the arguments of every stand-in, and checks the finished value once more. joblib is not
imported: its array wrapper is a stand-in too, and the raw bytes behind it are read here.

Format: the `pickle` module (protocols 0-5) and joblib's numpy_pickle (0.10 and later; plain, zlib, gzip, bz2, lzma, xz).
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, cast

import numpy as np

from grail_framework.errors import DataError, UnsafePickleError
from grail_framework.motion.bounded_stream import BoundedStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

MAX_BYTES: Final = 4 << 30
"""Default bound of the decompressed size of a file. [bytes]"""
_MAX_READS: Final = 100_000_000
_KINDS: Final = "biufcSU"
"""Kinds of numpy dtypes that are plain memory without references."""


class _Refused(Exception):  # noqa: N818
    """Something a file asked for that is not allowed; becomes an UnsafePickleError that names the file."""


class _ArrayType:
    """Stands in for the class numpy.ndarray where a pickle names it."""


class _Dtype:
    """Stands in for a numpy.dtype until its byte order is known."""

    def __init__(self, spec: object, *flags: object) -> None:
        # Only numpy's short codes ('f4'): longer strings describe records and sub-arrays.
        if not isinstance(spec, str) or len(spec) > 12 or not spec.isascii() or not spec.lstrip("<>=|").isalnum():
            raise _Refused(f"a numpy dtype made from {spec!r}")
        if len(flags) > 2 or not all(isinstance(flag, (bool, int)) for flag in flags):
            raise _Refused(f"a numpy dtype with the arguments {flags!r}")
        self.value: np.dtype[Any] = _plain_dtype(np.dtype(spec))

    def set_state(self, state: object) -> None:
        """Take the state numpy pickles for a dtype: version, byte order, and nothing that plain dtypes do not have."""
        if (
            not isinstance(state, tuple)
            or len(state) != 8
            or state[1] not in ("<", ">", "|", "=")
            or any(part is not None for part in state[2:5])
        ):
            raise _Refused(f"a numpy dtype with the state {state!r}")
        if state[1] in "<>":
            self.value = self.value.newbyteorder(state[1])


class _JoblibArray:
    """Stands in for joblib's NumpyArrayWrapper, the header of an array whose bytes follow in the file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: str
    aligned: bool

    def set_state(self, state: object) -> None:
        """Check and take the wrapper's attributes."""
        if not isinstance(state, dict) or state.get("subclass") is not _ArrayType:
            raise _Refused("a joblib array that is no plain numpy.ndarray")
        self.shape = _checked_shape(state.get("shape"))
        self.dtype = _dtype_value(state.get("dtype"))
        if state.get("order") not in ("C", "F"):
            raise _Refused(f"a joblib array of the order {state.get('order')!r}")
        self.order = cast("str", state["order"])
        self.aligned = state.get("numpy_array_alignment_bytes") is not None

    def read(self, stream: BoundedStream) -> np.ndarray:
        """Read the array's bytes from the stream, past the padding that aligns them."""
        if self.aligned:
            stream.read(stream.read(1)[0])
        size = math.prod(self.shape) * self.dtype.itemsize
        data = stream.read(size)
        if len(data) != size:
            raise EOFError(f"the file ends {size - len(data)} bytes before its array does")
        return _array_from_bytes(bytearray(data), self.dtype, self.shape, self.order)


def _plain_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind not in _KINDS or dtype.hasobject or dtype.itemsize == 0:
        raise _Refused(f"a numpy array of dtype {dtype}, where only numbers, booleans and fixed-length strings are plain data")
    return dtype


def _dtype_value(dtype: object) -> np.dtype[Any]:
    if not isinstance(dtype, _Dtype):
        raise _Refused(f"a numpy array whose dtype is {type(dtype).__name__!r}")
    return dtype.value


def _checked_shape(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > 16 or not all(type(n) is int and 0 <= n < 2**40 for n in shape):
        raise _Refused(f"a numpy array of the shape {shape!r}")
    return cast("tuple[int, ...]", shape)


def _array_from_bytes(data: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> np.ndarray:
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array of shape {shape} and dtype {dtype} does not have {len(data)} bytes")
    flat = np.frombuffer(data, dtype=dtype)
    array = flat.reshape(shape[::-1]).T if order == "F" else flat.reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _reconstruct(subtype: object, _shape: object, _typecode: object) -> np.ndarray:
    if subtype is not _ArrayType:
        raise _Refused("a numpy array of another class than numpy.ndarray")
    return np.empty((0,), dtype=np.int8)  # what numpy's own does first; the state that follows gives shape and content


def _set_array_state(array: np.ndarray, state: object) -> None:
    fresh = array.shape == (0,) and array.dtype == np.int8
    if not fresh or not isinstance(state, tuple) or len(state) != 5:
        raise _Refused("a numpy array with an unknown state")
    _version, shape, dtype, fortran, data = state
    if not isinstance(data, bytes) or not isinstance(fortran, (bool, int)):
        raise _Refused("a numpy array whose content is not bytes")
    full = _array_from_bytes(data, _dtype_value(dtype), _checked_shape(shape), "F" if fortran else "C")
    native = np.ascontiguousarray(full)
    # Values that the pickle refers to later must be this very object, so it is filled in place, with arguments that are checked.
    state = (1, full.shape, native.dtype, False, native.tobytes())
    array.__setstate__(state)  # pyright: ignore[reportArgumentType]


def _from_buffer(buffer: object, dtype: object, shape: object, order: object, axes: object = None) -> np.ndarray:
    if not isinstance(buffer, (bytes, bytearray)) or order not in ("C", "F", "K"):
        raise _Refused("a numpy array from an unknown buffer")
    if order != "K":
        return _array_from_bytes(buffer, _dtype_value(dtype), _checked_shape(shape), cast("str", order))
    array = _array_from_bytes(buffer, _dtype_value(dtype), _checked_shape(shape), "C")
    return array if axes is None else array.transpose(_checked_shape(axes))


def _scalar(dtype: object, data: object) -> object:
    if not isinstance(data, bytes):
        raise _Refused("a numpy scalar whose content is not bytes")
    return _array_from_bytes(data, _dtype_value(dtype), (1,), "C")[0]


def _latin1_bytes(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused(f"an encoding of text as {encoding!r}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


_ALLOWED: Final[Mapping[tuple[str, str], object]] = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _JoblibArray,
    # Protocols 0-2 spell bytes this way.
    ("_codecs", "encode"): _latin1_bytes,
    ("__builtin__", "bytes"): _empty_bytes,
    ("builtins", "bytes"): _empty_bytes,
} | {
    (f"numpy.{core}.{module}", name): stand_in
    for core in ("core", "_core")
    for module, name, stand_in in (
        ("multiarray", "_reconstruct", _reconstruct),
        ("multiarray", "scalar", _scalar),
        ("numeric", "_frombuffer", _from_buffer),
    )
}
_CALLABLE: Final = tuple(value for value in _ALLOWED.values() if value not in (_ArrayType, _JoblibArray))

_PLAIN_OPCODES: Final = (
    *(
        "PROTO",
        "STOP",
        "MARK",
        "POP",
        "POP_MARK",
        "DUP",
        "PUT",
        "BINPUT",
        "LONG_BINPUT",
        "GET",
        "BINGET",
        "LONG_BINGET",
        "MEMOIZE",
    ),
    *("NONE", "NEWFALSE", "NEWTRUE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "TUPLE", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("EMPTY_SET", "ADDITEMS", "FROZENSET", "GLOBAL", "STACK_GLOBAL"),
)
"""Opcodes taken over from the standard library: they build plain values, or name a global, which `find_class` decides on."""


class _SafeUnpickler(pickle._Unpickler):  # pyright: ignore[reportAttributeAccessIssue, reportUntypedBaseClass]
    """The pure-Python unpickler with an opcode table of its own: the compiled one cannot read arrays in the middle of a stream."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]]  # pyright: ignore[reportIncompatibleVariableOverride]
    stack: list[Any]
    read: Callable[[int], bytes]

    def __init__(self, stream: BoundedStream) -> None:
        super().__init__(stream)
        self._stream = stream

    def find_class(self, module: str, name: str) -> object:
        """Give the stand-in of an allowed global; refuse any other."""
        stand_in = _ALLOWED.get((module, name))
        if stand_in is None:
            raise _Refused(f"the pickle asks for {module}.{name}")
        return stand_in

    def load_reduce(self) -> None:
        """Call a stand-in function with the arguments on the stack."""
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not any(function is allowed for allowed in _CALLABLE) or not isinstance(arguments, tuple):
            raise _Refused(f"the pickle calls {_name(function)}")
        self.stack[-1] = function(*arguments)

    def load_newobj(self) -> None:
        """Make an instance: of joblib's array wrapper only."""
        arguments = self.stack.pop()
        cls = self.stack[-1]
        if cls is not _JoblibArray or arguments != ():
            raise _Refused(f"the pickle makes an instance of {_name(cls)}")
        self.stack[-1] = _JoblibArray()

    def load_build(self) -> None:
        """Set the state of a dtype, an array or a joblib wrapper; the array of the wrapper follows in the stream."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, _Dtype):
            target.set_state(state)
        elif isinstance(target, _JoblibArray):
            target.set_state(state)
            self.stack[-1] = target.read(self._stream)
        elif isinstance(target, np.ndarray):
            _set_array_state(target, state)
        else:
            raise _Refused(f"the pickle sets the state of {_name(target)}")

    def load_frame(self) -> None:
        """Skip a frame header: frames only say how far to read ahead, and reading ahead would pass over joblib's raw arrays."""
        self.read(8)

    def load_bytearray8(self) -> None:
        """Read a bytearray without allocating its claimed length first."""
        self.stack.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))


def _refusal(opcode_name: str) -> Callable[[_SafeUnpickler], NoReturn]:
    def refuse(_self: _SafeUnpickler) -> NoReturn:
        raise _Refused(f"the pickle uses the opcode {opcode_name}")

    return refuse


def _dispatch_table() -> dict[int, Callable[[Any], None]]:
    opcodes = {name: getattr(pickle, name)[0] for name in pickle.__all__ if isinstance(getattr(pickle, name), bytes)}
    base = pickle._Unpickler.dispatch  # pyright: ignore[reportAttributeAccessIssue]
    table: dict[int, Callable[[Any], None]] = {code: _refusal(name) for name, code in opcodes.items() if code in base}
    table |= {opcodes[name]: base[opcodes[name]] for name in _PLAIN_OPCODES}
    return table | {
        opcodes["REDUCE"]: _SafeUnpickler.load_reduce,
        opcodes["NEWOBJ"]: _SafeUnpickler.load_newobj,
        opcodes["BUILD"]: _SafeUnpickler.load_build,
        opcodes["FRAME"]: _SafeUnpickler.load_frame,
        opcodes["BYTEARRAY8"]: _SafeUnpickler.load_bytearray8,
    }


_SafeUnpickler.dispatch = _dispatch_table()


def _name(value: object) -> str:
    return repr(getattr(value, "__name__", type(value).__name__)).lstrip("_")


def _check_plain(root: object) -> None:
    """Refuse a finished value that holds anything but plain values and arrays."""
    seen: set[int] = set()
    pending: list[object] = [root]
    while pending:
        value = pending.pop()
        if value is None or type(value) in (bool, int, float, str, bytes, bytearray):
            continue
        if isinstance(value, np.generic) or type(value) is np.ndarray:
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) is dict:
            pending.extend(value.keys())
            pending.extend(value.values())
        elif type(value) in (list, tuple, set, frozenset):
            pending.extend(cast("list[object]", value))
        else:
            raise _Refused(f"the pickle holds {_name(value)} in place of a value")


def load_safe(path: str | Path, *, max_bytes: int = MAX_BYTES) -> object:
    """Read a pickle or a joblib dump of plain values and numpy arrays, compressed or not, without executing anything.

    Arrays come in native byte order. Nothing from the file is imported or called.

    Raises:
        UnsafePickleError: the file asks for anything else; the message names the file and what it asked for.
        DataError: the file is missing, truncated, damaged, of an unknown compression, or larger than `max_bytes` decompressed.
    """
    path = Path(path)
    try:
        with path.open("rb") as raw:
            return _load(cast("BinaryIO", raw), path, max_bytes)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except _Refused as refusal:
        raise UnsafePickleError(
            f"{path}: refused, since {refusal}. Motion files hold plain values and numpy arrays only; save the file again from "
            "such values, and do not load it elsewhere unless you trust its source."
        ) from None
    except DataError:
        raise
    # A damaged pickle is a program of random bytes: what it raises cannot be listed, and all of it means the same.
    except Exception as error:
        raise DataError(
            f"{path}: no readable pickle or joblib file, or a damaged one ({type(error).__name__}: {error})"
        ) from error


def _load(raw: BinaryIO, path: Path, max_bytes: int) -> object:
    value = _SafeUnpickler(BoundedStream(raw, path, max_bytes=max_bytes, max_reads=_MAX_READS)).load()
    _check_plain(value)
    return value
