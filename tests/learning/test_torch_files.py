"""Reading torch files without executing them: the numbers are torch's own, foreign objects are inert, and nothing malicious runs."""

from __future__ import annotations

import argparse
import builtins
import collections
import dataclasses
import enum
import importlib
import os
import pathlib
import pickle
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from grail_framework.errors import CheckpointError
from grail_framework.learning.foreign import Foreign, attribute
from grail_framework.learning.torch_files import load_torch_file, mentions, read_torch_file
from grail_framework.testing.release_bundles import modules_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def pack(path: Path, program: bytes, **members: bytes) -> Path:
    """Write a file as torch does, around a pickle made by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", b"little")
        for name, content in members.items():
            archive.writestr(f"archive/data/{name.removeprefix('s')}", content)
    return path


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.bool),
        *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.float8_e4m3fn),
    ],
)
def test_tensors_of_every_kind_are_those_torch_reads(tmp_path: Path, dtype: torch.dtype):
    numbers = torch.arange(24).reshape(4, 6).to(dtype)
    views = {
        "whole": numbers,
        "transposed": numbers.t(),
        "part": numbers[1:3, ::2],
        "scalar": numbers[2, 3],
        "empty": numbers[:0],
        "expanded": numbers[:1, :1].expand(3, 5),
        "parameter": torch.nn.Parameter(numbers, requires_grad=False),
    }
    path = saved(tmp_path / "x.pt", views)
    expected, read = torch.load(path, weights_only=True), read_torch_file(path)
    for name, tensor in expected.items():
        assert type(read[name]) is torch.Tensor
        assert read[name].dtype == dtype
        assert torch.equal(read[name].to(torch.complex64), tensor.to(torch.complex64)), name
    assert read["part"].untyped_storage().data_ptr() == read["whole"].untyped_storage().data_ptr()


def test_a_trained_module_and_its_optimiser_come_back_bitwise(tmp_path: Path):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.randn(8, 3)).square().sum().backward()
    optimizer.step()
    path = saved(tmp_path / "x.pt", {"model": network.state_dict(), "optimizer": optimizer.state_dict()})
    file = load_torch_file(path)
    assert file.foreign == {}
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    other.load_state_dict(file.content["model"])
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True))
    assert list(file.content["model"]) == list(network.state_dict())
    assert file.content["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
    moments = optimizer.state_dict()["state"]
    assert torch.equal(file.content["optimizer"]["state"][3]["exp_avg"], moments[3]["exp_avg"])


def foreign_content() -> dict[str, type[Any]]:
    @dataclasses.dataclass
    class Config:
        learning_rate: float
        path: pathlib.PurePosixPath

    @dataclasses.dataclass(slots=True)
    class Slotted:
        width: int = 7

    class Slots:
        __slots__ = ("a", "b")

    class Bag(dict):
        pass

    class Row(list):
        pass

    class Factory:
        def __init__(self, size: int) -> None:
            self.size = size

        def __reduce__(self) -> Any:
            return type(self), (self.size,), {"size": self.size, "child": None}

    strategy = enum.Enum("Strategy", {"STEPS": "steps"})
    made = {"Config": Config, "Slotted": Slotted, "Slots": Slots, "Bag": Bag, "Row": Row, "Factory": Factory}
    return {f"gear_sonic.trl.config.{name}": cls for name, cls in made.items()} | {"transformers.utils.Strategy": strategy}


def test_objects_of_classes_that_are_not_here_keep_their_data(tmp_path: Path):
    classes = foreign_content()
    config, slotted, slots, bag, row, factory, strategy = classes.values()
    with modules_of(classes):
        filled = slots()
        filled.a, filled.b = 1, torch.ones(2)
        mapping, listing = bag(x=1), row([1, 2])
        mapping.note = "n"
        content = {
            "config": config(3e-5, pathlib.PurePosixPath("/data/x")),
            "slotted": slotted(),
            "slots": filled,
            "bag": mapping,
            "row": listing,
            "factory": factory(4),
            "strategy": strategy.STEPS,
            "keyed": {strategy.STEPS: 1, (1, "a"): 2},
            "class": config,
        }
        content["config"].again = content["config"]
        path = saved(tmp_path / "x.pt", content)
    assert "gear_sonic.trl.config" not in sys.modules
    file = load_torch_file(path)
    read = file.content
    assert "gear_sonic" not in sys.modules
    assert all(type(read[name]) is Foreign for name in content if name != "keyed")
    assert read["config"].name == "gear_sonic.trl.config.Config"
    assert attribute(read["config"], "learning_rate") == 3e-5
    assert attribute(read["config"], "again") is read["config"]
    assert (read["config"].attributes["path"].name, read["config"].attributes["path"].args) == (
        "pathlib.PurePosixPath",
        ("/", "data", "x"),
    )
    assert attribute(read["slotted"], "width") == 7
    assert read["slots"].attributes["b"].tolist() == [1.0, 1.0]
    assert read["bag"].items == [("x", 1)]
    assert attribute(read["bag"], "note") == "n"
    assert read["row"].elements == [1, 2]
    assert (read["factory"].args, read["factory"].attributes) == ((4,), {"size": 4, "child": None})
    assert (read["strategy"].name, read["strategy"].args) == ("transformers.utils.Strategy", ("steps",))
    assert read["keyed"] == {read["strategy"]: 1, (1, "a"): 2}
    assert read["class"].bare
    assert file.foreign["gear_sonic.trl.config.Config"] == 1
    assert file.foreign["transformers.utils.Strategy"] == 1


def test_plain_things_around_a_trainers_state(tmp_path: Path):
    objects = np.empty(2, dtype=object)
    objects[:] = ["walk__000", None]
    content = {
        "ordered": collections.OrderedDict(a=1),
        "default": collections.defaultdict(list, {1: [2]}),
        "counts": collections.Counter("aab"),
        "queue": collections.deque([1, 2], maxlen=5),
        "sets": ({1, 2}, frozenset("ab")),
        "numbers": (1 + 2j, 2**70, -1.5, True, None, b"x"),
        "size": torch.Size([2, 3]),
        "device": torch.device("cuda", 1),
        "dtype": torch.bfloat16,
        "array": np.arange(6.0).reshape(2, 3).T,
        "scalar": np.float32(1.5),
        "objects": objects,
    }
    read = read_torch_file(saved(tmp_path / "x.pt", content))
    assert read["ordered"] == {"a": 1}
    assert read["default"] == {1: [2]}
    assert read["counts"] == {"a": 2, "b": 1}
    assert read["queue"] == [1, 2]
    for name in ("sets", "numbers", "size", "device", "dtype", "scalar"):
        assert read[name] == content[name]
    np.testing.assert_array_equal(read["array"], content["array"])
    assert read["objects"].tolist() == ["walk__000", None]


def test_a_configuration_of_omegaconf_is_inert(tmp_path: Path):
    config = OmegaConf.create({"algo": {"hidden": [512, 256]}, "path": "${oc.env:HOME}"})
    file = load_torch_file(saved(tmp_path / "x.pt", {"config": config, "args": argparse.Namespace(learning_rate=1e-4)}))
    assert file.content["config"].name == "omegaconf.dictconfig.DictConfig"
    assert set(file.content["config"].attributes["_content"]) == {"algo", "path"}
    assert attribute(file.content["args"], "learning_rate") == 1e-4


class Call:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "posix.system"),
        (subprocess.check_call, "subprocess.check_call"),
        (builtins.eval, "builtins.eval"),
        (builtins.exec, "builtins.exec"),
        (importlib.import_module, "importlib.import_module"),
        (os.mkdir, "posix.mkdir"),
        (pickle.loads, "pickle.loads"),
        (torch.load, "torch.serialization.load"),
        (torch.hub.load, "torch.hub.load"),
    ],
)
def test_calls_in_a_pickle_are_named_and_not_made(tmp_path: Path, function: Any, name: str):
    canary = tmp_path / "canary"
    argument = f"open({str(canary)!r}, 'w')" if function in (eval, exec) else f"touch {canary}"
    argument = str(canary) if function is os.mkdir else argument
    path = saved(tmp_path / "x.pt", {"policy_state_dict": {}, "args": Call(function, argument)})
    file = load_torch_file(path)
    assert not canary.exists()
    assert file.foreign == {name: 1}
    assert (file.content["args"].name, file.content["args"].args) == (name, (argument,))


def test_what_is_called_and_thrown_away_is_named_too(tmp_path: Path):
    program = b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR0}."
    file = load_torch_file(pack(tmp_path / "x.pt", program))
    assert file.content == {}
    assert file.foreign == {"os.system": 1}


def test_attributes_of_our_stand_ins_cannot_be_reached(tmp_path: Path):
    # BUILD on a function would set its attributes; getattr would walk from it to everything.
    for program in (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb.",
        b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.",
        b"\x80\x02ctorch\nfloat32\n)R.",
    ):
        with pytest.raises(CheckpointError, match="cannot be read without executing it"):
            read_torch_file(pack(tmp_path / "x.pt", program))
    found = load_torch_file(
        pack(
            tmp_path / "x.pt",
            b"\x80\x02c__builtin__\ngetattr\n(ctorch\nfloat32\nX\x09\x00\x00\x00__class__tR(X\x01\x00\x00\x00atR.",
        )
    )
    assert found.content.name == "builtins.getattr()"
    assert found.foreign == {"builtins.getattr": 1}


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"\x80\x02}r\xff\xff\xff\xff.", None),  # a memo place that the C unpickler makes a table of 64 GB for
        (b"\x80\x02(K\x01K\x02", "damaged"),
        (b"\x80\x02\x82\x01.", "opcode EXT1"),
        (b"\x80\x02P0\n.", "opcode PERSID"),
        (b"\x80\x02K\x01Q.", "describes a storage in an unknown way"),
        (b"\x80\x02)}}\x86R.", "calls"),
        (b"\x80\x02})\x85\x85K\x01s.", "as a key"),
        (b"\x80\x02}}K\x01s.", "as a key"),
        (b"\x80\x02}K\x01.trailing", "bytes follow"),
    ],
)
def test_odd_programs_are_refused_or_harmless(tmp_path: Path, program: bytes, message: str | None):
    path = pack(tmp_path / "x.pt", program)
    if message is None:
        read_torch_file(path)
        return
    with pytest.raises(CheckpointError, match=message):
        read_torch_file(path)


def tensor_program(*, key: bytes = b"0", count: int = 4, offset: int = 0, size: int = 4, stride: int = 1) -> bytes:
    """Write the pickle of one float32 tensor of one dimension."""

    def number(value: int) -> bytes:
        return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00" + key + b"X\x03\x00\x00\x00cpu" + number(count)
    )
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + b"tQ"
        + number(offset)
        + number(size)
        + b"\x85"
        + number(stride)
        + b"\x85\x89}tR."
    )


def test_a_tensor_stays_within_its_storage(tmp_path: Path):
    numbers = np.arange(4, dtype=np.float32).tobytes()
    assert read_torch_file(pack(tmp_path / "x.pt", tensor_program(), s0=numbers)).tolist() == [0.0, 1.0, 2.0, 3.0]
    for wrong in (
        {"offset": 1},
        {"size": 5},
        {"stride": 2},
        {"stride": -1},
        {"offset": -1},
        {"count": 5},
        {"count": -4},
        {"key": b"1"},
        {"size": 1 << 40, "stride": 0},
        {"size": 1 << 62},
    ):
        with pytest.raises(CheckpointError, match=r"damaged|cannot be read"):
            read_torch_file(pack(tmp_path / "x.pt", tensor_program(**wrong), s0=numbers))


def test_a_wrong_checksum_is_found_in_numbers_and_in_the_pickle(tmp_path: Path):
    path = saved(tmp_path / "x.pt", {"weight": torch.full((64,), 3.0), "name": "checkpoint-name"})
    content = path.read_bytes()
    for mark in (torch.full((8,), 3.0).numpy().tobytes(), b"checkpoint-name"):
        changed = bytearray(content)
        changed[changed.index(mark) + 3] ^= 1
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match=r"is damaged \(.*CRC"):
            read_torch_file(path)


def test_files_of_other_kinds_are_refused_with_what_to_do(tmp_path: Path):
    path = tmp_path / "x.pt"

    def refusal() -> str:
        with pytest.raises(CheckpointError) as raised:
            read_torch_file(path)
        return str(raised.value)

    assert "no file" in refusal()
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    assert "format before 1.6" in refusal()
    assert "torch.save(torch.load(OLD, weights_only=False), NEW)" in refusal()
    path.write_bytes(b"not a checkpoint")
    assert "no file that torch.save wrote" in refusal()
    saved(path, {"a": torch.ones(2)})
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged" in refusal()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/b.txt", "x")
    assert "none that torch.save wrote" in refusal()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}." + b"\0" * 100_000)
    assert "compressed" in refusal()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/byteorder", b"big")
    assert "byte order" in refusal()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/constants.pkl", b"\x80\x02).")
    assert "TorchScript" in refusal()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("archive/data.pkl", b"\x80\x02].")
    assert "none that torch.save wrote" in refusal()


def test_names_cannot_write_to_a_terminal(tmp_path: Path):
    program = b"\x80\x02cevil\x1b[2J\nname" + b"x" * 500 + b"\n)R."
    (name,) = load_torch_file(pack(tmp_path / "x.pt", program)).foreign
    assert name.isprintable()
    assert len(name) < 300


def test_the_file_is_not_changed(tmp_path: Path):
    path = saved(tmp_path / "x.pt", {"a": torch.ones(2)})
    path.chmod(0o400)
    before = path.read_bytes()
    read_torch_file(path)["a"].add_(1.0)
    assert path.read_bytes() == before


def test_damaged_pickles_end_in_one_kind_of_error(tmp_path: Path):
    with zipfile.ZipFile(
        saved(tmp_path / "x.pt", {"a": torch.ones(4), "b": [collections.OrderedDict(x=np.arange(3)), {1, 2}]})
    ) as archive:
        program = archive.read("x/data.pkl")
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        changed = bytearray(program)
        for place in random.integers(len(program), size=3):
            changed[place] = random.integers(256)
        try:
            load_torch_file(pack(tmp_path / "y.pt", bytes(changed), s0=bytes(16)))
        except CheckpointError:
            refused += 1
    assert refused > 100


def test_mentions_never_raises(tmp_path: Path):
    path = saved(tmp_path / "x.pt", {"policy_state_dict": 1})
    assert mentions(path, "policy_state_dict")
    assert not mentions(path, "other")
    assert not mentions(tmp_path / "none.pt", "x")
    path.write_bytes(b"PK\x03\x04")
    assert not mentions(path, "x")
