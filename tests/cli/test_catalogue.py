"""`grail tasks`, `grail terms`, `grail doctor`."""

import json

import attrs
import pytest

from grail_framework import hookimpl
from grail_framework.cli import doctor
from grail_framework.cli.cfg_report import describe_cfg, walk
from grail_framework.config import ActionCfg, EngineCfg, RewardTermCfg, RunCfg, distributions
from grail_framework.config.distributions import Mismatch
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.plugins.results import HealthCheck


@attrs.frozen(kw_only=True)
class Spring:
    """A documented configuration."""

    stiffness: float = 2.5
    """How stiff it is. [N/m]"""
    links: tuple[str, ...] = ("a", "b")
    """What it joins."""
    rest: float | None = None
    """Length at rest; None: measured. [m]"""
    terms: dict[str, int] = attrs.field(factory=lambda: {"x": 1})
    """Counts. [-]"""


def test_every_leaf_has_value_unit_and_meaning():
    lines = [line.split("#") for line in describe_cfg(Spring())]
    assert [(left.strip(), right.strip()) for left, right in lines] == [
        ("stiffness = 2.5 [N/m]", "How stiff it is."),
        ("links = [a, b]", "What it joins."),
        ("rest = null", "Length at rest; None: measured."),
        ("terms.x = 1 [-]", "Counts."),
    ]


PARAMETERS = ("core:motion_tracking", "core:motion_base", "hoi:pnp_table", "hoi:pnp_ground")


@pytest.mark.parametrize("task", PARAMETERS)
def test_every_number_of_a_task_has_a_unit(task):
    """A number without dimension has the unit `-`; widths of layers are the networks' own affair."""
    registry = GrailPluginManager().load().registry
    leaves = list(walk(registry.find("task", task).load()(), registry=registry))
    numbers = [(path, doc.unit) for path, value, doc in leaves if is_number(value) and not path.startswith("network.")]
    assert len(numbers) > 40
    assert [path for path, unit in numbers if not unit] == []


def is_number(value):
    if isinstance(value, tuple) and value:
        return all(map(is_number, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def test_parameters_are_described_by_their_terms():
    registry = GrailPluginManager().load().registry
    lines = "\n".join(describe_cfg(registry.find("task", "hoi:pnp_table").load()(), registry))
    for expected in (
        "rewards.grasp_right.weight = 40.0 [1/s]",
        "rewards.grasp_right.params.force_threshold = 0.1 [N]",
        "rewards.tracking_body_linvel.params.std = 1.0 [m/s]",
        "terminations.anchor_ori.params.threshold = 1.0 [rad^2]",
        "observations.policy.terms.joint_vel.noise.high = 0.5 [rad/s]",
        "observations.policy.terms.motion_anchor_ori_b.noise.low = -0.05 [-]",
        "scene.table.size = [2.0, 0.6, 0.04] [m]",
        "algorithm.gamma = 0.99 [-]",
    ):
        assert expected in lines
    assert "# largest squared angle." in lines


def small_task():
    """Return a task for `tasks show`."""
    return RunCfg(
        task="small:small",
        action=ActionCfg(func="core:joint_residual"),
        engine=EngineCfg(physics_dt=0.002),
        observations={},
        rewards={"near": RewardTermCfg(func="near", weight=-1.5, params={"std": 0.3})},
        terminations={},
    )


def test_paths_are_those_of_overrides():
    leaves = {path: value for path, value, _ in walk(small_task())}
    assert leaves["rewards.near.weight"] == -1.5
    assert leaves["rewards.near.params.std"] == 0.3
    assert leaves["engine.physics_dt"] == 0.002


@hookimpl
def grail_register_tasks(registry):
    """Register tasks."""
    registry.add("small", f"{__name__}:small_task", summary="A small task")
    registry.add("broken", "no_such_module:task")
    registry.add("odd", "builtins:dict")


@pytest.fixture
def small(register_plugin):
    return register_plugin(grail_register_tasks, name="small")


@pytest.mark.usefixtures("small")
def test_tasks_list(grail_cli):
    done = grail_cli("tasks", "list")
    assert any(line.split()[:3] == ["task", "small", "small"] and "A small task" in line for line in done.stdout.splitlines())
    entries = {e["name"]: e for e in json.loads(grail_cli("tasks", "list", "--json").stdout)["entries"]}
    assert entries["small"]["plugin"] == "small"


@pytest.mark.usefixtures("small")
def test_tasks_show(grail_cli):
    lines = grail_cli("tasks", "show", "small").stdout.splitlines()
    assert lines[0] == "# small:small: A small task"
    assert any(line.startswith("engine.physics_dt = 0.002 [s]") and "# Length of a physics step." in line for line in lines)
    assert any(line.startswith("rewards.near.params.std = 0.3") for line in lines)


@pytest.mark.usefixtures("small")
def test_tasks_show_mistakes(grail_cli):
    unknown = grail_cli("tasks", "show", "smal")
    assert unknown.exit_code == 2
    assert "did you mean 'small'?" in unknown.stderr
    for name, part in (("broken", "no_such_module:task"), ("odd", "returned dict, allowed: RunCfg")):
        done = grail_cli("tasks", "show", name)
        assert done.exit_code == 3
        assert part in done.stderr


def test_clashing_names_are_listed_qualified(grail_cli, register_plugin):
    register_plugin(grail_register_tasks, name="one")
    register_plugin(grail_register_tasks, name="two")
    out = grail_cli("tasks", "list").stdout
    assert "one:small" in out
    assert "two:small" in out


def test_terms_list_by_kind(grail_cli):
    lines = grail_cli("terms", "list", "--kind", "robot").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["robot", "g1_29dof", "core"], ["robot", "g1_43dof", "core"]]
    assert "nothing is registered" in grail_cli("terms", "list", "--kind", "cli").stdout
    assert grail_cli("terms", "list", "--kind", "colour").exit_code == 2


def test_doctor_shows_versions_plugins_and_checks(grail_cli, register_plugin):
    @hookimpl
    def grail_health_checks():
        return [HealthCheck(name="blender", ok=True, detail="4.2")]

    register_plugin(grail_health_checks, name="artist")
    done = grail_cli("doctor")
    assert done.exit_code == 0
    for part in ("grail-framework", "plugin API 1.0", "torch", "GPU", "plugin artist", "artist: blender", "core: python"):
        assert part in done.stdout


def test_doctor_says_which_physics_can_be_used_and_why_not(grail_cli, monkeypatch):
    missing = Mismatch(requirement="ovstage==0.2.1", installed=None, wanted_by="isaaclab 3.0.0")
    monkeypatch.setattr(doctor, "platform_problem", lambda engine: "")
    monkeypatch.setattr(doctor, "installed_version", lambda package: "3.0.0")
    monkeypatch.setattr(doctor, "version_mismatches", lambda: [])
    monkeypatch.setattr(doctor, "physics_mismatches", lambda physics: [missing] if physics == "ovphysx" else [])
    monkeypatch.setattr(doctor, "driver_cuda", lambda: "12.8")
    done = grail_cli("doctor")
    lines = [line.split("  ") for line in done.stdout.splitlines()]
    found = {cells[0]: [cell.strip() for cell in cells[1:] if cell.strip()] for cells in lines}
    assert found["physics newton"] == ["usable"]
    assert found["physics ovphysx"] == [
        "not usable",
        "isaaclab 3.0.0 wants ovstage==0.2.1 (not installed)",
        "pip install 'ovstage==0.2.1'",
    ]
    assert "driver: 12.8, torch: " in done.stdout
    monkeypatch.setattr(doctor, "installed_version", lambda package: None)
    assert "isaaclab is not installed" in grail_cli("doctor").stdout
    monkeypatch.setattr(doctor, "platform_problem", lambda engine: "the engine isaaclab runs on Linux x86-64")
    assert grail_cli("doctor").stdout.count("isaaclab runs on Linux x86-64") == 3


def test_doctor_finds_versions_that_isaaclab_does_not_want(grail_cli, monkeypatch):
    wrong = Mismatch(requirement="torch==2.11.0", installed="2.9.1", wanted_by="isaaclab 3.0.0")
    monkeypatch.setattr(distributions, "installed_version", lambda package: "3.0.0")
    monkeypatch.setattr(distributions, "version_mismatches", lambda: [wrong])
    done = grail_cli("doctor")
    assert done.exit_code == 3
    assert "torch==2.11.0 (2.9.1 is installed)" in done.stdout
    assert "pip install 'torch==2.11.0'" in done.stdout


def test_doctor_is_exit_code_3_when_a_check_is_not_ok(grail_cli, register_plugin):
    @hookimpl
    def grail_health_checks():
        return [HealthCheck(name="blender", ok=False, detail="missing", fix="install Blender 4")]

    register_plugin(grail_health_checks, name="artist")
    done = grail_cli("doctor")
    assert done.exit_code == 3
    assert "install Blender 4" in done.stdout
