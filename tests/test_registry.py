"""The registry: names, owners, targets."""

import math

import pytest

from grail_framework.errors import NotFoundError, PluginConflictError, PluginLoadError, TaskNotFoundError
from grail_framework.registry import KINDS, Entry, Registrar, Registry


def entry(name, plugin="p", kind="reward", target="math:tau"):
    return Entry(kind=kind, name=name, plugin=plugin, target=target)


@pytest.fixture
def registry():
    made = Registry()
    made.commit([entry("b"), entry("a"), entry("a", plugin="q"), entry("t", kind="task")])
    return made


def test_entries_are_sorted_and_complete(registry):
    assert [e.qualified for e in registry.entries("reward")] == ["p:a", "q:a", "p:b"]
    assert [e.qualified for e in registry.entries("reward", plugin="p")] == ["p:a", "p:b"]
    assert [e.name for e in registry.entries_of("p")] == ["t", "a", "b"]
    assert [e.kind for e in registry] == ["task", "reward", "reward", "reward"]
    assert set(registry.clashes()) == {("reward", "a")}


def test_plain_and_qualified_names(registry):
    assert registry.find("reward", "b").plugin == "p"
    assert registry.find("reward", "q:a").plugin == "q"
    with pytest.raises(PluginConflictError, match="'p' and 'q'; write p:a or q:a"):
        registry.find("reward", "a")
    with pytest.raises(TaskNotFoundError, match="allowed: t"):
        registry.find("task", "x")
    with pytest.raises(NotFoundError, match="did you mean 'p:b'"):
        registry.find("reward", "o:b")


def test_missing_owner(registry):
    registry.missing_owners["broken"] = "failed: ImportError"
    with pytest.raises(
        PluginLoadError, match=r"'broken:x' belongs to the plugin 'broken', which is not loaded: failed: ImportError"
    ):
        registry.find("task", "broken:x")
    with pytest.raises(TaskNotFoundError, match=r"may own it: broken \(failed: ImportError\)"):
        registry.find("task", "x")
    registry.mentions = lambda plugin, name: (plugin, name) == ("broken", "x")
    with pytest.raises(PluginLoadError, match="grail plugins show broken"):
        registry.find("task", "x")


def test_load_resolves_the_target():
    assert entry("a").load() == math.tau
    assert entry("a", target="collections:OrderedDict.fromkeys").load()("x") == {"x": None}
    for target in ("no_such_module:x", "math:no_such_name"):
        with pytest.raises(PluginLoadError, match=f"reward 'p:a' cannot be loaded from '{target}'"):
            entry("a", target=target).load()


@pytest.mark.parametrize(
    ("name", "target", "error"),
    [
        ("x", "no colon", ValueError),
        ("x", math.tau, ValueError),
        ("", "a:b", ValueError),
        ("a:b", "a:b", ValueError),
        ("a b", "a:b", ValueError),
        (3, "a:b", ValueError),
        ("taken", "a:b", PluginConflictError),
    ],
)
def test_registrar_refuses(name, target, error):
    staged = []
    registrar = Registrar("reward", "p", staged)
    registrar.add("taken", "a:b")
    with pytest.raises(error):
        registrar.add(name, target)
    assert [e.name for e in staged] == ["taken"]


def test_registrar_adds_a_table():
    staged = []
    Registrar("robot", "p", staged).add_all({"x": ("a:b", "An x"), "y": ("a:c", "")})
    assert [(e.kind, e.name, e.target, e.summary) for e in staged] == [("robot", "x", "a:b", "An x"), ("robot", "y", "a:c", "")]
    assert staged[0].kind in KINDS
