"""Loading one plugin in isolation: whatever it does at import or in registration ends as a record, never as an exception."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

import attrs
import pluggy

from grail_framework import PLUGIN_API
from grail_framework.errors import (
    PluginConflictError,
    PluginError,
    PluginIncompatibleError,
    PluginLoadError,
    UnknownHookError,
    suggest,
)
from grail_framework.plugins.compat import check_api, declared_api
from grail_framework.plugins.records import PluginRecord, PluginStatus
from grail_framework.registry import Entry, Registrar

if TYPE_CHECKING:
    from collections.abc import Generator

REGISTRATION_HOOKS: Final = {
    "grail_register_tasks": "task",
    "grail_register_robots": "robot",
    "grail_register_engines": "engine",
    "grail_register_observations": "observation",
    "grail_register_rewards": "reward",
    "grail_register_terminations": "termination",
    "grail_register_events": "event",
    "grail_register_curriculums": "curriculum",
    "grail_register_actions": "action",
    "grail_register_networks": "network",
    "grail_register_metrics": "metric",
    "grail_register_motion_readers": "motion_reader",
    "grail_register_writers": "writer",
    "grail_register_cli": "cli",
    "grail_register_release_aliases": "release_alias",
    "grail_register_demo_library": "demo_library",
    "grail_register_config_section": "config_section",
}
"""Kind of the registrar each registration hook gets."""

_HOST_FOLDERS: Final = (str(Path(__file__).parents[1]), str(Path(pluggy.__file__).parent), importlib.__path__[0])


class PluginLoader:
    """Imports plugins, checks them against the hook specs and collects what they register."""

    def __init__(self, pm: pluggy.PluginManager) -> None:
        self._pm = pm
        self.spec_names = {name for name, hook in vars(pm.hook).items() if getattr(hook, "spec", None) is not None}
        """Names of all hooks."""

    def load(self, record: PluginRecord, plugin: object | None = None) -> tuple[PluginRecord, list[Entry]]:
        """Load a plugin (import it unless given) and return its outcome with what it registers; empty unless it is active."""
        staged: list[Entry] = []
        with _contained() as leak:
            try:
                plugin = self._import(record) if plugin is None else plugin
                record = self._describe(record, plugin)
                check_api(record.api, PLUGIN_API)
                self._register(record, plugin, staged)
            except (Exception, SystemExit) as error:  # a plugin calling sys.exit() must not end the host; Ctrl-C must
                if plugin is not None and self._pm.get_name(plugin) == record.name:
                    self._pm.unregister(plugin)
                record, staged = _failure(record, error), []
            else:
                provides = {kind: sum(e.kind == kind for e in staged) for kind in REGISTRATION_HOOKS.values()}
                record = attrs.evolve(
                    record, status=PluginStatus.ACTIVE, provides={kind: n for kind, n in provides.items() if n}
                )
        return attrs.evolve(record, stdout=leak.text, notes=record.notes + leak.notes), staged

    def _import(self, record: PluginRecord) -> object:
        if record.source == "file":
            return _import_file(Path(record.location))
        module_name, _, attribute = record.target.partition("[")[0].strip().partition(":")
        plugin: Any = importlib.import_module(module_name.strip())
        for part in filter(None, attribute.strip().split(".")):
            plugin = getattr(plugin, part)
        return plugin

    def _describe(self, record: PluginRecord, plugin: object) -> PluginRecord:
        hooks, unmarked = self._hooks_of(plugin)
        return attrs.evolve(
            record,
            location=str(getattr(plugin, "__file__", None) or record.location),
            api=str(getattr(plugin, "grail_api", "")),
            hooks=tuple(sorted(hooks)),
            notes=record.notes + tuple(f"function {name} is not called: it lacks @hookimpl" for name in unmarked),
        )

    def _hooks_of(self, plugin: object) -> tuple[dict[str, Any], list[str]]:
        """Return the options of the plugin's hook implementations by hook name, and hooks that lack the marker."""
        hooks: dict[str, Any] = {}
        unmarked: list[str] = []
        for name in vars(plugin) if isinstance(plugin, ModuleType) else dir(plugin):
            options = self._pm.parse_hookimpl_opts(plugin, name)
            if options is not None:
                hooks[options.get("specname") or name] = options
            elif name in self.spec_names and isinstance(getattr(plugin, name), FunctionType):
                unmarked.append(name)
        return hooks, unmarked

    def _register(self, record: PluginRecord, plugin: object, staged: list[Entry]) -> None:
        for name, options in self._hooks_of(plugin)[0].items():
            if name not in self.spec_names and not options.get("optionalhook"):
                raise UnknownHookError(f"unknown hook {name!r}: {suggest(name, self.spec_names)}")
            if options.get("wrapper") or options.get("hookwrapper"):
                raise PluginLoadError(f"hook {name!r} is declared as a wrapper; hooks here are plain functions")
        if self._pm.is_registered(plugin):
            raise PluginConflictError(f"the same module is already loaded as the plugin {self._pm.get_name(plugin)!r}")
        self._pm.register(plugin, name=record.name)
        for name, kind in REGISTRATION_HOOKS.items():
            for implementation in getattr(self._pm.hook, name).get_hookimpls():
                if implementation.plugin is plugin:
                    registrar = Registrar(kind, record.name, staged)
                    returned = implementation.function(*[registrar] * len(implementation.argnames))
                    if returned is not None:
                        raise PluginLoadError(f"{name} returned {returned!r}; it must call registry.add(name, target) instead")


@attrs.define
class _Leak:
    """What a plugin let out while it was loaded."""

    text: str = ""
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def _contained() -> Generator[_Leak]:
    """Catch prints, which would corrupt JSON on stdout, and take back a logging set-up that is the host's to make."""
    leak = _Leak()
    root = _root_logger()
    handlers, level = (list(root.handlers), root.level) if root else ([], None)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        yield leak
    leak.text = printed.getvalue()
    if leak.text:
        leak.notes += (f"printed {len(leak.text.splitlines())} line(s) while it was loaded",)
    root = _root_logger()
    if root and root.handlers != handlers:
        root.handlers[:] = handlers
        root.setLevel(level if level is not None else "WARNING")
        leak.notes += ("configured the root logger at import; taken back",)


def _root_logger() -> Any:
    logging = sys.modules.get("logging")
    return logging.getLogger() if logging else None


def _import_file(path: Path) -> ModuleType:
    """Import a plugin file under its stem, so that it can register targets in itself as `"<stem>:name"`."""
    name = path.stem
    known = sys.modules.get(name)
    if not name.isidentifier():
        raise PluginLoadError(f"{path.name!r} is no module name; rename it to letters, digits and underscores")
    if known is not None and getattr(known, "__file__", None) != str(path):
        raise PluginLoadError(f"a module {name!r} is already imported; rename the file")
    if known is None and find_spec(name) is not None:
        raise PluginLoadError(f"a module {name!r} is already installed; rename the file")
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginLoadError(f"{path} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _failure(record: PluginRecord, error: BaseException) -> PluginRecord:
    from traceback import format_exception

    api = record.api or declared_api(source_text(record))
    # A module may have failed just because it was written for another API: say that, not the symptom.
    cause = _incompatibility(api) or error
    return attrs.evolve(
        record,
        status=PluginStatus.INCOMPATIBLE if isinstance(cause, PluginIncompatibleError) else PluginStatus.FAILED,
        api=api,
        reason=_reason(cause),
        hint=_hint(record, cause),
        traceback="".join(format_exception(error)),
    )


def _incompatibility(api: str) -> PluginIncompatibleError | None:
    try:
        check_api(api, PLUGIN_API)
    except PluginIncompatibleError as error:
        return error
    except PluginLoadError:
        return None  # a range that cannot be read is a failure of its own
    return None


def _reason(error: BaseException) -> str:
    """Name the exception, its message and the last line of the plugin it passed, on one line."""
    message = " ".join(str(error).split())
    if isinstance(error, PluginError):
        return message
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} at {error.filename}:{error.lineno}"
    if isinstance(error, SystemExit):
        message = f"the plugin called exit({error.code!r})"
    return f"{type(error).__name__}: {message}{_where(error)}"


def _where(error: BaseException) -> str:
    """Give file and line of the last frame that is the plugin's own."""
    own = ""
    frame = error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if not file.startswith((*_HOST_FOLDERS, "<frozen")):
            own = f" at {file}:{frame.tb_lineno}"
        frame = frame.tb_next
    return own


def _hint(record: PluginRecord, error: BaseException) -> str:
    module_name = record.target.partition(":")[0]
    who = record.dist or record.name
    if isinstance(error, PluginIncompatibleError):
        return f"install a version of {who} for this plugin API, or leave it out with --no-plugin {record.name}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        if module_name == error.name or module_name.startswith(error.name + "."):
            return f"the entry point's module is not there; reinstall {who} (an editable install keeps old entry points)"
        return f"install the module {error.name!r}, which {who} needs"
    if isinstance(error, AttributeError) and ":" in record.target and not record.hooks:
        return f"the entry point's attribute is not there; reinstall {who} (an editable install keeps old entry points)"
    return f"report it to the authors of {who}; until then leave it out with --no-plugin {record.name}"


def source_text(record: PluginRecord) -> str:
    """Read the source of a plugin's module without importing it; empty when it cannot be found."""
    path = Path(record.location) if record.source == "file" else _module_path(record.target.partition(":")[0])
    if path is None or not path.is_file():
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _module_path(module_name: str) -> Path | None:
    package, *rest = module_name.split(".")
    try:
        spec = find_spec(package)
        for part in rest:
            # PathFinder looks into the folder; find_spec would import the parent, which may be what is broken.
            spec = PathFinder.find_spec(part, spec.submodule_search_locations) if spec else None
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None
