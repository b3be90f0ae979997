"""Checkpoints of the framework for the GRAIL release, and the release's for the framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from grail_framework.errors import CheckpointError, ConfigError
from grail_framework.learning.bundles import CHECKPOINT, find_checkpoint, model_config_beside, portable
from grail_framework.runs.atomic import atomic_file
from grail_framework.runs.formats import find_format, read_checkpoint, serialize
from grail_framework.runs.release_format import IDENTITY, changed_weights, moments_of, write_release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from grail_framework.plugins.results import CheckpointFormat
    from grail_framework.runs.moments import Moments

Target = Literal["release", "native"]
TARGETS: Final[tuple[Target, ...]] = ("release", "native")


@attrs.frozen(kw_only=True)
class Conversion:
    """What `convert_checkpoint` wrote."""

    source: Path
    """The file that was read."""
    source_format: str
    """Its format's name."""
    destination: Path
    """The file that was written."""
    iteration: int | None
    """Iterations of training behind it; None where the file does not say."""
    parameters: int
    """Number of tensors of the networks."""
    moments: int
    """Number of parameters whose moments of the optimiser came along."""
    notes: tuple[str, ...]
    """What did not, a sentence each."""


def convert_checkpoint(
    source: Path, destination: Path, *, to: Target, overwrite: bool = False, formats: Sequence[CheckpointFormat] = ()
) -> Conversion:
    """Read a checkpoint of any known format and write its networks, moments and learning rate in another.

    Args:
        source: a file, a bundle's folder or a run directory.
        destination: for `release` a folder, which gets `last.pt` and, where the source has one, `model_config.yaml`; for `native` a
            file whose name ends in `.pt`, which `--checkpoint` accepts.
        to: the format to write.
        overwrite: replace what is there.
        formats: checkpoint formats of plugins.

    Raises:
        CheckpointError: the source cannot be read, or the destination cannot be written.
        ConfigError: the destination has the wrong name, is there already, or is the source.
    """
    path = find_checkpoint(source)
    target = _target(destination, to)
    if target.exists() and (not overwrite or target.resolve() == path.resolve()):
        raise ConfigError(
            f"{target} exists already; name another destination{'' if overwrite else ', or replace it (--force)'}"
        )
    state = read_checkpoint(path, formats)
    found = find_format(path, formats)
    assert found is not None  # it has just been read
    moments, problem = moments_of(state)
    if to == "release":
        changed = changed_weights(state)
        moments = None if moments is None else {name: moment for name, moment in moments.items() if name not in changed}
        write_release(target, state, model_config=model_config_beside(path))
    else:
        _write_native(target, state, moments, source=path, source_format=found.name)
    return Conversion(
        source=path,
        source_format=found.name,
        destination=target,
        iteration=state.get("iteration"),
        parameters=len(state["model"]),
        moments=len(moments or ()),
        notes=tuple(_notes(state, to, problem if moments is None else None)),
    )


def _target(destination: Path, to: Target) -> Path:
    if to not in TARGETS:
        raise ConfigError(f"--to: got {to!r}, allowed: {', '.join(TARGETS)}")
    if to == "release":
        folder = destination.parent if destination.name == CHECKPOINT else destination
        if folder.suffix == ".pt" or folder.is_file():
            raise ConfigError(f"{destination}: the release's checkpoints are folders with {CHECKPOINT}; name a folder")
        return folder / CHECKPOINT
    if destination.suffix != ".pt" or destination.is_dir():
        raise ConfigError(f"{destination}: name a file that ends in .pt, for --checkpoint")
    return destination


def _write_native(path: Path, state: Mapping[str, Any], moments: Moments | None, *, source: Path, source_format: str) -> None:
    content: dict[str, Any] = {
        "iteration": state.get("iteration", 0),
        "model": portable(state["model"]),
        **{key: state[key] for key in (*IDENTITY, "absent") if key in state},
        "converted_from": {"file": str(source), "format": source_format},
    }
    if moments is not None:
        content["optimizer_moments"] = {name: portable(moment) for name, moment in moments.items()}
    if "learning_rate" in state:
        content["learning_rate"] = float(state["learning_rate"])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(serialize(content))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written ({error.strerror}); make room or name another destination") from error


def _notes(state: Mapping[str, Any], to: Target, problem: str | None) -> list[str]:
    notes: list[str] = []
    if absent := state.get("absent"):
        notes.append(f"the source has no weights of {', '.join(name.rstrip('.') for name in absent)}; a run keeps its own")
    if problem is not None:
        notes.append(f"the optimiser state is left out: {problem}")
    if "learning_rate" not in state:
        notes.append("the source does not say its learning rate, so a warm resume from what is written is not possible")
    if "env" in state:
        notes.append("the states of environments and random generators are left out: they are of the run they were saved in")
    if to == "release" and (changed := changed_weights(state)):
        notes.append(
            f"the inputs of {', '.join(changed)} were normalised: the statistics are part of the weights now, and their moments left out"
        )
    if to == "release":
        notes.append("no config.yaml is written: the release composes its own with +exp=...")
    return notes
