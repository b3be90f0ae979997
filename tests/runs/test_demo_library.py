"""The cache of demo libraries: made once, and anew when the recipe changes."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import pytest

from grail_framework.config import ActionCfg, RunCfg
from grail_framework.registry import Entry, Registry
from grail_framework.runs.demo_library import with_demo_library

RECIPE = """
def make(out):
    (out / "robot").mkdir(parents=True)
    (out / "robot" / "{name}.pkl").touch()
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "recipes_of_a_plugin"
    package.mkdir()
    (package / "__init__.py").touch()

    def write(name: str) -> None:
        (package / "demo.py").write_text(RECIPE.format(name=name))
        sys.modules.pop("recipes_of_a_plugin.demo", None)

    yield write
    sys.modules.pop("recipes_of_a_plugin.demo", None)
    sys.modules.pop("recipes_of_a_plugin", None)


def test_a_changed_recipe_makes_another_library(recipe):
    registry = Registry()
    registry.commit([Entry(kind="demo_library", name="walk", plugin="p", target="recipes_of_a_plugin.demo:make")])
    cfg = RunCfg(task="p:walk", action=ActionCfg(func="x"), observations={}, rewards={}, terminations={})

    def library() -> Path:
        found = with_demo_library(cfg, registry).motion.data
        assert found is not None
        return Path(found)

    recipe("old")
    first = library()
    assert [path.name for path in (first / "robot").iterdir()] == ["old.pkl"]
    assert library() == first
    recipe("mended")
    second = library()
    assert [path.name for path in (second / "robot").iterdir()] == ["mended.pkl"]
    assert second != first
    named = attrs.evolve(cfg, motion=attrs.evolve(cfg.motion, data="mine"))
    assert with_demo_library(named, registry) is named
