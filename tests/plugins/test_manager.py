"""The manager calls each hook of a plugin, and answers for plugins that raise."""

import logging
from pathlib import Path

import attrs
import pytest

from grail_framework import hookimpl
from grail_framework.config import ActionCfg, RunCfg
from grail_framework.errors import ConfigError, NotFoundError, PluginConflictError, PluginError, TaskNotFoundError
from grail_framework.motion.faults import ClipFault
from grail_framework.plugins.context import RunContext
from grail_framework.plugins.loading import REGISTRATION_HOOKS
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.plugins.results import CheckpointFormat, HealthCheck, SettledRun, TerrainMotion, TerrainPlan


@pytest.fixture
def cfg():
    return RunCfg(task="t", action=ActionCfg(func="a"), observations={}, rewards={}, terminations={})


@pytest.fixture
def run(tmp_path, cfg):
    return RunContext(run_dir=tmp_path, task="t", cfg=cfg)


def make_registration(name):
    def register(registry):
        registry.add("thing", "pkg.mod:thing", summary="a thing")

    register.__name__ = name
    return hookimpl(register)


@pytest.mark.parametrize("name", REGISTRATION_HOOKS)
def test_registration_hook(register_plugin, grail_manager, name):
    record = register_plugin(make_registration(name), name="things")
    assert record.status.value == "active"
    assert record.hooks == (name,)
    assert record.provides == {REGISTRATION_HOOKS[name]: 1}
    entry = grail_manager.registry.find(REGISTRATION_HOOKS[name], "things:thing")
    assert (entry.target, entry.summary, entry.plugin) == ("pkg.mod:thing", "a thing", "things")


def test_configure_run_chains_and_names_the_authors(register_plugin, grail_manager, cfg):
    @hookimpl
    def grail_configure_run(cfg):
        return attrs.evolve(cfg, num_envs=cfg.num_envs // 2)

    register_plugin(grail_configure_run, name="halve")
    register_plugin(grail_configure_run, name="halve_again")
    register_plugin(hookimpl(lambda cfg: None, specname="grail_configure_run"), name="look_only")
    changed = grail_manager.configure_run(attrs.evolve(cfg, num_envs=64))
    assert changed.num_envs == 16
    assert grail_manager.config_edits == ("halve", "halve_again")


def test_settle_run_chains_and_collects_what_the_user_should_know(register_plugin, grail_manager, cfg):
    def halve(name):
        def grail_settle_run(cfg):
            return SettledRun(cfg=attrs.evolve(cfg, num_envs=cfg.num_envs // 2), warnings=(f"{name} halved",))

        return hookimpl(grail_settle_run)

    register_plugin(halve("a"), name="a")
    register_plugin(hookimpl(lambda cfg: None, specname="grail_settle_run"), name="look_only")
    register_plugin(halve("b"), name="b")
    settled = grail_manager.settle_run(attrs.evolve(cfg, num_envs=64))
    assert (settled.cfg.num_envs, settled.warnings) == (16, ("a halved", "b halved"))
    assert grail_manager.config_edits == ()


def test_settle_run_must_return_a_settled_run(register_plugin, grail_manager, cfg):
    register_plugin(hookimpl(lambda cfg: cfg, specname="grail_settle_run"), name="plain")
    with pytest.raises(PluginError, match="plugin 'plain': grail_settle_run returned RunCfg, allowed: SettledRun or None"):
        grail_manager.settle_run(cfg)


def test_configure_run_must_return_a_configuration(register_plugin, grail_manager, cfg):
    @hookimpl
    def grail_configure_run(cfg):
        return {"num_envs": 1}

    register_plugin(grail_configure_run, name="plain")
    with pytest.raises(PluginError, match=r"plugin 'plain'.*returned dict, allowed: RunCfg or None"):
        grail_manager.configure_run(cfg)


def test_discover_terrain_takes_the_first_answer(register_plugin, grail_manager, cfg):
    plan = TerrainPlan(motions=(TerrainMotion(key="a", stem="a", usd="a.usd"),), env_motion=("a",), terrain_dir="hills")
    asked = []

    @hookimpl
    def grail_discover_terrain(cfg, rank, world_size):
        asked.append((rank, world_size))
        return plan

    assert grail_manager.discover_terrain(cfg, 0, 1) is None
    register_plugin(grail_discover_terrain, name="first")
    register_plugin(hookimpl(lambda rank: None, specname="grail_discover_terrain"), name="second")
    assert grail_manager.discover_terrain(cfg, 1, 2) is plan
    assert asked == [(1, 2)]


def test_check_motions_collects_what_all_plugins_find(register_plugin, grail_manager, cfg):
    def finds(key):
        def grail_check_motions(motions):
            return [ClipFault(path=Path(f"{name}.pkl"), key=name, reason=key) for name in motions.keys]

        return hookimpl(grail_check_motions)

    class Motions:
        keys = ("a", "b")

    assert grail_manager.check_motions(cfg, Motions()) == []
    register_plugin(finds("one"), name="one")
    register_plugin(finds("two"), name="two")
    found = grail_manager.check_motions(cfg, Motions())
    assert sorted((fault.key, fault.reason) for fault in found) == [("a", "one"), ("a", "two"), ("b", "one"), ("b", "two")]


def test_contact_labels(register_plugin, grail_manager):
    labels, motion = object(), object()
    asked = []

    @hookimpl
    def grail_contact_labels(motion, num_frames, target_fps):
        asked.append((num_frames, target_fps))
        return labels

    register_plugin(grail_contact_labels)
    assert grail_manager.contact_labels(motion, 120, 50.0) is labels
    assert asked == [(120, 50.0)]


def test_checkpoint_formats(register_plugin, grail_manager):
    form = CheckpointFormat(name="npz", detect=lambda path: path.suffix == ".npz", read=lambda path: {})

    @hookimpl
    def grail_checkpoint_formats():
        return [form]

    register_plugin(grail_checkpoint_formats)
    assert grail_manager.checkpoint_formats() == [form]


def test_observers_are_told_everything(register_plugin, grail_manager, run):
    told = []

    @hookimpl
    def grail_run_started(run):
        told.append(("started", run.task))

    @hookimpl
    def grail_iteration_finished(run, metrics):
        told.append(("iteration", metrics["reward"]))

    @hookimpl
    def grail_checkpoint_saved(path):
        told.append(("saved", path.name))

    @hookimpl
    def grail_run_failed(error):
        told.append(("failed", str(error)))

    @hookimpl
    def grail_run_finished(summary):
        told.append(("finished", summary["iterations"]))

    register_plugin(grail_run_started, grail_iteration_finished, grail_checkpoint_saved, grail_run_failed, grail_run_finished)
    grail_manager.run_started(run)
    grail_manager.iteration_finished(run, {"reward": 2.0})
    grail_manager.checkpoint_saved(run, Path("model_step_000001.pt"))
    grail_manager.run_failed(run, ValueError("boom"))
    grail_manager.run_finished(run, {"iterations": 3})
    assert told == [
        ("started", "t"),
        ("iteration", 2.0),
        ("saved", "model_step_000001.pt"),
        ("failed", "boom"),
        ("finished", 3),
    ]


def test_observer_that_raises_is_switched_off_with_one_warning(register_plugin, grail_manager, run, caplog):
    calls = {"bad": 0, "good": 0}

    @hookimpl
    def grail_iteration_finished(run):
        calls["good"] += 1

    register_plugin(grail_iteration_finished, name="good")

    @hookimpl
    def grail_iteration_finished(run):
        calls["bad"] += 1
        raise ConnectionError("service is down")

    register_plugin(grail_iteration_finished, name="bad")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            grail_manager.iteration_finished(run, {})
    assert calls == {"bad": 1, "good": 3}
    assert [record.getMessage() for record in caplog.records] == [
        "plugin 'bad': grail_iteration_finished raised ConnectionError: service is down; its observers are switched off"
    ]
    assert "switched off" in grail_manager.find_records("bad")[0].notes[0]


def test_critical_hook_that_raises_names_the_plugin(register_plugin, grail_manager, cfg):
    @hookimpl
    def grail_discover_terrain(cfg):
        raise KeyError("stairs")

    register_plugin(grail_discover_terrain, name="hills")
    with pytest.raises(PluginError, match=r"plugin 'hills': grail_discover_terrain raised KeyError: 'stairs'"):
        grail_manager.discover_terrain(cfg, 0, 1)


def test_expected_error_of_a_critical_hook_keeps_its_kind(register_plugin, grail_manager, cfg):
    @hookimpl
    def grail_configure_run(cfg):
        raise ConfigError("num_envs: too many")

    register_plugin(grail_configure_run, name="limit")
    with pytest.raises(ConfigError, match="too many") as raised:
        grail_manager.configure_run(cfg)
    assert raised.value.__notes__ == ["raised by grail_configure_run of the plugin 'limit'"]


def test_health_checks_survive_a_plugin_that_raises(register_plugin, grail_manager):
    @hookimpl
    def grail_health_checks():
        return [HealthCheck(name="licence", ok=True)]

    register_plugin(grail_health_checks, name="fine")

    @hookimpl
    def grail_health_checks():
        raise OSError("no disk")

    register_plugin(grail_health_checks, name="sick")
    checks = {(plugin, check.name): check for plugin, check in grail_manager.health_checks()}
    assert checks["fine", "licence"].ok
    assert checks["sick", "health checks"].detail == "OSError: no disk"
    assert checks["core", "python"].ok


def test_hooks_are_traced(make_dist, capsys, run):
    source = "from grail_framework import hookimpl\n@hookimpl\ndef grail_run_started(run):\n    return 5\n"
    make_dist("grail-traced", entry_points={"traced": "grail_traced"}, modules={"grail_traced": source})
    GrailPluginManager(allow=["traced"], environ={"GRAIL_TRACE_HOOKS": "1"}).run_started(run)
    assert "hook grail_run_started: traced -> 5" in capsys.readouterr().err


def test_load_happens_once(grail_manager):
    records = grail_manager.records
    assert grail_manager.load() is grail_manager
    assert grail_manager.records == records


# --- Names ------------------------------------------------------------------------------------------------------------------


def test_name_clash_is_an_error_that_names_both_and_a_qualified_name_resolves_it(register_plugin, grail_manager):
    hook = make_registration("grail_register_rewards")
    register_plugin(hook, name="alpha")
    register_plugin(hook, name="beta")
    with pytest.raises(PluginConflictError, match=r"plugins 'alpha' and 'beta'; write alpha:thing or beta:thing"):
        grail_manager.registry.find("reward", "thing")
    assert grail_manager.registry.find("reward", "beta:thing").plugin == "beta"
    for name in ("alpha", "beta"):
        assert grail_manager.find_records(name)[0].notes == (
            "reward 'thing' has several owners: write alpha:thing or beta:thing",
        )


def test_same_name_in_two_distributions_is_shadowed_not_dropped(make_dist):
    for dist, module in (("grail-aaa", "grail_aaa"), ("grail-bbb", "grail_bbb")):
        source = "from grail_framework import hookimpl\n@hookimpl\ndef grail_register_tasks(registry):\n"
        source += f"    registry.add('{module}', 'a:b')\n"
        make_dist(dist, entry_points={"same": module}, modules={module: source})
    manager = GrailPluginManager(allow=["same"], environ={}).load()
    first, second = manager.find_records("same")
    assert (first.dist, first.status.value) == ("grail-aaa", "active")
    assert (second.dist, second.status.value) == ("grail-bbb", "shadowed")
    assert "grail-aaa 1.0, entry point same = grail_aaa" in second.reason
    other = GrailPluginManager(disable=["grail-aaa"], allow=["same"], environ={}).load()
    assert [record.status.value for record in other.find_records("same")] == ["disabled", "active"]
    assert other.registry.find("task", "grail_bbb").plugin == "same"


def test_core_name_cannot_be_taken(make_dist):
    make_dist("grail-usurper", entry_points={"core": "grail_usurper"}, modules={"grail_usurper": ""})
    manager = GrailPluginManager(allow=["grail-usurper"], environ={}).load()
    assert [record.status.value for record in manager.find_records("core")] == ["active", "shadowed"]


def test_one_module_under_two_names(make_dist):
    make_dist("grail-double", entry_points={"one": "grail_double", "two": "grail_double"}, modules={"grail_double": ""})
    manager = GrailPluginManager(allow=["grail-double"], environ={}).load()
    assert [record.status.value for record in manager.find_records("grail-double")] == ["active", "failed"]
    assert "already loaded as the plugin 'one'" in manager.find_records("two")[0].reason


def test_inline_plugin_with_a_taken_name(register_plugin):
    register_plugin(name="here")
    with pytest.raises(PluginError, match="'here' is already registered"):
        register_plugin(name="here")


def test_unknown_names_suggest(grail_manager, register_plugin):
    register_plugin(make_registration("grail_register_tasks"), name="things")
    with pytest.raises(TaskNotFoundError, match=r"no task 'thin': did you mean 'thing'\?"):
        grail_manager.registry.find("task", "thin")
    with pytest.raises(NotFoundError, match="no cli 'thing': none is registered"):
        grail_manager.registry.find("cli", "thing")
