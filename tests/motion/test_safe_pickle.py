from __future__ import annotations

import bz2
import copyreg
import functools
import gzip
import io
import lzma
import os
import pickle
import struct
import subprocess
import sys
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest

from grail_framework.errors import DataError, UnsafePickleError
from grail_framework.motion.safe_pickle import load_safe

if TYPE_CHECKING:
    from collections.abc import Callable

ENTRY: dict[str, Any] = {
    "motion": {
        "f32": np.arange(12, dtype=np.float32).reshape(3, 4),
        "fortran": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        "transposed": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
        "big_endian": np.arange(3, dtype=">i4"),
        "empty": np.zeros((0, 3), np.float32),
        "scalar_array": np.array(2.5),
        "text": np.array(["left", "right"]),
        "flags": np.array([True, False]),
        "number": np.float32(1.5),
        "fps": 50.0,
        "name": "box",
        "points": {3: np.ones((2, 3), np.float32), 4: np.zeros((0, 3), np.float32)},
        "nested": [1, (2, None), {"a": b"bytes", "e": b""}, True, 2**70],
    }
}
PLAIN = [pytest.param(p, id=f"protocol{p}") for p in range(6)]
COMPRESSED = ["zlib", "gzip", "bz2", "lzma", "xz"]


def assert_same(a: Any, b: Any) -> None:
    if isinstance(b, dict):
        assert list(a) == list(b)
        for key in b:
            assert_same(a[key], b[key])
    elif isinstance(b, (list, tuple)):
        assert type(a) is type(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(b, np.ndarray):
        assert type(a) is np.ndarray
        assert a.dtype == b.dtype.newbyteorder("=")
        assert a.shape == b.shape
        np.testing.assert_array_equal(a, b)
    else:
        assert type(a) is type(b)
        assert a == b


@pytest.mark.parametrize("protocol", PLAIN)
def test_reads_what_pickle_writes(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(ENTRY, protocol=protocol))
    assert_same(load_safe(path), ENTRY)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("compress", [False, True, *[(name, 3) for name in COMPRESSED]], ids=str)
def test_reads_what_joblib_writes(tmp_path: Path, compress: Any, protocol: int) -> None:
    path = tmp_path / "m.pkl"
    joblib.dump(ENTRY, path, compress=compress, protocol=protocol)
    assert_same(load_safe(path), ENTRY)


def test_reads_an_array_beyond_one_chunk(tmp_path: Path) -> None:
    big = np.arange(400_000, dtype=np.float64)
    joblib.dump({"a": big, "b": big[:3]}, tmp_path / "m.pkl", compress=1)
    assert_same(load_safe(tmp_path / "m.pkl"), {"a": big, "b": big[:3]})


def test_reads_names_of_old_numpy_and_old_joblib(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(np.arange(3), protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert_same(load_safe(path), np.arange(3))
    # Up to joblib 1.1 the wrapper has no alignment attribute and no padding comes before the bytes.
    wrapper = joblib.numpy_pickle.NumpyArrayWrapper(np.ndarray, (2,), "C", np.dtype("<f4"))
    del wrapper.numpy_array_alignment_bytes
    content = pickle.dumps(wrapper, protocol=2)
    assert content.endswith(b"b.")
    path.write_bytes(content[:-1] + np.array([1, 2], "<f4").tobytes() + b".")
    assert_same(load_safe(path), np.array([1, 2], np.float32))


def test_one_array_in_two_places_stays_one(tmp_path: Path) -> None:
    shared = np.arange(4)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps([shared, shared], protocol=4))
    value: Any = load_safe(tmp_path / "m.pkl")
    assert value[0] is value[1]


def test_neither_joblib_nor_anything_named_is_imported(tmp_path: Path) -> None:
    joblib.dump(ENTRY, tmp_path / "m.pkl")
    code = (
        "import sys; from grail_framework.motion.safe_pickle import load_safe; "
        f"load_safe({str(tmp_path / 'm.pkl')!r}); assert not [m for m in sys.modules if m.startswith('joblib')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Call:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


class Plain:
    """A class a pickle may name; its instances are not plain values."""


class SubArray(np.ndarray):
    """An array class that is not numpy's own."""


def attacks(canary: Path) -> dict[str, Any]:
    touch = f"touch {canary}"
    write = f"open({str(canary)!r}, 'w')"
    return {
        "os.system": Call(os.system, touch),
        "subprocess": Call(subprocess.Popen, ["touch", str(canary)]),
        "eval": Call(eval, write),
        "exec": Call(exec, write),
        "open": Call(open, str(canary), "w"),
        "getattr": Call(getattr, "text", "join"),
        "import": Call(__import__, "os"),
        "partial": Call(functools.partial, os.system, touch),
        "partial called": Call(functools.reduce, os.system, [touch]),
        "copyreg": Call(copyreg._reconstructor, Plain, object, None),
        "instance": Plain(),
        "set state": Call(Plain, state={"a": 1}),
        "ordered dict": OrderedDict(a=1),
        "path": canary,
        "function": os.system,
        "class": dict,
        "numpy.load": Call(np.load, str(canary)),
        "numpy.memmap": Call(np.memmap, str(canary), "u1", "w+", 0, (1,)),
        "numpy.save": Call(np.save, str(canary), np.ones(2)),
        "numpy.testing": Call(
            np.testing.runstring if hasattr(np.testing, "runstring") else np.testing.assert_raises, write, {}
        ),
        "numpy.fromfile": Call(np.fromfile, str(canary)),
        "numpy.vectorize": Call(np.vectorize, os.system),
        "numpy.apply": Call(np.apply_along_axis, os.system, 0, np.array([touch])),
        "numpy.array": Call(np.array, [1, 2]),
        "object array": np.array([Call(os.system, touch), None], dtype=object),
        "object array of plain values": np.array([1, "a"], dtype=object),
        "record array": np.zeros(2, dtype=[("a", "f4"), ("b", "O")]),
        "plain record array": np.zeros(2, dtype=[("a", "f4")]),
        "matrix": np.zeros((2, 2)).view(SubArray),
        "masked array": np.ma.masked_array([1, 2], mask=[True, False]),
        "datetime": np.array(["2020-01-01"], dtype="M8[D]"),
        "dtype as value": np.dtype("f4"),
        "ndarray as value": np.ndarray,
        "ndarray called": Call(np.ndarray, (3,)),
        "reconstruct another class": Call(np._core.multiarray._reconstruct, SubArray, (0,), b"b"),
        "nested": {"a": [({"b": (Call(os.system, touch),)},)]},
        "as key": {Call(str, "k"): 1},
        "codecs": Call(__import__("_codecs").encode, "text", "rot13"),
        "random": np.random.default_rng(1),
        "exception": ValueError("x"),
        "slice": slice(1, 2),
        "complex": Call(complex, 1, 2),
    }


ATTACKS = sorted(attacks(Path("canary")))


@pytest.mark.parametrize("name", ATTACKS)
def test_refuses_everything_else_in_every_protocol(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    for protocol in range(6):
        path = tmp_path / f"{protocol}.pkl"
        content = pickle.dumps({"motion": attacks(canary)[name]}, protocol=protocol)
        for pack in (bytes, zlib.compress, gzip.compress, bz2.compress, lzma.compress):
            path.write_bytes(pack(content))
            with pytest.raises(UnsafePickleError) as error:
                load_safe(path)
            assert str(path) in str(error.value)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["os.system", "object array", "nested", "partial", "matrix"])
@pytest.mark.parametrize("compress", [0, 3, ("xz", 1)], ids=str)
def test_refuses_the_same_in_joblib_dumps(tmp_path: Path, name: str, compress: Any) -> None:
    path, canary = tmp_path / "m.pkl", tmp_path / "canary"
    joblib.dump({"m": attacks(canary)[name], "a": np.ones(3)}, path, compress=compress)
    with pytest.raises(UnsafePickleError):
        load_safe(path)
    assert not canary.exists()


def test_the_message_names_the_file_and_the_global(tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(Call(os.system, "true")))
    with pytest.raises(UnsafePickleError, match=rf"evil\.pkl.*{os.system.__module__}\.system"):
        load_safe(path)


def op(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def glob(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


HAND_WRITTEN = {
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0dload.__call__\x93.",
    "name through an allowed module": op(glob("numpy", "load")),
    "submodule through numpy": op(glob("numpy.core.multiarray", "fromfile")),
    "INST": b"(S'true'\nios\nsystem\n.",
    "INST of an allowed name": b"(S'f4'\ninumpy\ndtype\n.",
    "OBJ of an allowed name": b"(cnumpy\ndtype\nS'f4'\no.",
    "NEWOBJ_EX": op(glob("numpy", "dtype"), b"\x8c\x02f4\x85}\x92"),
    "NEWOBJ of a dtype": op(glob("numpy", "dtype"), b"\x8c\x02f4\x85\x81"),
    "EXT1": op(b"\x82\x01"),
    "EXT4": op(b"\x84\x01\x00\x00\x00"),
    "persistent id": op(b"\x8c\x01a", b"Q"),
    "persistent id of protocol 0": b"Pid\n.",
    "out-of-band buffer": op(b"\x97"),
    "wrapper as value": op(glob("joblib.numpy_pickle", "NumpyArrayWrapper"), b")\x81"),
    "wrapper called": op(glob("joblib.numpy_pickle", "NumpyArrayWrapper"), b")R"),
    "joblib's old wrapper": op(glob("joblib.numpy_pickle", "NDArrayWrapper"), b")\x81"),
    "reduce a string": op(b"\x8c\x01a)R"),
    "reduce a list": op(b"])R"),
    "build on a dict": op(b"}}b"),
    "build on a list": op(b"]}b"),
    "stand-in as value": op(glob("numpy.core.multiarray", "_reconstruct")),
    "dtype from a list": op(glob("numpy", "dtype"), b"]\x85R"),
    "dtype from a record string": op(glob("numpy", "dtype"), b"\x8c\x05f4,i4\x85R"),
    "dtype of objects": op(glob("numpy", "dtype"), b"\x8c\x01O\x85R"),
    "dtype with fields": op(
        glob("numpy", "dtype"), b"\x8c\x02f4\x85R", b"(K\x03\x8c\x01<N\x8c\x01a\x85}J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    ),
    "reconstruct with arguments of another kind": op(glob("numpy.core.multiarray", "_reconstruct"), b"K\x01K\x01K\x01\x87R"),
    "scalar of objects": op(
        glob("numpy.core.multiarray", "scalar"), glob("numpy", "dtype"), b"\x8c\x01O\x85RC\x08abcdefgh\x86R"
    ),
}


@pytest.mark.parametrize("name", sorted(HAND_WRITTEN))
def test_refuses_hand_written_programs(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(HAND_WRITTEN[name])
    with pytest.raises(UnsafePickleError):
        load_safe(path)


def test_an_array_state_is_set_once_and_only_with_matching_content(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    good = pickle.dumps(np.arange(4, dtype=np.int64), protocol=2)
    assert good.count(b"K\x04\x85") == 1
    path.write_bytes(good.replace(b"K\x04\x85", b"K\x05\x85"))
    with pytest.raises(DataError, match="does not have 32 bytes"):
        load_safe(path)
    path.write_bytes(good[:-1] + b"Nb.")  # a second state on the finished array
    with pytest.raises(UnsafePickleError):
        load_safe(path)


GARBAGE = {
    "nothing": b"",
    "text": b"root_pos,root_rot\n1,2\n",
    "one byte": b"\x80",
    "an unknown opcode": b"\x80\x04\xff.",
    "a stack underflow": b"\x80\x04u.",
    "a missing memo": b"\x80\x04h\x05.",
    "a tensor file": b"PK\x03\x04" + bytes(60),
    "broken zlib": zlib.compress(b"x" * 100)[:-9],
    "lz4": b"\x04\x22\x4d\x18" + bytes(20),
    "old joblib": b"ZF0x10" + bytes(20),
    "broken xz": b"\xfd7zXZ\x00" + bytes(20),
    "an unhashable key": b"\x80\x04}]K\x01s.",
    "a protocol from the future": b"\x80\x09N.",
}


@pytest.mark.parametrize("name", sorted(GARBAGE))
def test_garbage_is_a_data_error_that_names_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(GARBAGE[name])
    with pytest.raises(DataError, match=r"m\.pkl"):
        load_safe(path)


@pytest.mark.parametrize("compress", [0, 3])
def test_every_truncation_is_a_data_error(tmp_path: Path, compress: int) -> None:
    path = tmp_path / "m.pkl"
    joblib.dump(ENTRY, path, compress=compress)
    content = path.read_bytes()
    for length in range(0, len(content) - 1, 37):
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            load_safe(path)


def test_flipped_bytes_give_a_value_or_a_data_error(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    content = pickle.dumps(ENTRY, protocol=4)
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        damaged[int(generator.integers(len(content)))] = int(generator.integers(256))
        path.write_bytes(bytes(damaged))
        try:
            load_safe(path)
        except DataError as error:
            assert "m.pkl" in str(error)  # noqa: PT017


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_safe(tmp_path / "none.pkl")


@pytest.mark.parametrize("pack", [bytes, zlib.compress, gzip.compress, bz2.compress, lzma.compress])
def test_expansion_is_bounded(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pack(pickle.dumps(bytes(5_000_000), protocol=4)))
    assert load_safe(path) == bytes(5_000_000)
    with pytest.raises(DataError, match="1000000 bytes"):
        load_safe(path, max_bytes=1_000_000)


@pytest.mark.parametrize("code", [b"\x8e", b"\x96", b"\x8d", b"\x95"], ids=["bytes", "bytearray", "text", "frame"])
def test_a_claimed_length_allocates_nothing(tmp_path: Path, code: bytes) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(b"\x80\x05" + code + struct.pack("<Q", 3 << 30) + b"abc")
    with pytest.raises(DataError):
        load_safe(path)


def test_a_claimed_shape_allocates_nothing(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    wrapper = joblib.numpy_pickle.NumpyArrayWrapper(np.ndarray, (2**29,), "C", np.dtype("<f4"))
    pickle.dump(wrapper, buffer, protocol=4)
    path = tmp_path / "m.pkl"
    path.write_bytes(buffer.getvalue()[:-1] + b"\x00" * 64)
    with pytest.raises(DataError, match="before its array does"):
        load_safe(path)


def test_reads_every_real_file_as_joblib_does(real_data: Path) -> None:
    files = sorted(real_data.glob("grail/**/*.pkl")) + sorted(real_data.glob("raw/**/*.pkl"))
    assert len(files) > 20
    for path in files:
        assert_same(load_safe(path), joblib.load(path))
