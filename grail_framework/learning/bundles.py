"""Bundles of the GRAIL release: a folder with the networks in `last.pt`, and for a base policy `model_config.yaml` beside them.

The names of parameters are the release's in the file and the framework's in memory. They differ where the framework has actor and
critic in one module: the release's value network is a module of its own, with its input normaliser beside its layers.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch
import yaml

from grail_framework.errors import CheckpointError
from grail_framework.learning.torch_files import load_torch_file
from grail_framework.learning.universal_token.input_normalizers import without_normalizers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CHECKPOINT: Final = "last.pt"
MODEL_CONFIG: Final = "model_config.yaml"
POLICY, VALUE, ACTOR_MODEL = "policy_state_dict", "value_state_dict", "actor_model_state_dict"
CRITIC: Final = "critic_module."
"""How the names of the value network's parameters begin in the framework."""
_NORMALISER: Final = "running_mean_std."
_OF_NORMALISER: Final = {POLICY: "actor_module.", VALUE: CRITIC}
_OLD_PACKAGE, _NEW_PACKAGE = "groot.rl.", "gear_sonic."
_MAX_CONFIG: Final = 16 << 20
_SUFFIXES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "num_tokens": (("max_num_tokens",), ("num_tokens",)),
    "token_dim": (("num_fsq_levels",), ("token_dim",)),
    "fsq_levels": (("fsq_level_list",), ("fsq_levels",)),
    "proprioception_dim": (("obs_dim_dict", "actor_obs"), ("proprioception_dim",)),
    "tokenizer_dim": (("obs_dim_dict", "tokenizer"), ("tokenizer_dim",)),
    "decoder_input_dim": (("decoder_input_dim",),),
    "num_actions": (("num_actions",), ("actions_dim",), ("action_dim",)),
}
"""Under which keys of a `model_config.yaml` a width may stand, as the ends of their paths."""


@attrs.frozen(kw_only=True)
class Bundle:
    """The networks of a file, and what stands beside them."""

    path: Path
    """The file."""
    policy: dict[str, torch.Tensor]
    """The actor's parameters by the framework's names: `actor_module.*`, `std`."""
    value: dict[str, torch.Tensor] | None
    """The critic's, `critic_module.*`; None where the file has none."""
    model_config: dict[str, Any] | None
    """Content of `model_config.yaml`, class paths of the release's old package rewritten to its new one; None where there is none."""
    extra: dict[str, Any] = attrs.field(factory=dict)
    """What else the file holds, as `load_torch_file` reads it."""


def read_bundle(where: Path) -> Bundle:
    """Read networks from a checkpoint file (the release's or the framework's own), a bundle's folder or a run directory.

    Raises:
        CheckpointError: nothing is there, it is damaged, or it holds no policy.
    """
    path = find_checkpoint(where)
    content = load_torch_file(path).content
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, where a checkpoint is a dictionary")
    if isinstance(content.get("model"), dict):
        policy, value = leaving(tensors(content["model"], "model", path))
        used = {"model"}
    else:
        policy, value = networks_of(content, path)
        used = {POLICY, VALUE, ACTOR_MODEL}
    extra = {str(key): item for key, item in content.items() if key not in used}
    return Bundle(path=path, policy=policy, value=value, model_config=model_config_beside(path), extra=extra)


def find_checkpoint(where: Path) -> Path:
    """Return the file that a path means: itself, or in a folder its `last.pt`, or that of the bundle in a run directory.

    Raises:
        CheckpointError: there is none.
    """
    if not where.is_dir():
        if not where.is_file():
            raise CheckpointError(f"no checkpoint {where}; allowed: a *.pt file, a bundle's folder or a run directory")
        return where
    for path in (where / CHECKPOINT, where / "bundle" / CHECKPOINT):
        if path.is_file():
            return path
    found = ", ".join(sorted(entry.name for entry in where.glob("*.pt"))[:8]) or "no *.pt file"
    raise CheckpointError(f"{where} has no {CHECKPOINT}; it has {found}")


def networks_of(content: Mapping[Any, Any], path: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor] | None]:
    """Return policy and value network of a release checkpoint's content, by the framework's names.

    Raises:
        CheckpointError: it holds no policy, or something else than tensors in it.
    """
    found = next((name for name in (ACTOR_MODEL, POLICY) if content.get(name) is not None), None)
    if found is None:
        keys = ", ".join(map(str, list(content)[:12])) or "nothing"
        raise CheckpointError(f"{path} holds no {POLICY}; it has: {keys}")
    value = content.get(VALUE)
    own = None if value is None else _renamed(tensors(value, VALUE, path), VALUE)
    return _renamed(tensors(content[found], found, path), POLICY), own


def split(model: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor] | None]:
    """Split a network of the framework into the actor's parameters and the critic's; None where it has none of a critic."""
    value = {name: tensor for name, tensor in model.items() if name.startswith(CRITIC)}
    return {name: tensor for name, tensor in model.items() if name not in value}, value or None


def leaving(model: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor] | None]:
    """Split a network as it leaves the framework: with the release's parameters, normalised inputs made part of the first layers."""
    return split(without_normalizers(model))


def tensors(state: object, what: str, path: Path) -> dict[str, torch.Tensor]:
    """Demand a dictionary of tensors by name.

    Raises:
        CheckpointError: it is none; what is wrong with it is said.
    """
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: its {what} is a {type(state).__name__}, where a dictionary of tensors is needed")
    for name, tensor in state.items():
        if type(name) is not str or type(tensor) is not torch.Tensor:
            raise CheckpointError(f"{path}: {name!r} of its {what} is {tensor!r:.80}, where a tensor is needed")
    return dict(state)


def _renamed(state: dict[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    """Give parameters of the release the framework's names."""
    owner = _OF_NORMALISER[part]
    return {owner + name if name.startswith(_NORMALISER) else name: tensor for name, tensor in state.items()}


def release_names(state: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Give parameters of the framework (`part` is POLICY or VALUE) the release's names."""
    owner = _OF_NORMALISER[part]
    return {name.removeprefix(owner) if name.startswith(owner + _NORMALISER) else name: item for name, item in state.items()}


def write_bundle(
    folder: Path,
    *,
    policy: Mapping[str, torch.Tensor],
    value: Mapping[str, torch.Tensor] | None,
    model_config: Mapping[str, Any] | None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write `last.pt` and, unless it is None, `model_config.yaml` in the release's layout; older ones are replaced.

    Args:
        folder: made if it does not exist.
        policy: the actor's parameters by the framework's names.
        value: the critic's; None leaves them out.
        model_config: plain values.
        extra: further keys of the file.

    Raises:
        CheckpointError: the disk does not take it; what was there stays.
    """
    # Where there is no critic the key is left out: the release's loader takes None for a network.
    critic = {} if value is None else {VALUE: portable(release_names(value, VALUE))}
    content = {POLICY: portable(release_names(policy, POLICY)), **critic, **(extra or {})}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / CHECKPOINT, buffer.getbuffer())
        if model_config is None:
            (folder / MODEL_CONFIG).unlink(missing_ok=True)
        else:
            text = yaml.safe_dump(dict(model_config), sort_keys=False, allow_unicode=True)
            _replace(folder / MODEL_CONFIG, text.encode())
    except OSError as error:
        raise CheckpointError(f"the bundle {folder} cannot be written ({error.strerror}); make room or name another") from error


def portable(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bring tensors to the CPU, each with numbers of its own: a view would bring the whole of what it is a view of into the file."""
    return {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}


def _replace(path: Path, content: bytes | memoryview) -> None:
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


class _PlainLoader(yaml.SafeLoader):
    """Reads values with tags of other programs as if they had none; nothing is made of the classes they name."""


def _untagged(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)  # pyright: ignore[reportArgumentType]


_PlainLoader.add_multi_constructor("", _untagged)


def model_config_beside(path: Path) -> dict[str, Any] | None:
    """Return the `model_config.yaml` that belongs to a checkpoint, beside it or in the bundle of its run; None where there is none.

    Raises:
        CheckpointError: it cannot be read.
    """
    for candidate in (path.parent / MODEL_CONFIG, path.parent / "bundle" / MODEL_CONFIG):
        if candidate.is_file():
            return read_model_config(candidate)
    return None


def read_model_config(path: Path) -> dict[str, Any]:
    """Read a `model_config.yaml`, class paths of the release's old package rewritten.

    Raises:
        CheckpointError: it cannot be read, or is no mapping.
    """
    try:
        if path.stat().st_size > _MAX_CONFIG:
            raise CheckpointError(f"{path} has more than {_MAX_CONFIG} bytes, which no model_config.yaml needs")
        text = path.read_text(encoding="utf-8")
        tree = yaml.load(rewrite_class_paths(text), Loader=_PlainLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise CheckpointError(f"{path} is not readable as YAML: {error}") from error
    if not isinstance(tree, dict):
        raise CheckpointError(f"{path} holds a {type(tree).__name__}, where a mapping is needed")
    return tree


def rewrite_class_paths(text: str) -> str:
    """Rewrite class paths of the release's old package to its new one, as the release does with old bundles."""
    return text.replace(_OLD_PACKAGE, _NEW_PACKAGE)


def check_model_config(config: Mapping[str, Any], module_widths: Mapping[str, int]) -> list[str]:
    """Compare a `model_config.yaml` with what names and shapes of the weights say; one line for each contradiction.

    The file's schema is not published, so only keys that are known are looked for, anywhere in it; where none is found, or one of
    several agrees, there is no contradiction.

    Args:
        config: the file's content.
        module_widths: widths by name: num_tokens, token_dim, fsq_levels, proprioception_dim, tokenizer_dim, decoder_input_dim,
            num_actions, or any other key as it would stand in the file.
    """
    found: dict[str, list[tuple[str, int]]] = {name: [] for name in module_widths}
    for path, value in _numbers(config):
        for name in module_widths:
            if any(path[-len(suffix) :] == suffix for suffix in _SUFFIXES.get(name, ((name,),))):
                found[name].append((".".join(path), value))
    return [
        f"{MODEL_CONFIG} says {key}={value}, and the weights have {name} {module_widths[name]}"
        for name, places in found.items()
        if places and all(value != module_widths[name] for _, value in places)
        for key, value in places[:1]
    ]


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield every whole number with the path of its key; a list of equal numbers counts as one of them."""
    pending: list[tuple[tuple[str, ...], Any]] = [((), config)]
    seen: set[int] = set()
    while pending:
        path, value = pending.pop()
        if isinstance(value, bool):
            continue
        if isinstance(value, int):
            yield path, value
        elif isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, dict):
                pending += [((*path, str(key)), item) for key, item in value.items()]
            elif value and all(type(item) is int and item == value[0] for item in value):
                yield path, value[0]
            else:
                pending += [(path, item) for item in value if isinstance(item, dict | list)]
