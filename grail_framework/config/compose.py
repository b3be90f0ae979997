"""From a task's name and a command line to one whole configuration.

Phases, later ones win: the task's defaults, the preset, plugin edits, overrides (our paths and the release's), options. The engine, the
number of environments, and what plugins make of the whole are settled last.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from grail_framework.config.grammar import Override, parse_overrides
from grail_framework.config.hardware import resolve_engine, runs_on_cpu
from grail_framework.config.overrides import Edits
from grail_framework.config.presets import changes_of, find_preset
from grail_framework.config.release import ReleaseTable
from grail_framework.config.run import RunCfg
from grail_framework.config.structure import FieldError, from_plain, to_plain
from grail_framework.errors import ConfigError, GrailError, PluginError, PluginLoadError, TaskNotFoundError

if TYPE_CHECKING:
    from grail_framework.plugins.results import SettledRun
    from grail_framework.registry import Entry, Registry

PATH_FIELDS: Final = frozenset(
    {
        "checkpoint",
        "experiment_dir",
        "motion.bps_dir",
        "motion.data",
        "motion.meta_dir",
        "motion.object_dir",
        "motion.object_usd",
        "motion.robot_dir",
    }
)
"""Fields that hold a path of this machine; `~` is expanded in them."""

_NOT_IN_DIGEST: Final = ("logging", "iterations", "experiment_dir", "checkpoint", "resume", "evaluation", "checkpoints")


@attrs.frozen(kw_only=True)
class RunOptions:
    """The options of `grail run` that set a field; None: not given."""

    data: str | None = None
    bps: str | None = None
    engine: str | None = None
    physics: str | None = None
    device: str | None = None
    num_envs: int | None = None
    iterations: int | None = None
    checkpoint: str | None = None
    resume: bool | None = None
    experiment_dir: str | None = None
    seed: int | None = None
    on_bad_clip: str | None = None


_OPTIONS: Final = {
    "data": ("--data", "motion.data"),
    "bps": ("--bps", "motion.bps_dir"),
    "engine": ("--engine", "engine.name"),
    "physics": ("--physics", "engine.physics"),
    "device": ("--device", "engine.device"),
    "num_envs": ("--num-envs", "num_envs"),
    "iterations": ("--iterations", "iterations"),
    "checkpoint": ("--checkpoint", "checkpoint"),
    "resume": ("--resume", "resume"),
    "experiment_dir": ("--experiment-dir", "experiment_dir"),
    "seed": ("--seed", "seed"),
    "on_bad_clip": ("--on-bad-clip", "motion.on_bad_clip"),
}


@attrs.frozen(kw_only=True)
class ComposedRun:
    """A whole configuration and where its values come from."""

    cfg: RunCfg
    warnings: tuple[str, ...]
    """What the user should know, a sentence each."""
    provenance: dict[str, str]
    """Dotted path to the option or override that set it; everything else is the task's or the preset's."""
    preset_changes: tuple[str, ...] = ()
    """What the preset changed in the task, as overrides."""


def compose(
    registry: Registry,
    *,
    task: str | None = None,
    preset: str | None = None,
    options: RunOptions | None = None,
    overrides: Sequence[str] = (),
    edits: Iterable[Callable[[RunCfg], RunCfg]] = (),
    settle: Callable[[RunCfg], SettledRun] | None = None,
    saved: RunCfg | None = None,
) -> ComposedRun:
    """Resolve a run's configuration; nothing of the engine is imported and nothing is written.

    Args:
        registry: names of tasks, engines, sections and release aliases.
        task: plain or qualified name; None: `+exp=...` among the overrides names it.
        preset: name of values that fit a machine; None: the task's own.
        options: values of the command line's options.
        overrides: in Hydra's grammar, our paths or the release's.
        edits: what plugins change, in order.
        settle: what plugins make of the whole configuration in the end; a saved one too.
        saved: configuration of a run that is continued; it takes the task's place where no task is named.

    Raises:
        ConfigError: an override or option that does not fit, or two that disagree.
        NotFoundError: nothing is registered under the task's or the engine's name.
        PluginError: the task's plugin is broken.
    """
    parsed = parse_overrides(overrides)
    table = ReleaseTable.load(registry) if parsed else ReleaseTable(())
    preset_changes: tuple[str, ...] = ()
    if saved is not None and task is None and table.task_of(parsed)[0] is None:
        if preset is not None:
            raise ConfigError(
                f"--preset {preset}: a run that is continued keeps its settings; leave it out, or name the --task again"
            )
        # Where it started from and where it lies are the new command line's to say.
        cfg = attrs.evolve(saved, checkpoint=None, resume=False, experiment_dir=None)
    else:
        saved = None
        entry, parsed = _choose_task(registry, table, task, parsed)
        cfg = _task_defaults(entry)
        if preset is not None:
            own, cfg = cfg, _with_preset(registry, cfg, preset)
            preset_changes = changes_of(own, cfg)
        for edit in edits:
            cfg = edit(cfg)
    sections = _sections(registry, cfg)
    tree = to_plain(cfg)
    translation = table.translate(parsed, tree)
    changes = [*translation.overrides, *_from_options(options or RunOptions())]
    _refuse_disagreement(changes)
    state = Edits(tree=tree, root=RunCfg, sections=sections)
    state.apply(_expand_home(change) for change in changes)
    cfg = _build(tree, sections, state.provenance)
    if saved is not None and cfg.engine.name != saved.engine.name and "engine.device" not in state.provenance:
        # A device was chosen for the engine of then: a policy trained on a GPU is judged by an engine on the CPU too.
        cfg = attrs.evolve(cfg, engine=attrs.evolve(cfg.engine, device="auto"))
    engine, notes = resolve_engine(registry, cfg.engine)
    cfg = attrs.evolve(cfg, engine=attrs.evolve(cfg.engine, name=engine))
    if saved is None and "num_envs" not in state.provenance and runs_on_cpu(cfg.engine):
        cfg = attrs.evolve(cfg, num_envs=cfg.num_envs_cpu)
    warnings = tuple(note.replace("{engine}", engine) for note in (*translation.notes, *notes))
    if settle is not None:
        settled = settle(cfg)
        cfg, warnings = settled.cfg, (*warnings, *settled.warnings)
    return ComposedRun(cfg=cfg, warnings=warnings, provenance=dict(state.provenance), preset_changes=preset_changes)


def config_digest(cfg: RunCfg) -> str:
    """Hash what makes two runs the same experiment: all but logging, run length, checkpoints and where they are."""
    tree = {key: value for key, value in to_plain(cfg).items() if key not in _NOT_IN_DIGEST}
    return hashlib.sha256(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def section_classes(registry: Registry) -> dict[str, type]:
    """Load the classes of plugin sections in `RunCfg.extra`, by plugin name."""
    return {entry.name: entry.load() for entry in registry.entries("config_section")}


def _choose_task(
    registry: Registry, table: ReleaseTable, task: str | None, overrides: list[Override]
) -> tuple[Entry, list[Override]]:
    for override in overrides:
        if override.path[0] == "task":
            raise ConfigError(f"{override.text}: the task is no override. Write --task {override.value or 'NAME'}")
    experiment, rest = table.task_of(overrides)
    name = task or experiment
    if name is None:
        known = ", ".join(entry.name for entry in registry.entries("task")) or "none is registered; see `grail plugins list`"
        raise ConfigError(f"no task is given. Add --task NAME (tasks: {known}) or the release's +exp=...")
    entry = registry.find("task", name)
    if task is not None and experiment is not None:
        other = _find_or_none(registry, experiment)
        if other is not entry:
            chosen = next(o.text for o in overrides if o.key == "exp")
            raise ConfigError(f"--task {task} and {chosen} (task {experiment}) select two tasks; leave one out")
    return entry, rest


def _find_or_none(registry: Registry, name: str) -> Entry | None:
    try:
        return registry.find("task", name)
    except TaskNotFoundError:
        return None


def _task_defaults(entry: Entry) -> RunCfg:
    function: Any = entry.load()
    try:
        cfg: Any = function()
    except GrailError:
        raise
    except Exception as error:
        raise PluginLoadError(
            f"task {entry.qualified!r}: {entry.target} raised {type(error).__name__}: {error}. "
            f"See `grail plugins show {entry.plugin}`."
        ) from error
    if not isinstance(cfg, RunCfg):
        raise PluginError(f"task {entry.qualified!r}: {entry.target} returned {type(cfg).__name__}, allowed: RunCfg")
    return attrs.evolve(cfg, task=entry.qualified)


def _with_preset(registry: Registry, cfg: RunCfg, name: str) -> RunCfg:
    """Apply a preset's own values, then what the task adds to it."""
    cfg = find_preset(name)(cfg)
    sections = _sections(registry, cfg)
    state = Edits(tree=to_plain(cfg), root=RunCfg, sections=sections)
    state.apply(parse_overrides(cfg.presets.get(name, ())))
    return _build(state.tree, sections, state.provenance)


def _sections(registry: Registry, cfg: RunCfg) -> dict[str, type]:
    """Classes of plugin sections: those registered, and those of the instances that the task put in."""
    found = section_classes(registry)
    for name, section in cfg.extra.items():
        cls: Any = cast("Any", type(section))
        if attrs.has(cls):
            found.setdefault(name, cls)
    return found


def _from_options(options: RunOptions) -> list[Override]:
    found: list[Override] = []
    for name, (flag, path) in _OPTIONS.items():
        value = getattr(options, name)
        if value is not None and value is not False:
            text = flag if value is True else f"{flag} {value}"
            found.append(Override(text=text, action="set", path=tuple(path.split(".")), value=value))
    return found


def _refuse_disagreement(changes: Iterable[Override]) -> None:
    """Refuse two spellings of one setting with two values; the same spelling twice is the shell's way to replace it."""
    first: dict[str, Override] = {}
    for change in changes:
        other = first.setdefault(change.key, change)
        if change.action == "delete" or other.action == "delete" or _spelling(other) == _spelling(change):
            first[change.key] = change
        elif _same(change.key, other.value) != _same(change.key, change.value):
            raise ConfigError(
                f"{other.text!r} and {change.text!r} disagree on {change.key}: {other.value!r} and {change.value!r}. Leave one out"
            )


def _spelling(override: Override) -> str:
    return override.text.lstrip("+").partition("=")[0].partition(" ")[0]


def _same(key: str, value: Any) -> Any:
    return os.path.normpath(os.path.expanduser(value)) if key in PATH_FIELDS and isinstance(value, str) and value else value


def _expand_home(change: Override) -> Override:
    if change.key not in PATH_FIELDS or not isinstance(change.value, str):
        return change
    return attrs.evolve(change, value=os.path.expanduser(change.value))


def _build(tree: Mapping[str, Any], sections: Mapping[str, type], provenance: Mapping[str, str]) -> RunCfg:
    try:
        return from_plain(RunCfg, tree, sections=sections)
    except FieldError as error:
        text = _origin(error.path, provenance)
        where = f"from {text!r}" if text else f"from the task {tree['task']!r} itself; tell its author"
        raise ConfigError(f"{error} ({where})") from error


def _origin(path: str, provenance: Mapping[str, str]) -> str | None:
    """The override nearest to a path: the one that set it, or something above or below it."""
    plain = path.partition("[")[0]
    if plain in provenance:
        return provenance[plain]
    above = [key for key in provenance if plain.startswith(f"{key}.")]
    below = [key for key in provenance if key.startswith(f"{plain}.")]
    key = max(above, key=len, default=None) or min(below, key=len, default=None)
    return None if key is None else provenance[key]
