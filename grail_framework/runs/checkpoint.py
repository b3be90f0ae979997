"""Writing checkpoints of a run, pruning old ones, and saying exactly how one does not fit."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import attrs

from grail_framework.errors import CheckpointError
from grail_framework.runs.atomic import atomic_file, link_atomically, remove_partial_files, sync
from grail_framework.runs.directory import list_checkpoints
from grail_framework.runs.formats import serialize

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from grail_framework.config import CheckpointCfg
    from grail_framework.runs.directory import RunDirectory

_log = logging.getLogger(__name__)
_SHOWN = 6


@attrs.frozen(kw_only=True)
class RunIdentity:
    """What a checkpoint says about the run that wrote it, beside the run's state."""

    plugins: list[dict[str, str]] = attrs.field(factory=list)
    """{name, version, target} of each active plugin."""
    config_digest: str = ""
    """Digest of the configuration without logging and run length."""
    observation_layout: dict[str, dict[str, int]] = attrs.field(factory=dict)
    """Per observation group its terms, in order, with their widths."""
    task: str = ""
    """Qualified name of the task."""
    robot: str = ""
    """Registry name of the robot."""


class CheckpointWriter:
    """Writes `model_step_NNNNNN.pt`, moves `last.pt` to it and prunes; on the main process only.

    A checkpoint is whole before its name appears, and the link is moved, and older files are removed, only after that. The lines of
    `metrics.jsonl` up to its iteration, which a resume keeps, are on the disk before it.
    """

    def __init__(self, directory: RunDirectory, cfg: CheckpointCfg, identity: RunIdentity) -> None:
        self.directory = directory
        self.cfg = cfg
        self.identity = identity
        self._failing = False
        try:
            remove_partial_files(directory.path)
        except OSError as error:
            _log.warning("files that a killed process left half written could not be removed: %s", error)

    def save(self, state: Mapping[str, Any]) -> Path | None:
        """Write a state that has `iteration`; None, with an error in the log, where the disk does not take it.

        Raises:
            EnvContractError: the state holds something else than tensors and plain values.
        """
        iteration = int(state["iteration"])
        path = self.directory.step(iteration)
        content = serialize({**state, **attrs.asdict(self.identity)})
        with contextlib.suppress(OSError):  # a file of metrics that is not there or refused is its writer's to report
            sync(self.directory.metrics)
        try:
            with atomic_file(path) as file:
                file.write(content)
            link_atomically(self.directory.last, path.name)
        except OSError as error:
            _log.error(
                "CHECKPOINT NOT WRITTEN: iteration %d, %s: %s. Training goes on; %s. Free or repair the disk: "
                "the next attempt is in %d iterations",
                iteration,
                path,
                error,
                self._newest(),
                self.cfg.last_frequency,
            )
            self._failing = True
            return None
        if self._failing:
            _log.warning("checkpoints are written again: %s", path)
            self._failing = False
        self._prune(iteration)
        return path

    def _newest(self) -> str:
        try:
            return f"{self.directory.last.readlink()} is still whole"
        except OSError:
            return "there is no earlier one"

    def _prune(self, newest: int) -> None:
        try:
            for step, path in list_checkpoints(self.directory.path):
                if step < newest and step % self.cfg.save_frequency != 0:
                    path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("an old checkpoint could not be removed: %s", error)


def check_model(
    saved: Mapping[str, torch.Tensor],
    own: Mapping[str, torch.Tensor],
    *,
    where: str,
    saved_layout: Mapping[str, Mapping[str, int]] | None = None,
    own_layout: Mapping[str, Mapping[str, int]] | None = None,
) -> None:
    """Demand that a checkpoint's network has the run's names and shapes; `where` names the checkpoint.

    Raises:
        CheckpointError: with every kind of difference, both shapes, and the observation terms that differ where both layouts are known.
    """
    problems = [
        f"{name}: {tuple(saved[name].shape)} in the checkpoint, {tuple(own[name].shape)} in this run"
        for name in own
        if name in saved and saved[name].shape != own[name].shape
    ]
    missing = [name for name in own if name not in saved]
    unknown = [name for name in saved if name not in own]
    if not problems and not missing and not unknown:
        return
    lines = problems[:_SHOWN]
    lines += [f"... and {len(problems) - _SHOWN} more shapes"] if len(problems) > _SHOWN else []
    lines += [f"not in the checkpoint: {_some(missing)}"] if missing else []
    lines += [f"not in this run's network: {_some(unknown)}"] if unknown else []
    lines += layout_differences(saved_layout or {}, own_layout or {})
    raise CheckpointError(
        f"{where} does not fit this run's network:\n  " + "\n  ".join(lines) + "\nUse the task and network settings it was "
        "trained with (the config.yaml beside it), or train from scratch"
    )


def layout_differences(saved: Mapping[str, Mapping[str, int]], own: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Say which observation terms differ in width, are gone or are new, one line each; empty where a layout is unknown."""
    lines: list[str] = []
    if not saved or not own:
        return lines
    for group in sorted(saved.keys() | own.keys()):
        before, now = saved.get(group, {}), own.get(group, {})
        for term in [*before, *(term for term in now if term not in before)]:
            if before.get(term) != now.get(term):
                widths = (f"{layout[term]} wide" if term in layout else "absent" for layout in (before, now))
                lines.append("observation {}.{}: {} in the checkpoint, {} in this run".format(group, term, *widths))
    return lines


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
