"""What is inside a checkpoint, said without executing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from grail_framework.errors import CheckpointError
from grail_framework.learning.bundles import CRITIC, MODEL_CONFIG, find_checkpoint, read_model_config
from grail_framework.learning.foreign import Foreign, printable
from grail_framework.learning.torch_files import load_torch_file
from grail_framework.runs.formats import OWN_FORMATS, find_format, read_checkpoint
from grail_framework.runs.release_format import moments_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from grail_framework.plugins.results import CheckpointFormat

_MOST_TENSORS: Final = 10_000
_SAID: Final = ("iteration", "learning_rate", "task", "robot", "num_envs", "config_digest", "format_version", "converted_from")


def inspect_checkpoint(where: Path, formats: Sequence[CheckpointFormat] = ()) -> dict[str, Any]:
    """Say what a file of `torch.save`, a bundle's folder or a run directory holds; plain values, as JSON takes them.

    Keys: path, size [bytes], format (None: none that is known, only listed), iteration, learning_rate, task, robot, num_envs,
    config_digest, format_version, converted_from (each None where the file does not say), plugins, observation_layout, parameters (name,
    part, shape, dtype), num_parameters by part, optimizer (parameters with moments, problem), holds (key, what), foreign (name,
    objects: what the pickle names of other packages), model_config (its path and its top level, or None), problems.

    Args:
        where: what to look into.
        formats: checkpoint formats of plugins; a file that is of none of torch's is read by its plugin.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    path = find_checkpoint(where)
    found = find_format(path, formats)
    is_torch = found is None or found in OWN_FORMATS
    content, foreign = _torch_content(path) if is_torch else (None, {})
    state, problems = _state(path, found, formats)
    tensors = state["model"] if state else dict(_tensors(content))
    said = state or (content if isinstance(content, dict) else {})
    return {
        "path": str(path),
        "size": path.stat().st_size,
        "format": None if found is None else found.name,
        **{key: _plain(said.get(key)) for key in _SAID},
        "plugins": _plain(said.get("plugins")) or [],
        "observation_layout": _plain(said.get("observation_layout")) or {},
        "parameters": [_parameter(name, tensor, known=bool(state)) for name, tensor in tensors.items()],
        "num_parameters": _counts(tensors) if state else {},
        "optimizer": _optimizer(state),
        "holds": [{"key": key_text(key), "what": describe(value)} for key, value in _items(content, state)],
        "foreign": [{"name": name, "objects": count} for name, count in sorted(foreign.items())],
        "model_config": _model_config(path),
        "problems": problems,
    }


def _torch_content(path: Path) -> tuple[Any, dict[str, int]]:
    file = load_torch_file(path)
    return file.content, file.foreign


def _state(path: Path, found: CheckpointFormat | None, formats: Sequence[CheckpointFormat]) -> tuple[dict[str, Any], list[str]]:
    """Read the file as a run would; what a run would refuse is a problem here and no error."""
    if found is None:
        return {}, ["it is of no known checkpoint format, and no run can start from it"]
    try:
        return read_checkpoint(path, formats), []
    except CheckpointError as error:
        return {}, [str(error)]


def _items(content: Any, state: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    return list((content if isinstance(content, dict) else state).items())


def _parameter(name: str, tensor: torch.Tensor, *, known: bool) -> dict[str, Any]:
    part = ("critic" if name.startswith(CRITIC) else "actor") if known else None
    return {
        "name": printable(name),
        "part": part,
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
    }


def _counts(tensors: Mapping[str, torch.Tensor]) -> dict[str, int]:
    critic = sum(tensor.numel() for name, tensor in tensors.items() if name.startswith(CRITIC))
    return {"actor": sum(tensor.numel() for tensor in tensors.values()) - critic, "critic": critic}


def _optimizer(state: Mapping[str, Any]) -> dict[str, Any] | None:
    if not state:
        return None
    moments, problem = moments_of(state)
    return {"moments": len(moments or ()), "problem": problem or None}


def _model_config(path: Path) -> dict[str, Any] | None:
    beside = path.parent / MODEL_CONFIG
    if not beside.is_file():
        return None
    return {"path": str(beside), "keys": {key_text(key): describe(value) for key, value in read_model_config(beside).items()}}


def _tensors(content: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield tensors in dictionaries, lists and tuples with their places, each container once."""
    pending: list[tuple[str, Any]] = [("", content)]
    seen: set[int] = set()
    count = 0
    while pending and count < _MOST_TENSORS:
        place, value = pending.pop()
        if isinstance(value, torch.Tensor):
            count += 1
            yield place, value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            items = list(value.items() if isinstance(value, dict) else enumerate(value))
            pending += [(f"{place}.{key_text(key)}" if place else key_text(key), item) for key, item in reversed(items)]


def _plain(value: Any) -> Any:
    """Return a value as JSON takes it; what is not plain is described. Its size is bounded: a small file can make endless trees."""
    return _plain_within(value, [_MOST_TENSORS], depth=20)


def _plain_within(value: Any, left: list[int], *, depth: int) -> Any:
    left[0] -= 1
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() < 64):
        return value
    if isinstance(value, str):
        return printable(value, 2000)
    if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_complex():
        return value.item()
    if depth and isinstance(value, dict | list | tuple) and len(value) < left[0]:
        if isinstance(value, dict):
            return {key_text(key): _plain_within(item, left, depth=depth - 1) for key, item in value.items()}
        return [_plain_within(item, left, depth=depth - 1) for item in value]
    return describe(value)


def key_text(key: Any) -> str:
    """Return the key of a dictionary of a file as text."""
    return printable(key) if isinstance(key, str) else describe(key)


def describe(value: Any) -> str:
    """Say in a few words what a value of a file is."""
    if isinstance(value, torch.Tensor):
        return f"tensor {tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, Foreign):
        return f"{'the name' if value.bare else 'an object of'} {value.name}"
    if isinstance(value, dict | list | tuple | set | frozenset):
        count = len(value)
        return f"{type(value).__name__} of {count} item{'' if count == 1 else 's'}"
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and value.bit_length() < 64):
        return repr(value)
    if isinstance(value, int):
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return repr(printable(value, 80))
    return f"a {type(value).__name__}"
