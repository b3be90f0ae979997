"""Which plugins are loaded: options before environment variables before all, by plugin or distribution name."""

import pytest

from grail_framework.errors import ConfigError, PluginLoadError
from grail_framework.plugins.discovery import find_plugins
from grail_framework.plugins.manager import GrailPluginManager

HOOK = "from grail_framework import hookimpl\n"


@pytest.fixture
def three(make_dist):
    for name in ("alpha", "beta", "gamma"):
        make_dist(f"grail-{name}", entry_points={name: f"grail_{name}"}, modules={f"grail_{name}": HOOK})


def active(manager):
    ours = ("alpha", "beta", "gamma")
    return [record.name for record in manager.load().records if record.name in ours and record.status.value == "active"]


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ({}, {}, ["alpha", "beta", "gamma"]),
        ({"disable": ["beta"]}, {}, ["alpha", "gamma"]),
        ({"disable": ["grail-beta"]}, {}, ["alpha", "gamma"]),
        ({"disable": ["Grail_Beta"]}, {}, ["alpha", "gamma"]),
        ({}, {"GRAIL_DISABLE_PLUGINS": "alpha, grail-beta"}, ["gamma"]),
        ({}, {"GRAIL_PLUGINS": "alpha"}, ["alpha"]),
        ({}, {"GRAIL_PLUGINS": ""}, []),
        ({}, {"GRAIL_PLUGINS": "alpha beta", "GRAIL_DISABLE_PLUGINS": "beta"}, ["alpha"]),
        ({"disable": ["alpha"]}, {"GRAIL_PLUGINS": "alpha beta"}, ["beta"]),
        ({"allow": ["gamma"]}, {"GRAIL_PLUGINS": "alpha", "GRAIL_DISABLE_PLUGINS": "gamma"}, ["gamma"]),
        ({"allow": ["gamma", "alpha"], "disable": ["alpha"]}, {}, ["gamma"]),
    ],
)
@pytest.mark.usefixtures("three")
def test_precedence(options, environ, expected):
    assert active(GrailPluginManager(environ=environ, **options)) == expected


@pytest.mark.usefixtures("three")
def test_disabled_plugin_says_by_what():
    manager = GrailPluginManager(disable=["alpha"], environ={"GRAIL_DISABLE_PLUGINS": "beta"}).load()
    reasons = {record.name: record.reason for record in manager.records}
    assert (reasons["alpha"], reasons["beta"], reasons["gamma"]) == ("--no-plugin", "GRAIL_DISABLE_PLUGINS", "")
    assert not [record for record in manager.problems() if record.name in ("alpha", "beta")]


@pytest.mark.usefixtures("three")
def test_name_that_fits_no_plugin_is_reported():
    manager = GrailPluginManager(disable=["alhpa"], environ={"GRAIL_PLUGINS": "grail-beta,nobody"}).load()
    first, second = manager.unknown_names()
    assert first == "--no-plugin: no plugin or distribution 'alhpa' is installed; did you mean 'alpha'?"
    assert second.startswith("GRAIL_PLUGINS: no plugin or distribution 'nobody'")


@pytest.mark.parametrize("name", ["core", "grail-framework"])
def test_core_cannot_be_disabled(name):
    with pytest.raises(ConfigError, match=r"--no-plugin: the plugin 'core' is the framework itself"):
        GrailPluginManager(disable=[name], environ={}).load()
    with pytest.raises(ConfigError, match="GRAIL_DISABLE_PLUGINS"):
        GrailPluginManager(environ={"GRAIL_DISABLE_PLUGINS": name}).load()


def test_core_is_there_whatever_is_allowed():
    assert [r.name for r in GrailPluginManager(environ={"GRAIL_PLUGINS": ""}).load().records if r.status.value == "active"] == [
        "core"
    ]


def test_plugins_are_sorted_by_distribution_and_name(make_dist):
    make_dist("grail-zz", entry_points={"b": "m1", "a": "m2"})
    make_dist("grail-aa", entry_points={"z": "m3"})
    found = [(r.dist, r.name) for r in find_plugins() if r.dist in ("grail-zz", "grail-aa")]
    assert found == [("grail-aa", "z"), ("grail-zz", "a"), ("grail-zz", "b")]


def test_first_distribution_on_the_path_wins_over_an_older_one(make_dist, tmp_path, monkeypatch):
    from grail_framework.testing import write_dist

    make_dist("grail-twice", entry_points={"twice": "new"}, version="2.0")
    write_dist(tmp_path / "later", "grail-twice", entry_points={"twice": "old"}, version="1.0")
    import sys

    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "later")])
    assert [(r.version, r.target) for r in find_plugins() if r.dist == "grail-twice"] == [("2.0", "new")]


def test_editable_install_is_recognised(make_dist):
    folder = make_dist("grail-edit", entry_points={"edit": "grail_edit"})
    (folder / "grail_edit-1.0.dist-info" / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {"editable": true}}')
    (record,) = [r for r in find_plugins() if r.dist == "grail-edit"]
    assert record.editable


def test_strict_manager_raises(make_dist):
    make_dist("grail-sick", entry_points={"sick": "grail_sick"}, modules={"grail_sick": "1/0"})
    with pytest.raises(PluginLoadError, match=r"(?s)strict.*plugin 'sick' is failed: ZeroDivisionError"):
        GrailPluginManager(allow=["sick"], environ={"GRAIL_PLUGINS_STRICT": "1"}).load()
    GrailPluginManager(disable=["sick"], allow=[], environ={"GRAIL_PLUGINS_STRICT": "1"}).load()


# --- Plugin files -----------------------------------------------------------------------------------------------------------

FILE = (
    HOOK
    + "@hookimpl\ndef grail_register_rewards(registry):\n    registry.add('mine', f'{__name__}:mine')\ndef mine(env): ...\n"
)


@pytest.fixture
def forget(monkeypatch):
    """Forget a module after the test."""
    import sys

    def remember(name):
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]

    return remember


def test_plugin_file_can_register_what_it_holds(tmp_path, forget):
    forget("my_first_plugin")
    path = tmp_path / "my_first_plugin.py"
    path.write_text(FILE)
    manager = GrailPluginManager(autoload=False, plugin_files=[path], environ={"GRAIL_PLUGINS": ""}).load()
    (record,) = manager.find_records("my_first_plugin")
    assert (record.status.value, record.source, record.location) == ("active", "file", str(path))
    assert manager.registry.find("reward", "mine").load().__name__ == "mine"
    path.write_text(FILE + "# edited\n")
    edited = GrailPluginManager(autoload=False, plugin_files=[path], environ={}).load()
    assert edited.find_records("my_first_plugin")[0].version != record.version


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("json.py", "", "a module 'json' is already imported; rename the file"),
        ("my-plugin.py", "", "is no module name"),
        ("this.py", "", "a module 'this' is already installed; rename the file"),
        ("my_broken_plugin.py", "1/0", "ZeroDivisionError"),
        ("absent.py", None, "no such file"),
    ],
)
def test_plugin_file_that_cannot_be_used(tmp_path, name, text, reason):
    import json  # noqa: F401 - imported, so that the first case is about a loaded module

    if text is not None:
        (tmp_path / name).write_text(text)
    manager = GrailPluginManager(autoload=False, plugin_files=[tmp_path / name], environ={}).load()
    record = manager.records[-1]
    assert record.status.value == "failed"
    assert reason in record.reason
