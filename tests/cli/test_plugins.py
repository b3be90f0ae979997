"""`grail plugins`: formats, filters, show, check."""

import json
import os
import sys
from importlib.resources import files

import jsonschema
import pytest
from click.testing import CliRunner

from grail_framework import hookimpl
from grail_framework.cli.main import build_cli
from grail_framework.cli.render import Row, show_table
from grail_framework.plugins.manager import GrailPluginManager

SCHEMA = json.loads((files("grail_framework.cli") / "schemas" / "plugins_list.schema.json").read_text())


@hookimpl
def grail_register_rewards(registry):
    """Register two rewards."""
    registry.add("near", "pkg:near")
    registry.add("far", "pkg:far")


@hookimpl
def grail_run_started(run):
    """Watch."""


@pytest.fixture
def two(register_plugin):
    register_plugin(grail_register_rewards, name="rewarding", api=">=1")
    register_plugin(grail_run_started, name="watching")


def listed(result):
    return [item["name"] for item in json.loads(result.stdout)["plugins"]]


def run_with(make_dist, *arguments, env=None):
    """Run `grail` on a good, a broken and a shadowed distribution, without those of the environment."""
    make_dist("grail-fine", entry_points={"fine": "grail_fine"}, modules={"grail_fine": ""}, version="1.2")
    make_dist("grail-bad", entry_points={"bad": "grail_bad"}, modules={"grail_bad": "1/0"})
    make_dist("grail-other", entry_points={"fine": "grail_other"}, modules={"grail_other": ""})
    only = {"GRAIL_PLUGINS": "fine bad", "GRAIL_PLUGINS_STRICT": None, "GRAIL_DISABLE_PLUGINS": None}
    return CliRunner().invoke(build_cli(), arguments, env={**only, **(env or {})})


@pytest.mark.usefixtures("two")
def test_filters(grail_cli):
    assert listed(grail_cli("plugins", "list", "--json")) == ["rewarding", "watching"]
    assert listed(grail_cli("plugins", "list", "--json", "--all")) == ["core", "rewarding", "watching"]
    assert listed(grail_cli("plugins", "list", "--json", "--kind", "reward")) == ["rewarding"]
    assert listed(grail_cli("plugins", "list", "--format", "json", "--hook", "grail_run_started")) == ["watching"]


def test_unknown_hook_suggests(grail_cli):
    done = grail_cli("plugins", "list", "--hook", "grail_run_start")
    assert done.exit_code == 2
    assert "did you mean 'grail_run_started'" in done.stderr


def test_filter_needs_loading(grail_cli):
    assert grail_cli("plugins", "list", "--no-load", "--kind", "task").exit_code == 2


def test_json_fits_the_schema_in_every_state(make_dist, grail_cli):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    result = run_with(make_dist, "--no-plugin", "grail-bad", "plugins", "list", "--json", "--all")
    jsonschema.validate(json.loads(result.stdout), SCHEMA)
    document = json.loads(CliRunner().invoke(build_cli(), ["plugins", "list", "--json", "--all"]).stdout)
    jsonschema.validate(document, SCHEMA)
    by_key = {(p["name"], p["dist"]): p for p in document["plugins"]}
    assert by_key["bad", "grail-bad"]["status"] == "failed"
    assert by_key["fine", "grail-other"]["status"] == "shadowed"
    jsonschema.validate(json.loads(grail_cli("plugins", "list", "--json", "--no-load").stdout), SCHEMA)


def test_requirements_can_be_installed_elsewhere(make_dist):
    lines = run_with(make_dist, "plugins", "list", "--format", "requirements").stdout.splitlines()
    assert lines == ["grail-fine==1.2"]


def test_requirements_mark_editable_installs_and_files(make_dist, tmp_path, monkeypatch):
    folder = make_dist("grail-ed", entry_points={"ed": "grail_ed"}, modules={"grail_ed": ""})
    (folder / "grail_ed-1.0.dist-info" / "direct_url.json").write_text('{"dir_info": {"editable": true}}')
    path = tmp_path / "own_plugin_file.py"
    path.write_text("")
    arguments = ["--plugin-file", str(path), "plugins", "list", "--format", "requirements"]
    lines = CliRunner().invoke(build_cli(), arguments, env={"GRAIL_PLUGINS": "ed"}).stdout.splitlines()
    assert lines == [f"# plugin file: {path}", f"grail-ed==1.0  # editable install: {folder / 'grail_ed.py'}"]
    monkeypatch.delitem(sys.modules, "own_plugin_file")


def test_footer_counts_and_names_what_disabled(make_dist):
    out = run_with(make_dist, "--no-plugin", "bad", "--no-plugin", "nobody", "plugins", "list").stdout
    assert "1 active" in out
    assert "1 shadowed" in out
    assert "disabled by: --no-plugin, not in GRAIL_PLUGINS" in out
    assert "warning: --no-plugin: no plugin or distribution 'nobody'" in out
    assert "grail plugins show NAME" in out


def test_no_plugin_option_and_environment(make_dist):
    result = run_with(make_dist, "--no-plugin", "grail-fine", "plugins", "list", "--json", env={"GRAIL_DISABLE_PLUGINS": "bad"})
    plugins = {p["dist"]: p for p in json.loads(result.stdout)["plugins"]}
    assert plugins["grail-fine"]["error"] == "--no-plugin"
    assert plugins["grail-bad"]["error"] == "GRAIL_DISABLE_PLUGINS"
    assert plugins["grail-other"]["status"] == "active"


def test_strict_counts_clashes(grail_cli, register_plugin):
    register_plugin(grail_register_rewards, name="one")
    assert grail_cli("plugins", "list", "--strict").exit_code == 0
    register_plugin(grail_register_rewards, name="two")
    done = grail_cli("plugins", "list", "--strict")
    assert done.exit_code == 3
    assert "reward 'near' has several owners: write one:near or two:near" in done.stdout


@pytest.mark.usefixtures("two")
def test_show(grail_cli):
    done = grail_cli("plugins", "show", "rewarding")
    assert done.exit_code == 0
    for part in ("rewarding  active", "reward        near  pkg:near", "grail_register_rewards", ">=1 (this is 1.0)"):
        assert part in done.stdout
    missing = grail_cli("plugins", "show", "rewardin")
    assert missing.exit_code == 2
    assert "did you mean 'rewarding'?" in missing.stderr


def test_show_both_of_a_name(make_dist):
    out = run_with(make_dist, "plugins", "show", "fine").stdout
    assert "fine  active" in out
    assert "fine  shadowed" in out
    assert "--no-plugin grail-fine" in out


CHECKED = """
from grail_framework import hookimpl

grail_api = ">=1,<2"

@hookimpl
def grail_register_rewards(registry):
    registry.add("fine", "grail_checked:fine")
    registry.add("absent", "grail_checked:absent")
    registry.add("number", "grail_checked:number")

@hookimpl
def grail_register_tasks(registry):
    registry.add("wrong", "grail_checked:fine")
    registry.add("raises", "grail_checked:raises")

def fine():
    return 1

def raises():
    raise ValueError("no clips")

number = 3
"""


def test_check_imports_every_target(make_dist):
    make_dist("grail-checked", entry_points={"checked": "grail_checked"}, modules={"grail_checked": CHECKED})
    done = CliRunner().invoke(build_cli(), ["plugins", "check", "checked"], env={"GRAIL_PLUGINS": "checked"})
    assert done.exit_code == 3
    faults = [line.strip() for line in done.stdout.splitlines()[1:]]
    assert len(faults) == 4
    for part in (
        "reward 'checked:absent' cannot be loaded from 'grail_checked:absent'",
        "reward 'checked:number': grail_checked:number is a int",
        "task 'checked:wrong': grail_checked:fine returned int, allowed: RunCfg",
        "task 'checked:raises': building it raised ValueError: no clips",
    ):
        assert any(part in fault for fault in faults)


def test_check_asks_for_an_api_range(make_dist):
    make_dist("grail-plain", entry_points={"plain": "grail_plain"}, modules={"grail_plain": ""})
    done = CliRunner().invoke(build_cli(), ["plugins", "check", "plain"], env={"GRAIL_PLUGINS": "plain"})
    assert done.exit_code == 3
    assert 'write grail_api = ">=1,<2"' in done.stdout


def test_table_on_a_terminal_keeps_markup_of_others_as_text(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    show_table(("Name", "Remarks"), [Row(("x", "[red]not markup[/red] :smile:"), problem=True)])
    assert "[red]not markup[/red] :smile:" in capsys.readouterr().out


def test_plain_table_keeps_full_cells(capsys):
    show_table(("Name", "Remarks"), [Row(("x", "y" * 300))])
    assert capsys.readouterr().out.splitlines() == ["Name  Remarks", "x     " + "y" * 300]


def test_list_order_is_that_of_loading(grail_cli):
    manager = GrailPluginManager(environ=dict(os.environ)).load()
    assert [r.name for r in manager.records][:1] == ["core"]
    assert grail_cli("plugins", "list").exit_code == 0
