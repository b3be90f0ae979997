"""Checkpoint formats: how a file becomes the dict a run works with. The framework's own comes first, plugins add others."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any, Final

import torch

from grail_framework.errors import CheckpointError, EnvContractError
from grail_framework.plugins.results import CheckpointFormat
from grail_framework.runs.release_format import RELEASE_FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FORMAT_VERSION: Final = 1
FORMAT_MARK: Final = "grail_framework_checkpoint"
_PLAIN = (bool, int, float, str, bytes, type(None))


def detect_native(path: Path) -> bool:
    """Look for the format's mark in the file's pickle, without unpickling it.

    Raises:
        CheckpointError: the file is a zip file whose checksums do not fit.
    """
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            return len(pickles) == 1 and FORMAT_MARK.encode() in archive.read(pickles[0])
    except zipfile.BadZipFile as error:
        raise _damaged(path, error) from error


def read_native(path: Path) -> dict[str, Any]:
    """Load the file.

    Raises:
        CheckpointError: it is damaged, or of a newer version than this framework.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch does not compare the checksums of tensors
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its zip reader, its unpickler or the disk came upon
        raise _damaged(path, error) from error
    version = state.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has checkpoint format {version}, this framework reads {FORMAT_VERSION}: use the framework it was written with"
        )
    return state


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} is damaged ({type(error).__name__}: {error}); use an older checkpoint")


NATIVE_FORMAT: Final = CheckpointFormat(name="grail_framework", detect=detect_native, read=read_native)
"""A torch zip file of tensors and plain values, read with `weights_only=True`.

Keys: format, format_version, iteration, model, optimizer, learning_rate, num_envs, env, rollout, rng (lists, one item per
rank), plugins, config_digest, observation_layout, contact_links, task, robot. A file that was converted has optimizer_moments, by
parameter, in place of optimizer.
"""
OWN_FORMATS: Final = (NATIVE_FORMAT, RELEASE_FORMAT)
"""Formats that are read without any plugin, in the order they are tried."""


def serialize(state: Mapping[str, Any]) -> memoryview:
    """Return the bytes of a checkpoint in the framework's format.

    They are made in memory, so that an error of the disk is an OSError of a plain write and not one inside torch's zip writer.

    Raises:
        EnvContractError: a value is neither a tensor nor plain; the message has its place.
    """
    check_plain(state)
    buffer = io.BytesIO()
    torch.save({"format": FORMAT_MARK, "format_version": FORMAT_VERSION, **state}, buffer)
    return buffer.getbuffer()


def check_plain(tree: Any, place: str = "state") -> None:
    """Demand tensors and plain values (numbers, strings, None, and dicts, lists and tuples of them).

    Raises:
        EnvContractError: something else is in there; only plain values load without running code from the file.
    """
    if type(tree) is torch.Tensor or type(tree) is torch.nn.Parameter or type(tree) in _PLAIN:
        return
    if type(tree) is dict:
        for key, value in tree.items():
            check_plain(key, f"{place}: key {key!r}")
            check_plain(value, f"{place}.{key}")
    elif type(tree) in (list, tuple):
        for index, value in enumerate(tree):
            check_plain(value, f"{place}[{index}]")
    else:
        kind = f"{type(tree).__module__}.{type(tree).__qualname__}"
        raise EnvContractError(
            f"{place} is a {kind}; a checkpoint holds tensors, numbers, strings, None, dicts, lists and tuples only"
        )


def read_checkpoint(path: Path, formats: Sequence[CheckpointFormat] = ()) -> dict[str, Any]:
    """Read a checkpoint of the framework's own format, the GRAIL release's, or one of `formats`, tried in this order.

    Raises:
        CheckpointError: the file is missing, damaged, of no known format, or holds no model.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {path}: {_look_around(path)}")
    found = find_format(path, formats)
    if found is None:
        tried = ", ".join(candidate.name for candidate in (*OWN_FORMATS, *formats))
        why = "" if zipfile.is_zipfile(path) else " (it has no zip directory: truncated, or not written by torch)"
        raise CheckpointError(f"{path} is no checkpoint of a known format{why}; tried: {tried}")
    state = found.read(path)
    if not isinstance(state.get("model"), dict):
        raise CheckpointError(f"{path} holds no model; it has: {', '.join(map(str, state)) or 'nothing'}")
    return state


def find_format(path: Path, formats: Sequence[CheckpointFormat] = ()) -> CheckpointFormat | None:
    """Return the format of a file, the framework's own and the release's tried before `formats`; None where it is of none.

    Raises:
        CheckpointError: it is a zip file whose checksums do not fit.
    """
    return next((candidate for candidate in (*OWN_FORMATS, *formats) if candidate.detect(path)), None)


def _look_around(path: Path) -> str:
    if path.is_symlink():
        return f"the link points to {path.readlink()}, which is not there"
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    found = sorted(entry.name for entry in path.parent.glob("*.pt"))
    return (
        f"{path.parent} has {', '.join(found[:8])}{', ...' if len(found) > 8 else ''}"
        if found
        else f"{path.parent} has no .pt files"
    )
