"""Writing checkpoints of a run, pruning old ones, and saying exactly how one does not fit."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import attrs

from grail_framework.config.compose import config_digest
from grail_framework.errors import CheckpointError
from grail_framework.runs.atomic import atomic_file, link_atomically, remove_partial_files, sync
from grail_framework.runs.directory import list_checkpoints
from grail_framework.runs.formats import serialize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch

    from grail_framework.config import CheckpointCfg, RunCfg
    from grail_framework.engine.protocol import SceneSpec
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.plugins.manager import GrailPluginManager
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
    contact_links: dict[str, dict[str, list[str]]] = attrs.field(factory=dict)
    """Per observation group those of its terms that read a contact sensor, with the sensor's links in order."""
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
    saved_identity: Mapping[str, Any] | None = None,
    own_identity: RunIdentity | None = None,
) -> None:
    """Demand that a checkpoint's network has the run's names and shapes; `where` names the checkpoint.

    Raises:
        CheckpointError: with every kind of difference, both shapes, and the observation terms that differ where both layouts are known.
    """
    theirs, ours = saved_identity or {}, own_identity or RunIdentity()
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
    lines += [f"not in the checkpoint: {', '.join(missing)}"] if missing else []
    lines += [f"not in this run's network: {', '.join(unknown)}"] if unknown else []
    differing = layout_differences(theirs, ours)
    lines += differing or _link_hints(saved, own, ours)
    raise CheckpointError(
        f"{where} does not fit this run's network:\n  " + "\n  ".join(lines) + "\nUse the task and network settings it was "
        "trained with (the config.yaml beside it), or train from scratch"
    )


def with_own_parts(state: Mapping[str, Any], own: Mapping[str, torch.Tensor], *, where: str) -> dict[str, torch.Tensor]:
    """Return a checkpoint's network; what it says it has no weights of (`absent`: the critic of a base policy) stays the run's own."""
    absent = tuple(state.get("absent", ()))
    kept = {name: tensor for name, tensor in own.items() if absent and name.startswith(absent) and name not in state["model"]}
    if kept:
        _log.warning("%s has no weights of %s: they stay as this run has them", where, ", ".join(kept))
    return {**state["model"], **kept}


def identify(cfg: RunCfg, manager: GrailPluginManager, env: TrackingEnv) -> RunIdentity:
    """Return what the checkpoints of a run say about it."""
    return RunIdentity(
        plugins=manager.plugin_set(),
        config_digest=config_digest(cfg),
        observation_layout={name: group.layout for name, group in env.groups.items()},
        contact_links=_observed_links(cfg, env.engine.spec),
        task=cfg.task,
        robot=cfg.robot.name,
    )


def _observed_links(cfg: RunCfg, spec: SceneSpec) -> dict[str, dict[str, list[str]]]:
    """Return, per observation group, the terms that read a contact sensor with the sensor's links in order."""
    found: dict[str, dict[str, list[str]]] = {}
    for group, settings in cfg.observations.items():
        for name, term in settings.terms.items():
            sensor = spec.contact_sensors.get(str(term.params.get("sensor")))
            if sensor is not None:
                found.setdefault(group, {})[name] = list(sensor.links)
    return found


def layout_differences(saved: Mapping[str, Any], own: RunIdentity) -> list[str]:
    """Say which observation terms differ in width, are gone or are new, one line each; empty where a layout is unknown.

    Args:
        saved: what a checkpoint says of its run, by the names of `RunIdentity`.
        own: this run.
    """
    lines: list[str] = []
    layouts = (saved.get("observation_layout") or {}, own.observation_layout)
    links = (saved.get("contact_links") or {}, own.contact_links)
    if not all(layouts):
        return lines
    for group in sorted(layouts[0].keys() | layouts[1].keys()):
        before, now = (layout.get(group, {}) for layout in layouts)
        for term in [*before, *(term for term in now if term not in before)]:
            if before.get(term) != now.get(term):
                told = (
                    f"{layout[term]} wide{_told_links(known.get(group, {}).get(term))}" if term in layout else "absent"
                    for layout, known in zip((before, now), links, strict=True)
                )
                lines.append("observation {}.{}: {} in the checkpoint, {} in this run".format(group, term, *told))
    return lines


def _told_links(links: Sequence[str] | None) -> str:
    return f" ({len(links)} links: {', '.join(links)})" if links else ""


def _link_hints(saved: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], ours: RunIdentity) -> list[str]:
    """Say where a first layer is as much wider or narrower as a contact sensor of more or fewer links would make it.

    Checkpoints of the GRAIL release do not say what their observations were.
    """
    lines: list[str] = []
    for name, tensor in own.items():
        other = saved.get(name)
        if tensor.ndim != 2 or other is None or other.ndim != 2 or other.shape[1] == tensor.shape[1]:
            continue
        for group, terms in ours.contact_links.items():
            layout = ours.observation_layout.get(group, {})
            for term, links in terms.items() if sum(layout.values()) == tensor.shape[1] else ():
                width = layout[term]
                count, rest = divmod((width + other.shape[1] - tensor.shape[1]) * len(links), width)
                if count > 0 and rest == 0:
                    lines.append(
                        f"{name} would fit if observation {group}.{term} were of {count} links: it is {width} wide"
                        f"{_told_links(links)} in this run. In the GRAIL release pnp_table feels the object with 8 links of the right "
                        "hand (24 numbers), its other tasks with 4 (12 numbers)"
                    )
    return lines
