"""pytest fixtures for the authors of plugins; loaded by every pytest run, so nothing heavy is imported here."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from click.testing import Result

    from grail_framework.plugins.manager import GrailPluginManager
    from grail_framework.plugins.records import PluginRecord


class RegisterPlugin(Protocol):
    """The fixture `register_plugin`."""

    def __call__(self, *functions: Callable[..., Any], name: str = ..., api: str = ...) -> PluginRecord:
        """Load functions as a plugin and return its record."""
        ...


class MakeDist(Protocol):
    """The fixture `make_dist`."""

    def __call__(
        self, name: str, *, entry_points: Mapping[str, str], modules: Mapping[str, str] | None = ..., version: str = ...
    ) -> Path:
        """Write a distribution and put it on `sys.path` for the test."""
        ...


@pytest.fixture
def grail_manager() -> GrailPluginManager:
    """A plugin manager with the core alone: installed plugins and the environment's settings do not matter."""
    from grail_framework.plugins.manager import GrailPluginManager

    return GrailPluginManager(autoload=False, environ={}).load()


@pytest.fixture
def register_plugin(grail_manager: GrailPluginManager) -> RegisterPlugin:
    """A function that loads hook implementations as a plugin of `grail_manager`, without a package around them."""

    def register(*functions: Callable[..., Any], name: str = "inline", api: str = "") -> PluginRecord:
        plugin = ModuleType(name)
        for function in functions:
            setattr(plugin, function.__name__, function)
        plugin.__dict__["grail_api"] = api
        return grail_manager.register(plugin, name)

    return register


@pytest.fixture
def grail_cli(grail_manager: GrailPluginManager) -> Callable[..., Result]:
    """A function that runs `grail` with arguments on `grail_manager` and returns click's result."""
    from click.testing import CliRunner

    from grail_framework.cli.main import build_cli

    def invoke(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
        return CliRunner().invoke(build_cli(grail_manager), arguments, env=env, prog_name="grail")

    return invoke


@pytest.fixture
def make_dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeDist]:
    """A function that writes a bare distribution on `sys.path`; modules imported from it are forgotten after the test."""
    from grail_framework.testing.dists import write_dist

    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def make(
        name: str, *, entry_points: Mapping[str, str], modules: Mapping[str, str] | None = None, version: str = "1.0"
    ) -> Path:
        written = write_dist(folder, name, entry_points=entry_points, modules=modules, version=version)
        importlib.invalidate_caches()
        return written

    yield make
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
