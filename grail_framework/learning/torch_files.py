"""Read what `torch.save` wrote without executing it.

A trainer's checkpoint is a zip file of raw numbers and of a pickle, a program, that names the trainer's classes. Here the program is
run by a machine of our own that makes tensors and plain values, and an inert `Foreign` of everything else.

Format: torch's zip files (torch 1.6 and later), the `zipfile` and `pickle` modules.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch

from grail_framework.errors import CheckpointError
from grail_framework.learning.torch_machine import TorchMachine, run_torch_pickle
from grail_framework.learning.torch_values import Storage
from grail_framework.motion.pickle_values import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

MAX_PICKLE: Final = 64 << 20
"""Bound of the pickle in a file; the numbers of tensors are beside it. [bytes]"""
_PICKLE: Final = "data.pkl"
_CHUNK: Final = 16 << 20
_LEGACY: Final = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files began before torch 1.6: the pickle of a number."""
_RESAVE: Final = (
    "where you trust it, load it with torch and save it again: torch.save(torch.load(OLD, weights_only=False), NEW)"
)


@attrs.frozen(kw_only=True)
class TorchFile:
    """What a file holds."""

    content: Any
    """Tensors on the CPU, plain values, dicts, lists, tuples and sets; `Foreign` for objects of other classes."""
    foreign: dict[str, int]
    """What the pickle names beyond torch's and numpy's own: how many objects of it, or calls, by name; 0 where it is only named."""


def read_torch_file(path: Path) -> Any:
    """Read the content of a file; see `load_torch_file`."""
    return load_torch_file(path).content


def load_torch_file(path: Path) -> TorchFile:
    """Read a file that `torch.save` wrote. Nothing that it names is imported or called, and every checksum is compared.

    Memory is bounded by the size of the file. Tensors that shared their numbers do so again.

    Raises:
        CheckpointError: no zip file of torch, or a damaged one, or one that holds what cannot be represented.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            reader = _Archive(archive, path)
            machine = TorchMachine(bytearray(reader.read(_PICKLE, MAX_PICKLE)), reader.storage)
            content = run_torch_pickle(machine)
    except CheckpointError:
        raise
    except RefusedError as refusal:
        raise CheckpointError(f"{path} cannot be read without executing it: {refusal}") from None
    except FileNotFoundError:
        raise CheckpointError(f"no file {path}") from None
    except zipfile.BadZipFile as error:
        raise CheckpointError(_no_archive(path, error)) from None
    # The pickle of a damaged file is a program of random bytes: what it raises cannot be listed, and all of it means the same.
    except Exception as error:
        raise CheckpointError(f"{path} is damaged ({type(error).__name__}: {error}); copy or download it again") from error
    return TorchFile(content=content, foreign=machine.foreign)


def mentions(path: Path, *texts: str) -> bool:
    """Tell whether a file is a zip file of torch whose pickle has one of some texts in it; False for all other files."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = _Archive(archive, path).read(_PICKLE, MAX_PICKLE)
    # Whatever is wrong with it, reading it says so; here the answer is that it is not known to be of a format.
    except Exception:
        return False
    return any(text.encode() in content for text in texts)


class _Archive:
    """The members of a torch file, which lie in one folder."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        members = archive.infolist()
        names = [member.filename for member in members]
        pickles = [name for name in names if name.endswith(f"/{_PICKLE}") and name.count("/") == 1]
        if len(pickles) != 1 or len(set(names)) != len(names):
            raise CheckpointError(f"{path} is a zip file, but none that torch.save wrote; allowed: a checkpoint (*.pt)")
        self._root = pickles[0].removesuffix(_PICKLE)
        self._archive, self._path = archive, path
        self._members = {member.filename: member for member in members}
        self._storages: dict[str, torch.Tensor] = {}
        if f"{self._root}constants.pkl" in self._members:
            raise CheckpointError(
                f"{path} is a TorchScript program, which holds code; allowed: a checkpoint that torch.save wrote"
            )
        # Members are as they are in the file, so that they cannot be more than the file.
        if any(m.compress_type != zipfile.ZIP_STORED or m.compress_size != m.file_size for m in members) or sum(
            m.file_size for m in members
        ) > _size(path):
            raise CheckpointError(f"{path} is compressed, which torch.save never does; {_RESAVE}")
        order = f"{self._root}byteorder"
        if order in self._members and (found := self._read(order)) != b"little":
            raise CheckpointError(f"{path} has the byte order {found[:16]!r}, and only little-endian files are read; {_RESAVE}")

    def read(self, name: str, limit: int) -> bytes:
        """Return a member of the folder."""
        member = self._members[self._root + name]
        if member.file_size > limit:
            raise CheckpointError(f"{self._path}: its {name} has {member.file_size} bytes, and at most {limit} are read")
        return self._read(member.filename)

    def _read(self, name: str) -> bytes:
        return self._archive.read(name)

    def storage(self, key: str, size: int, dtype: torch.dtype) -> Storage:
        """Return a storage of `size` numbers, read once for all tensors in it."""
        if key not in self._storages:
            self._storages[key] = self._numbers(f"{self._root}data/{key}")
        data = self._storages[key]
        if size < 0 or data.numel() != size * dtype.itemsize:
            raise ValueError(f"storage {key[:20]!r} has {data.numel()} bytes in place of {size} x {dtype.itemsize}")
        return Storage(data, dtype)

    def _numbers(self, name: str) -> torch.Tensor:
        member = self._members[name]
        data = torch.empty(member.file_size, dtype=torch.uint8)
        view, done = memoryview(data.numpy()), 0
        with self._archive.open(member) as file:
            # To its end, where the zip reader compares the checksum.
            while chunk := file.read(_CHUNK):
                view[done : done + len(chunk)] = chunk
                done += len(chunk)
        if done != member.file_size:
            raise EOFError(f"{name} ends {member.file_size - done} bytes too early")
        return data


def _size(path: Path) -> int:
    return path.stat().st_size


def _no_archive(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start = file.read(len(_LEGACY))
    if start == _LEGACY:
        return f"{path} is of torch's format before 1.6, a sequence of pickles, and is not read; {_RESAVE}"
    if start.startswith(b"PK"):
        return f"{path} is damaged ({error}); copy or download it again"
    return f"{path} is no file that torch.save wrote (it has no zip directory: truncated, or another format)"
