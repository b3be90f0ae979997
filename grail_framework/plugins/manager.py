"""The plugin manager: loads plugins once and calls their hooks, one typed method per hook.

Nobody outside this package touches pluggy. Errors name the plugin they come from: a hook the run depends on stops it, an observer
that raises is switched off with one warning.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pluggy

from grail_framework.errors import ConfigError, GrailError, PluginError, PluginLoadError
from grail_framework.plugins import builtin, hookspecs
from grail_framework.plugins.discovery import Selection, file_plugin, find_plugins, normalise
from grail_framework.plugins.loading import PluginLoader, source_text
from grail_framework.plugins.markers import PROJECT
from grail_framework.plugins.records import PluginRecord, PluginStatus, plugin_set, plugin_set_digest
from grail_framework.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from grail_framework.config import RunCfg
    from grail_framework.motion.clip import ContactLabels, MotionClip
    from grail_framework.motion.faults import ClipFault
    from grail_framework.motion.library import MotionLibrary
    from grail_framework.plugins.context import RunContext
    from grail_framework.plugins.results import CheckpointFormat, HealthCheck, SettledRun, TerrainPlan


class GrailPluginManager:
    """Finds, loads and calls plugins.

    `disable` and `allow` hold plugin or distribution names and count more than GRAIL_DISABLE_PLUGINS and GRAIL_PLUGINS; without
    `autoload` no installed plugin is looked for, only the core and `plugin_files` are loaded. With `strict` (default: GRAIL_PLUGINS_STRICT)
    a plugin that does not load is an error instead of a record.
    """

    def __init__(
        self,
        *,
        disable: Iterable[str] = (),
        allow: Iterable[str] | None = None,
        plugin_files: Iterable[str | Path] = (),
        autoload: bool = True,
        strict: bool | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self.registry = Registry()
        self.registry.mentions = self._mentions
        self.config_edits: tuple[str, ...] = ()
        """Plugins that changed the configuration in `configure_run`, in order."""
        self.strict = is_set(environ, "GRAIL_PLUGINS_STRICT") if strict is None else strict
        self._trace = is_set(environ, "GRAIL_TRACE_HOOKS")
        self._selection = Selection.make(disable, allow, environ)
        self._files = tuple(Path(path) for path in plugin_files)
        self._autoload = autoload
        self._records: list[PluginRecord] = []
        self._loaded = False
        self._silenced: set[str] = set()
        self._pm = pluggy.PluginManager(PROJECT)
        self._pm.add_hookspecs(hookspecs)
        self._loader = PluginLoader(self._pm)

    # --- Loading ----------------------------------------------------------------------------------------------------------

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """All plugins found, in loading order: the core, installed ones by distribution and name, plugin files."""
        return tuple(self._records)

    def discover(self) -> tuple[PluginRecord, ...]:
        """Find plugins without loading them, decide which are wanted, and return their records.

        Raises:
            ConfigError: the core was to be disabled.
        """
        if self._records:
            return self.records
        core = builtin.record()
        for where, names in self._selection.named().items():
            if where in ("--no-plugin", "GRAIL_DISABLE_PLUGINS") and names & {normalise(core.name), normalise(core.dist)}:
                raise ConfigError(f"{where}: the plugin {core.name!r} is the framework itself and cannot be disabled")
        found = [core, *(find_plugins() if self._autoload else []), *map(file_plugin, self._files)]
        owners: dict[str, PluginRecord] = {}
        for record in found:
            self._records.append(self._sort_out(record, owners))
        return self.records

    def load(self) -> GrailPluginManager:
        """Load all wanted plugins; a second call does nothing.

        Raises:
            PluginLoadError: strict, and a plugin did not load.
        """
        if self._loaded:
            return self
        self.discover()
        self._loaded = True
        for index, record in enumerate(self._records):
            if record.status is PluginStatus.NOT_LOADED:
                self._records[index] = self._load_one(record)
        self._note_clashes()
        if self.strict:
            self.require_all()
        return self

    def require_all(self) -> None:
        """Demand that every plugin that was found and not disabled is active.

        Raises:
            PluginLoadError: some are not; each is named with its reason.
        """
        if self.problems():
            raise PluginLoadError("\n".join(["plugins that do not load (strict mode):", *self.problem_lines()]))

    def register(self, plugin: object, name: str) -> PluginRecord:
        """Load a plugin object made in this process, as tests do, and return its record."""
        self.load()
        record = PluginRecord(name=name, dist="", version="0", target=f"{type(plugin).__name__} {name}", source="inline")
        if any(known.name == name for known in self._records):
            raise PluginError(f"a plugin {name!r} is already registered; give this one another name")
        self._records.append(self._load_one(record, plugin))
        self._note_clashes()
        return self.find_records(name)[0]

    def find_records(self, name: str) -> list[PluginRecord]:
        """List the plugins whose own or whose distribution's name this is."""
        return [r for r in self._records if normalise(name) in (normalise(r.name), normalise(r.dist))]

    def problems(self) -> list[PluginRecord]:
        """List the plugins that failed, are incompatible or shadowed."""
        return [record for record in self._records if record.status.is_problem]

    def problem_lines(self) -> list[str]:
        """Say in one line each what is wrong with plugins and with the names they were selected by."""
        lines = [
            f"plugin {record.name!r} is {record.explain()}. See `grail plugins show {record.name}`."
            for record in self.problems()
        ]
        return lines + self.unknown_names()

    def unknown_names(self) -> list[str]:
        """Report names in allow- and deny-lists that fit no plugin."""
        return self._selection.unknown_names(self._records)

    def hook_names(self) -> list[str]:
        """List the names of all hooks."""
        return sorted(self._loader.spec_names)

    def plugin_set(self) -> list[dict[str, str]]:
        """List name, version, dist and target of the active plugins, for manifests and checkpoints."""
        return plugin_set(self._records)

    def plugin_set_digest(self) -> str:
        """Hash the plugin set, to compare processes."""
        return plugin_set_digest(self.plugin_set())

    def _sort_out(self, record: PluginRecord, owners: dict[str, PluginRecord]) -> PluginRecord:
        """Mark a record that is not to be loaded; `owners` maps the names taken so far to their plugins."""
        if record.status is not PluginStatus.NOT_LOADED:
            return record
        refusal = "" if record.source == "builtin" else self._selection.refusal(record)
        if refusal:
            return attrs.evolve(record, status=PluginStatus.DISABLED, reason=refusal)
        owner = owners.setdefault(normalise(record.name), record)
        if owner is record:
            return record
        return attrs.evolve(
            record,
            status=PluginStatus.SHADOWED,
            reason=f"the name {record.name!r} belongs to {owner.origin}",
            hint=f"disable the other one by its distribution: --no-plugin {owner.dist}",
        )

    def _load_one(self, record: PluginRecord, plugin: object | None = None) -> PluginRecord:
        if record.source == "builtin":
            plugin = builtin
        record, entries = self._loader.load(record, plugin)
        if record.source == "builtin" and record.status is not PluginStatus.ACTIVE:
            raise PluginLoadError(f"the framework's own plugin does not load: {record.reason}\n{record.traceback}")
        self.registry.commit(entries)
        return record

    def _note_clashes(self) -> None:
        """Tell the owners of a name that others own it too, and the registry which plugins are missing."""
        notes: dict[str, list[str]] = {}
        for (kind, name), entries in self.registry.clashes().items():
            choices = " or ".join(entry.qualified for entry in entries)
            for entry in entries:
                notes.setdefault(entry.plugin, []).append(f"{kind} {name!r} has several owners: write {choices}")
        for index, record in enumerate(self._records):
            if record.status is PluginStatus.ACTIVE:
                new = [note for note in notes.get(record.name, []) if note not in record.notes]
                self._records[index] = attrs.evolve(record, notes=(*record.notes, *new))
            elif record.status is not PluginStatus.SHADOWED:
                self.registry.missing_owners[record.name] = record.explain()

    def _mentions(self, plugin: str, name: str) -> bool:
        """Say whether the source of a plugin that is not loaded contains a name as a string, so that it may own it."""
        texts = [source_text(r) for r in self._records if r.name == plugin and r.status is not PluginStatus.ACTIVE]
        return any(f'"{name}"' in text or f"'{name}'" in text for text in texts)

    # --- Before the engine starts -----------------------------------------------------------------------------------------

    def configure_run(self, cfg: RunCfg) -> RunCfg:
        """Let each plugin change the configuration, in loading order, and return the result.

        Raises:
            PluginError: a plugin raised, or returned something else than a configuration.
        """
        for implementation in reversed(list(self._implementations("grail_configure_run"))):
            changed = self._critical(implementation, "grail_configure_run", cfg=cfg)
            if changed is None:
                continue
            if type(changed) is not type(cfg):
                raise PluginError(
                    f"plugin {implementation.plugin_name!r}: grail_configure_run returned {type(changed).__name__}, "
                    f"allowed: {type(cfg).__name__} or None"
                )
            if changed != cfg:
                self.config_edits += (implementation.plugin_name,)
            cfg = changed
        return cfg

    def settle_run(self, cfg: RunCfg) -> SettledRun:
        """Let each plugin settle the whole configuration, in loading order; return the result and all their warnings.

        Raises:
            PluginError: a plugin raised, or returned something else than a settled run.
        """
        from grail_framework.plugins.results import SettledRun

        warnings: tuple[str, ...] = ()
        for implementation in reversed(list(self._implementations("grail_settle_run"))):
            settled = self._critical(implementation, "grail_settle_run", cfg=cfg)
            if settled is None:
                continue
            if not isinstance(settled, SettledRun):
                raise PluginError(
                    f"plugin {implementation.plugin_name!r}: grail_settle_run returned {type(settled).__name__}, "
                    f"allowed: SettledRun or None"
                )
            cfg, warnings = settled.cfg, (*warnings, *settled.warnings)
        return SettledRun(cfg=cfg, warnings=warnings)

    def discover_terrain(self, cfg: RunCfg, rank: int, world_size: int) -> TerrainPlan | None:
        """Ask the plugins for the terrain of this process; None: none has any.

        Raises:
            PluginError: a plugin raised.
        """
        return self._first("grail_discover_terrain", cfg=cfg, rank=rank, world_size=world_size)

    def check_motions(self, cfg: RunCfg, motions: MotionLibrary) -> list[ClipFault]:
        """Ask all plugins which loaded motions cannot be trained.

        Raises:
            PluginError: a plugin raised.
        """
        name = "grail_check_motions"
        found = [self._critical(each, name, cfg=cfg, motions=motions) or () for each in self._implementations(name)]
        return [fault for faults in found for fault in faults]

    def contact_labels(self, motion: MotionClip, num_frames: int, target_fps: float) -> ContactLabels | None:
        """Ask the plugins for the contact labels of a motion; None: none knows any.

        Raises:
            PluginError: a plugin raised.
        """
        return self._first("grail_contact_labels", motion=motion, num_frames=num_frames, target_fps=target_fps)

    @property
    def labels_contacts(self) -> bool:
        """Whether any plugin may know contact labels of its own, for which motions have to be read from their files."""
        return any(True for _ in self._implementations("grail_contact_labels"))

    def checkpoint_formats(self) -> list[CheckpointFormat]:
        """List the checkpoint formats of all plugins.

        Raises:
            PluginError: a plugin raised.
        """
        name = "grail_checkpoint_formats"
        return [form for implementation in self._implementations(name) for form in self._critical(implementation, name) or ()]

    # --- While a run goes on ----------------------------------------------------------------------------------------------

    def run_started(self, run: RunContext) -> None:
        """Tell observers that training begins."""
        self._observe("grail_run_started", run=run)

    def iteration_finished(self, run: RunContext, metrics: Mapping[str, float]) -> None:
        """Tell observers the metrics of an iteration."""
        self._observe("grail_iteration_finished", run=run, metrics=metrics)

    def checkpoint_saved(self, run: RunContext, path: Path) -> None:
        """Tell observers that a checkpoint is on disk."""
        self._observe("grail_checkpoint_saved", run=run, path=path)

    def run_failed(self, run: RunContext, error: BaseException) -> None:
        """Tell observers that the run ends with an exception or a signal."""
        self._observe("grail_run_failed", run=run, error=error)

    def run_finished(self, run: RunContext, summary: Mapping[str, Any]) -> None:
        """Tell observers that the run is done."""
        self._observe("grail_run_finished", run=run, summary=summary)

    # --- grail doctor -----------------------------------------------------------------------------------------------------

    def health_checks(self) -> list[tuple[str, HealthCheck]]:
        """List (plugin, check); a plugin whose checks raise gets one failed check that says so."""
        from grail_framework.plugins.results import HealthCheck

        checks: list[tuple[str, HealthCheck]] = []
        for implementation in reversed(list(self._implementations("grail_health_checks"))):
            plugin = implementation.plugin_name
            try:
                checks += [(plugin, check) for check in self._call(implementation, "grail_health_checks") or ()]
            except Exception as error:
                checks.append((plugin, HealthCheck(name="health checks", ok=False, detail=f"{type(error).__name__}: {error}")))
        return checks

    # --- Calling ----------------------------------------------------------------------------------------------------------

    def _implementations(self, hook: str) -> Iterator[pluggy.HookImpl]:
        """Iterate over implementations in calling order: last loaded first, as pluggy does, `tryfirst` before all."""
        self.load()
        return reversed(getattr(self._pm.hook, hook).get_hookimpls())

    def _call(self, implementation: pluggy.HookImpl, hook: str, **arguments: Any) -> Any:
        function: Callable[..., Any] = implementation.function
        result = function(*(arguments[name] for name in implementation.argnames))
        if self._trace:
            sys.stderr.write(f"hook {hook}: {implementation.plugin_name} -> {result!r:.200}\n")
        return result

    def _critical(self, implementation: pluggy.HookImpl, hook: str, **arguments: Any) -> Any:
        try:
            return self._call(implementation, hook, **arguments)
        except GrailError as error:
            error.add_note(f"raised by {hook} of the plugin {implementation.plugin_name!r}")
            raise
        except Exception as error:
            plugin = implementation.plugin_name
            raise PluginError(
                f"plugin {plugin!r}: {hook} raised {type(error).__name__}: {error}. Leave it out with --no-plugin {plugin}."
            ) from error

    def _first(self, hook: str, **arguments: Any) -> Any:
        for implementation in self._implementations(hook):
            result = self._critical(implementation, hook, **arguments)
            if result is not None:
                return result
        return None

    def _observe(self, hook: str, **arguments: Any) -> None:
        for implementation in self._implementations(hook):
            plugin = implementation.plugin_name
            if plugin in self._silenced:
                continue
            try:
                self._call(implementation, hook, **arguments)
            except (Exception, SystemExit) as error:
                self._silence(plugin, f"{hook} raised {type(error).__name__}: {error}")

    def _silence(self, plugin: str, reason: str) -> None:
        """Stop calling a plugin's observers: an outage of a logging service must not end a long run."""
        import logging

        self._silenced.add(plugin)
        for index, record in enumerate(self._records):
            if record.name == plugin and record.status is PluginStatus.ACTIVE:
                self._records[index] = attrs.evolve(record, notes=(*record.notes, f"observers switched off: {reason}"))
        logging.getLogger(__name__).warning("plugin %r: %s; its observers are switched off", plugin, reason)


def is_set(environ: Mapping[str, str], name: str) -> bool:
    """Say whether a switch in the environment is on: set, and none of empty, 0, false, no."""
    return environ.get(name, "").lower() not in ("", "0", "false", "no")
