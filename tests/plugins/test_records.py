"""Plugin sets as they go into manifests and checkpoints, and the range of API versions."""

import json

import pytest

from grail_framework.errors import PluginIncompatibleError, PluginLoadError
from grail_framework.plugins.compat import api_in_range, check_api, declared_api
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.plugins.records import compare_plugin_sets, missing_plugins, plugin_set_digest


def item(name, version="1.0", dist=None, target=None):
    return {"name": name, "version": version, "dist": dist or f"grail-{name}", "target": target or f"grail_{name}.plugin"}


def test_equal_sets():
    assert compare_plugin_sets([item("a")], [item("a")]) == []
    assert plugin_set_digest([item("a")]) == plugin_set_digest([item("a")])


def test_differences_are_named():
    saved = [item("a"), item("b"), item("c")]
    current = [item("a", version="1.1"), item("c", target="grail_c.other"), item("d")]
    assert compare_plugin_sets(saved, current) == [
        "plugin 'b' (grail-b 1.0) is missing; install it, or see `grail plugins list` if it is installed",
        "plugin 'a': version was '1.0', is '1.1'",
        "plugin 'c': target was 'grail_c.plugin', is 'grail_c.other'",
        "plugin 'd' (grail-d 1.0) was not there",
    ]
    assert missing_plugins(saved, current) == compare_plugin_sets(saved, current)[:1]
    assert plugin_set_digest(saved) != plugin_set_digest(current)


def test_set_of_a_manager_is_plain_and_holds_active_plugins_only(make_dist):
    make_dist("grail-ok", entry_points={"ok": "grail_ok"}, modules={"grail_ok": ""}, version="3.1")
    make_dist("grail-ko", entry_points={"ko": "grail_ko"}, modules={"grail_ko": "1/0"})
    manager = GrailPluginManager(allow=["ok", "ko"], environ={}).load()
    plugins = json.loads(json.dumps(manager.plugin_set()))
    assert [plugin["name"] for plugin in plugins] == ["core", "ok"]
    assert plugins[1] == {"name": "ok", "version": "3.1", "dist": "grail-ok", "target": "grail_ok"}
    assert manager.plugin_set_digest() == plugin_set_digest(plugins)


@pytest.mark.parametrize(
    ("spec", "version", "inside"),
    [
        (">=1,<2", (1, 0), True),
        (">=1,<2", (1, 7), True),
        (">=1,<2", (2, 0), False),
        (">=1.1", (1, 0), False),
        ("==1", (1, 3), True),
        ("==1.2", (1, 3), False),
        ("!=1.3, >=1", (1, 3), False),
        ("<=1", (1, 1), False),
        (">1", (1, 1), True),
        ("", (9, 9), True),
    ],
)
def test_api_range(spec, version, inside):
    assert api_in_range(spec, version) is inside


def test_api_range_errors():
    with pytest.raises(PluginIncompatibleError, match=r"needs plugin API >=99, this is 1\.0"):
        check_api(">=99", (1, 0))
    for spec in ("1", "~=1", ">=one", ">=1,,<2"):
        with pytest.raises(PluginLoadError, match="write a range such as"):
            check_api(spec, (1, 0))


def test_api_range_in_the_text_of_a_module():
    assert declared_api('import x\ngrail_api = ">=2"\n') == ">=2"
    assert declared_api("grail_api: Final = '<3'  # why\n") == "<3"
    assert declared_api("    grail_api = '<3'\n") == ""
