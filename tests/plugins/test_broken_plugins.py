"""Ten ways a plugin can be broken: each ends as a record with a reason, and nothing else suffers."""

import json
import os
import subprocess
import sys

import pytest

from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.testing import write_dist

HEAD = "from grail_framework import hookimpl\n"
GOOD = (
    HEAD
    + """
grail_api = ">=1,<2"

@hookimpl
def grail_register_tasks(registry):
    registry.add("good_task", "grail_good.tasks:good_task", summary="works")
"""
)
TASK_HOOK = "@hookimpl\ndef grail_register_tasks(registry):\n"

# kind: (source of the plugin module, status, part of the reason or note)
BROKEN = {
    "import_error": ("import module_that_is_not_there", "failed", "No module named 'module_that_is_not_there'"),
    "syntax_error": ("def broken(:\n", "failed", "SyntaxError"),
    "exit_at_import": ("raise SystemExit(7)", "failed", "the plugin called exit(7)"),
    "misspelt_hook": (
        HEAD + "@hookimpl\ndef grail_register_task(registry): pass",
        "failed",
        "did you mean 'grail_register_tasks'",
    ),
    "unknown_arg": (HEAD + "@hookimpl\ndef grail_register_tasks(registry, colour): pass", "failed", "colour"),
    "raises_in_registration": (
        HEAD + TASK_HOOK + "    registry.add('half', 'a.b:c')\n    raise RuntimeError('no luck')",
        "failed",
        "RuntimeError: no luck",
    ),
    "duplicate_name": (
        HEAD + TASK_HOOK + "    registry.add('twice', 'a.b:c')\n    registry.add('twice', 'a.b:d')",
        "failed",
        "registers the task 'twice' twice",
    ),
    "future_api": (HEAD + "grail_api = '>=99'\n", "incompatible", "needs plugin API >=99, this is 1.0"),
    "prints_at_import": (
        HEAD + "print('hello', '{')\n" + TASK_HOOK + "    print('again')\n    registry.add('chatty', 'a.b:c')",
        "active",
        "printed 2 line(s)",
    ),
    "missing_attribute": (HEAD, "failed", "has no attribute 'plugin'"),
}


def target(kind):
    return f"grail_{kind}.plugin" + (":plugin" if kind == "missing_attribute" else "")


@pytest.fixture
def load(make_dist):
    """Install the given kinds and a good plugin, load them alone, and return the manager."""

    def install(*kinds):
        make_dist("grail-good", entry_points={"good": "grail_good.plugin"}, modules={"grail_good.plugin": GOOD})
        for kind in kinds:
            name = "grail-" + kind.replace("_", "-")
            make_dist(name, entry_points={kind: target(kind)}, modules={f"grail_{kind}.plugin": BROKEN[kind][0]})
        return GrailPluginManager(allow=["good", *kinds], environ={}).load()

    return install


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_plugin_becomes_a_record(load, kind):
    manager = load(kind)
    (record,) = manager.find_records(kind)
    _, status, reason = BROKEN[kind]
    assert record.status.value == status
    assert reason in "; ".join((record.reason, *record.notes))
    assert (record.dist, record.version, record.target) == (f"grail-{kind.replace('_', '-')}", "1.0", target(kind))
    assert bool(record.hint) == bool(record.traceback) == (status != "active")
    assert manager.registry.find("task", "good_task").plugin == "good"
    assert [r.name for r in manager.problems()] == ([] if status == "active" else [kind])


def test_failed_registration_leaves_nothing_behind(load):
    manager = load("raises_in_registration")
    assert [entry.name for entry in manager.registry.entries("task") if entry.plugin != "core"] == ["good_task"]
    assert "raises_in_registration" not in {item["name"] for item in manager.plugin_set()}


def test_hint_tells_a_missing_dependency_from_a_missing_module(load, make_dist):
    assert "install the module 'module_that_is_not_there'" in load("import_error").find_records("import_error")[0].hint
    make_dist("grail-moved", entry_points={"moved": "grail_moved.plugin"})
    (record,) = GrailPluginManager(allow=["moved"], environ={}).load().find_records("moved")
    assert "reinstall grail-moved" in record.hint


def test_module_of_another_api_that_does_not_import_is_incompatible(make_dist):
    source = 'grail_api = ">=2,<3"\nfrom grail_framework import something_of_api_2\n'
    make_dist("grail-next", entry_points={"next": "grail_next.plugin"}, modules={"grail_next.plugin": source})
    (record,) = GrailPluginManager(allow=["next"], environ={}).load().find_records("next")
    assert record.status.value == "incompatible"
    assert "needs plugin API >=2,<3" in record.reason
    assert "something_of_api_2" in record.traceback


def test_keyboard_interrupt_at_import_is_not_swallowed(make_dist):
    make_dist("grail-stop", entry_points={"stop": "grail_stop"}, modules={"grail_stop": "raise KeyboardInterrupt"})
    with pytest.raises(KeyboardInterrupt):
        GrailPluginManager(allow=["stop"], environ={}).load()


def test_logging_set_up_by_a_plugin_is_taken_back(make_dist):
    import logging

    source = "import logging, sys\nlogging.getLogger().addHandler(logging.StreamHandler(sys.stdout))\n"
    make_dist("grail-log", entry_points={"log": "grail_log"}, modules={"grail_log": source})
    before = list(logging.getLogger().handlers)
    (record,) = GrailPluginManager(allow=["log"], environ={}).load().find_records("log")
    assert logging.getLogger().handlers == before
    assert "root logger" in record.notes[0]


def test_unreadable_entry_points_and_metadata(make_dist):
    folder = make_dist("grail-torn", entry_points={"torn": "grail_torn"})
    (folder / "grail_torn-1.0.dist-info" / "entry_points.txt").write_text("[grail.plugins]\nno equals sign here\n")
    (record,) = GrailPluginManager(allow=["grail-torn"], environ={}).load().find_records("grail-torn")
    assert record.status.value == "failed"
    assert "entry_points.txt cannot be read" in record.reason


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (HEAD + "@hookimpl(wrapper=True)\ndef grail_run_started(run):\n    yield", "declared as a wrapper"),
        (HEAD + "@hookimpl\ndef grail_register_tasks(registry):\n    return ['task']", "must call registry.add"),
        (HEAD + "@hookimpl\ndef grail_register_tasks(registry):\n    registry.add('x', object)", "must be an import string"),
        (HEAD + "grail_api = 'one or two'", "write a range such as"),
    ],
)
def test_other_mistakes_name_what_is_allowed(make_dist, source, reason):
    make_dist("grail-odd", entry_points={"odd": "grail_odd"}, modules={"grail_odd": source})
    (record,) = GrailPluginManager(allow=["odd"], environ={}).load().find_records("odd")
    assert record.status.value == "failed"
    assert reason in record.reason


def test_function_without_the_marker_is_remarked(make_dist):
    make_dist("grail-bare", entry_points={"bare": "grail_bare"}, modules={"grail_bare": "def grail_run_started(run): pass"})
    (record,) = GrailPluginManager(allow=["bare"], environ={}).load().find_records("bare")
    assert record.notes == ("function grail_run_started is not called: it lacks @hookimpl",)


# --- The same ten, all at once, on the command line -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken_site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    write_dist(folder, "grail-good", entry_points={"good": "grail_good.plugin"}, modules={"grail_good.plugin": GOOD})
    for kind, (source, _, _) in BROKEN.items():
        name = "grail-" + kind.replace("_", "-")
        write_dist(folder, name, entry_points={kind: target(kind)}, modules={f"grail_{kind}.plugin": source})
    return folder


def grail(site, *arguments, **environ):
    names = ("GRAIL_PLUGINS", "GRAIL_DISABLE_PLUGINS", "GRAIL_PLUGINS_STRICT", "GRAIL_DEBUG", "GRAIL_TRACE_HOOKS")
    env = {key: value for key, value in os.environ.items() if key not in names} | {"PYTHONPATH": str(site)} | environ
    command = [sys.executable, "-m", "grail_framework", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)


def test_help_with_broken_plugins(broken_site):
    done = grail(broken_site, "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_list_with_broken_plugins(broken_site):
    done = grail(broken_site, "plugins", "list")
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    for kind, (_, status, reason) in BROKEN.items():
        assert status in lines[kind]
        assert reason in lines[kind]
    assert "active" in lines["good"]


def test_json_with_broken_plugins(broken_site):
    done = grail(broken_site, "plugins", "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    listed = {item["name"]: item for item in json.loads(done.stdout)["plugins"]}
    assert {kind: listed[kind]["status"] for kind in BROKEN} == {kind: status for kind, (_, status, _) in BROKEN.items()}
    assert listed["prints_at_import"]["stdout"] == "hello {\nagain\n"


def test_tasks_list_with_broken_plugins_warns_once_per_plugin(broken_site):
    done = grail(broken_site, "tasks", "list")
    assert done.returncode == 0
    assert "good_task" in done.stdout
    assert "chatty" in done.stdout
    warnings = done.stderr.splitlines()
    assert len(warnings) == sum(status != "active" for _, status, _ in BROKEN.values())
    assert all(line.startswith("warning: plugin ") and "grail plugins show" in line for line in warnings)


def test_only_the_first_process_of_a_run_warns(broken_site):
    assert grail(broken_site, "tasks", "list", RANK="1").stderr == ""


def test_strict_is_exit_code_3(broken_site):
    done = grail(broken_site, "tasks", "list", GRAIL_PLUGINS_STRICT="1")
    assert done.returncode == 3
    assert "import_error" in done.stderr
    listed = grail(broken_site, "plugins", "list", "--strict")
    assert listed.returncode == 3
    assert "import_error" in listed.stdout
    assert grail(broken_site, "plugins", "list", GRAIL_PLUGINS_STRICT="1").returncode == 3


def test_task_of_a_failed_plugin_is_exit_code_3(broken_site):
    for arguments in (("tasks", "show", "raises_in_registration:half"), ("tasks", "show", "half"), ("run", "--task", "half")):
        done = grail(broken_site, *arguments)
        assert done.returncode == 3
        message = done.stderr.splitlines()[-1]
        for part in (
            "grail-raises-in-registration 1.0",
            "raises_in_registration = grail_raises_in_registration.plugin",
            "RuntimeError: no luck",
            "grail plugins show raises_in_registration",
        ):
            assert part in message


def test_unknown_task_is_exit_code_2(broken_site):
    for arguments in (("tasks", "show", "good_tusk"), ("run", "--task", "good_tusk")):
        done = grail(broken_site, *arguments)
        assert done.returncode == 2
        message = done.stderr.splitlines()[-1]
        assert "did you mean 'good_task'?" in message
        assert "syntax_error (failed: SyntaxError" in message


def test_debug_shows_the_traceback(broken_site):
    assert "Traceback" not in grail(broken_site, "tasks", "show", "nothing").stderr
    assert "Traceback" in grail(broken_site, "tasks", "show", "nothing", GRAIL_DEBUG="1").stderr


def test_show_and_check_a_broken_plugin(broken_site):
    shown = grail(broken_site, "plugins", "show", "import_error")
    assert shown.returncode == 0
    for part in ("failed", "grail-import-error 1.0", "Traceback", "install the module"):
        assert part in shown.stdout
    checked = grail(broken_site, "plugins", "check", "import_error")
    assert checked.returncode == 3
    assert "FAILED" in checked.stdout


def test_no_load_reads_metadata_only(broken_site):
    done = grail(broken_site, "plugins", "list", "--no-load", "--json")
    listed = {item["name"]: item for item in json.loads(done.stdout)["plugins"]}
    assert {item["status"] for item in listed.values()} == {"not loaded"}
    assert listed["syntax_error"]["version"] == "1.0"


def test_output_does_not_depend_on_hash_seed(broken_site):
    texts = {grail(broken_site, "plugins", "list", "--json", "--all", PYTHONHASHSEED=seed).stdout for seed in ("0", "1", "77")}
    assert len(texts) == 1
