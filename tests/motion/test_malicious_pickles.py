"""A corpus of pickles made to run code: every one is refused, nothing of it runs, and a library that has them names each."""

from __future__ import annotations

import bz2
import copyreg
import functools
import gzip
import importlib
import lzma
import operator
import os
import pickle
import runpy
import struct
import subprocess
import types
import webbrowser
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest
import torch

from grail_framework.config.scene import MotionCfg
from grail_framework.errors import UnsafePickleError
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.safe_pickle import load_safe
from grail_framework.motion.validate import Needs
from grail_framework.runs.library_check import check_motion_library

if TYPE_CHECKING:
    from collections.abc import Callable

    from grail_framework.robots.spec import RobotSpec

PACKS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "lzma": lambda content: lzma.compress(content, format=lzma.FORMAT_ALONE, preset=0),
    "xz": lambda content: lzma.compress(content, preset=0),
}
NAMES = (Path(__file__).parent / "pickle_names.txt").read_text(encoding="utf-8").split()
"""What gadgets are made of, and what looks like the few names that numpy and joblib write."""


def program(module: str, name: str, call: str, protocol: int) -> bytes:
    """Write a pickle by hand that names a global and calls it, in one of the ways a pickle can."""
    argument = b"S'true'\n" if protocol == 0 else b"X\x04\x00\x00\x00true"
    head = b"" if protocol < 2 else b"\x80" + bytes([protocol])
    if protocol >= 4:
        texts = [text.encode() for text in (module, name)]
        named = b"".join(b"\x8c" + bytes([len(text)]) + text for text in texts) + b"\x93"
    else:
        named = f"c{module}\n{name}\n".encode()
    body = {
        "value": named,
        "REDUCE": named + b"(" + argument + b"tR",
        "INST": b"(" + argument + f"i{module}\n{name}\n".encode(),
        "OBJ": b"(" + named + argument + b"o",
        "NEWOBJ": named + b"(" + argument + b"t\x81",
        "NEWOBJ_EX": named + b"(" + argument + b"t}\x92",
        "BUILD": named + b"}" + argument + argument + b"sb",
        "in a dictionary": b"}" + argument + named + b"(" + argument + b"tRs",
        "as a key": b"}" + named + argument + b"s",
        "memoised": named + b"p0\n0g0\n(" + argument + b"tR",
    }[call]
    return head + body + b"."


CALLS = ("value", "REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD", "in a dictionary", "as a key", "memoised")


@pytest.mark.parametrize("full", NAMES)
def test_no_name_is_reached_in_any_protocol_way_or_compression(tmp_path: Path, full: str) -> None:
    module, _, name = full.rpartition(".")
    path = tmp_path / "m.pkl"
    tried = [(call, protocol) for protocol in range(6) for call in ("REDUCE", CALLS[protocol], CALLS[-1 - protocol])]
    for (call, protocol), pack in zip(tried, [*PACKS.values()] * 3, strict=True):
        path.write_bytes(pack(program(module, name, call, protocol)))
        with pytest.raises(UnsafePickleError, match=r"m\.pkl: refused"):
            load_safe(path)


class Call:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def touch(canary: Path) -> str:
    return f"touch {canary}"


def attacks(canary: Path) -> dict[str, Any]:
    """Objects whose pickles, read by the standard library, touch the canary (or would with the libraries they are for)."""
    write = f"open({str(canary)!r}, 'w').close()"
    system = Call(os.system, touch(canary))
    return {
        "os.system": system,
        "posix.system": Call(importlib.import_module("posix").system, touch(canary)),
        "subprocess": Call(subprocess.check_call, ["touch", str(canary)]),
        "eval": Call(eval, write),
        "exec": Call(exec, write),
        "open": Call(open, str(canary), "w"),
        "getattr": Call(getattr, "text", "join"),
        "import": Call(__import__, "antigravity_of_nowhere"),
        "import_module": Call(importlib.import_module, "os"),
        "runpy": Call(runpy.run_path, str(canary)),
        "partial": Call(functools.partial(os.system, touch(canary))),
        "partial chain": Call(functools.partial(functools.partial(functools.partial(os.system)), touch(canary))),
        "reduce": Call(functools.reduce, operator.add, [[1], [2]]),
        "methodcaller": Call(operator.methodcaller("touch"), canary),
        "attrgetter": Call(operator.attrgetter("parent"), canary),
        "copyreg": Call(copyreg._reconstructor, types.SimpleNamespace, object, None),
        "webbrowser": Call(webbrowser.get, f"touch {canary}"),
        "pickle in bytes": Call(pickle.loads, pickle.dumps(system)),
        "pickle in pickle in bytes": Call(pickle.loads, pickle.dumps(Call(pickle.loads, pickle.dumps(system)))),
        "deep in a motion": {"motion": {"fps": 30.0, "dof": np.zeros((4, 29)), "points": {3: [(1, {"a": system})]}}},
        "as a key": {Call(str, "root_trans_offset"): 1},
        "object array": np.array([system, None], dtype=object),
        "scalar of objects": np.array([system], dtype=object)[:1],
        "structured array": np.zeros(2, dtype=[("a", "f4"), ("b", "O")]),
        "numpy.load": Call(np.load, str(canary)),
        "numpy.memmap": Call(np.memmap, str(canary), "u1", "w+", 0, (1,)),
        "numpy.vectorize": Call(np.vectorize, os.system),
        "torch tensor": torch.ones(3),
        "torch storage": torch.ones(3).untyped_storage(),
        "torch bytes": Call(torch.storage._load_from_bytes, pickle.dumps(system)),
        "joblib.load": Call(joblib.load, str(canary)),
    }


ATTACKS = sorted(attacks(Path("canary")))
LIVE = ("os.system", "posix.system", "subprocess", "eval", "exec", "partial", "partial chain", "pickle in bytes")
"""Attacks that are tried on the standard library to see that the corpus is not blank."""


def contents(attack: Any) -> list[bytes]:
    return [pack(pickle.dumps(attack, protocol=protocol)) for protocol in range(6) for pack in PACKS.values()]


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_runs_in_any_protocol_and_compression(tmp_path: Path, name: str) -> None:
    path, canary = tmp_path / "m.pkl", tmp_path / "canary"
    for content in contents(attacks(canary)[name]):
        path.write_bytes(content)
        with pytest.raises(UnsafePickleError, match=r"m\.pkl: refused"):
            load_safe(path)
    assert not canary.exists()


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 0), ("xz", 0)], ids=str)
def test_no_attack_runs_from_a_joblib_dump(tmp_path: Path, name: str, compress: Any) -> None:
    path, canary = tmp_path / "m.pkl", tmp_path / "canary"
    joblib.dump({"good": np.ones(3), "bad": attacks(canary)[name]}, path, compress=compress)
    with pytest.raises(UnsafePickleError, match=r"m\.pkl: refused"):
        load_safe(path)
    assert not canary.exists()


@pytest.mark.parametrize("name", LIVE)
def test_the_corpus_is_live(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    made = pickle.loads(pickle.dumps(attacks(canary)[name]))
    if isinstance(made, functools.partial):
        made()
    assert canary.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_torch_files_are_refused(tmp_path: Path, zipped: bool) -> None:
    path, canary = tmp_path / "m.pkl", tmp_path / "canary"
    torch.save({"a": torch.ones(2), "b": Call(os.system, touch(canary))}, path, _use_new_zipfile_serialization=zipped)
    for pack in PACKS.values():
        (tmp_path / "packed.pkl").write_bytes(pack(path.read_bytes()))
        with pytest.raises(UnsafePickleError, match=r"packed\.pkl: refused"):
            load_safe(tmp_path / "packed.pkl")
    assert not canary.exists()


def laughs(depth: int) -> bytes:
    """A tuple of two of a tuple of two of ...: small here, 2**depth parts for whoever walks it naively."""
    return b"\x80\x04)" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(depth))


BOMBS = {
    "a key that takes forever to hash": b"\x80\x04}" + laughs(100)[2:] + b"K\x01s.",
    "a set item that takes forever to hash": b"\x80\x04\x8f(" + laughs(100)[2:] + b"\x90.",
    "a dtype that takes forever to print": b"\x80\x04cnumpy\ndtype\n" + laughs(100)[2:] + b"\x85R.",
    "a shape that takes forever to print": (
        b"\x80\x04cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"
        + laughs(100)[2:]
        + b"N\x89C\x00tb."
    ),
    "a call that takes forever to print": b"\x80\x04" + laughs(100)[2:] + b")R.",
}


@pytest.mark.parametrize("name", sorted(BOMBS))
@pytest.mark.timeout(20)
def test_small_files_do_not_take_forever(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(BOMBS[name])
    with pytest.raises(UnsafePickleError) as error:
        load_safe(path)
    assert len(str(error.value)) < 1000


def test_a_memo_index_out_of_nowhere_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(b"\x80\x04Nr" + struct.pack("<I", 2**32 - 1) + b".")
    assert load_safe(path) is None


def test_registered_extension_codes_are_not_looked_up(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    copyreg.add_extension("os", "system", 240)
    try:
        path.write_bytes(b"\x80\x04\x82\xf0(X\x04\x00\x00\x00truetR.")
        with pytest.raises(UnsafePickleError, match="EXT1"):
            load_safe(path)
    finally:
        copyreg.remove_extension("os", "system", 240)


def test_a_library_names_every_malicious_file_and_keeps_the_good_motion(tmp_path: Path, library: Any, g1: RobotSpec) -> None:
    canary = tmp_path / "canary"
    library.add("good")
    files = {
        f"bad_{n:03}": content for n, name in enumerate(ATTACKS) for content in contents(attacks(canary)[name])[n % 36 :][:1]
    }
    for key, content in files.items():
        (library.root / "robot" / f"{key}.pkl").write_bytes(content)
    for part in ("objects", "meta"):  # the same in the other files of a motion
        library.add(f"in_{part}")
        (library.root / part / f"in_{part}.pkl").write_bytes(pickle.dumps(attacks(canary)["os.system"]))
    found = check_motion_library(MotionCfg(data=str(library.root)), g1, [GrailReader()], Needs())
    refused = {fault.path for fault in found.faults if "refused" in fault.reason}
    assert refused == {library.root / "robot" / f"{key}.pkl" for key in files} | {
        library.root / part / f"in_{part}.pkl" for part in ("objects", "meta")
    }
    assert found.num_usable == 1
    assert not canary.exists()
