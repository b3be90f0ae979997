"""`grail run` up to the point where the engine would start."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "config"))
from config_example import EXPERIMENT, ExamplePlugin, ExampleSection, make_library
from mistakes import make_cli

from grail_framework import hookimpl
from grail_framework.cli.main import build_cli
from grail_framework.config.files import from_yaml
from grail_framework.errors import RunStoppedError
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.summary import RunSummary


@pytest.fixture
def library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return make_library(tmp_path / "box_ha")


def grail(*argv, cli=None):
    return CliRunner().invoke(make_cli() if cli is None else cli, ["run", *argv])


def test_dry_run_prints_the_whole_configuration_and_nothing_else(library, tmp_path):
    result = grail("--task", "lift", "--data", str(library), "--dry-run", "rewards.grasp_right.weight=20")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    cfg = from_yaml(result.stdout, sections={"example": ExampleSection})
    assert (cfg.task, cfg.engine.name, cfg.num_envs) == ("example:lift", "mujoco", 64)
    assert cfg.rewards["grasp_right"].weight == 20.0
    assert list(tmp_path.iterdir()) == [library]


def test_missing_basis_point_sets_are_a_warning(library):
    shutil.rmtree(library / "bps")
    result = grail("--task", "lift", "--data", str(library), "--dry-run")
    assert result.exit_code == 0, result.output
    assert "warning: no basis point sets in " in result.stderr
    assert "observations.policy.terms.object_bps is zeros. Add --bps DIR" in result.stderr


def test_release_line_in_any_order(library):
    line = [
        "num_envs=4",
        f"+exp={EXPERIMENT}",
        "headless=True",
        "--engine",
        "mujoco",
        "++algo.config.num_learning_iterations=3",
        f"++manager_env.commands.motion.motion_lib_cfg.motion_file={library}/robot",
        "++manager_env.config.gpu_collision_stack_size_exp=28",
        "~manager_env.terminations.anchor_pos",
        "--dry-run",
    ]
    result = grail(*line)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("warning:") == 1
    cfg = from_yaml(result.stdout, sections={"example": ExampleSection})
    assert (cfg.num_envs, cfg.iterations, cfg.motion.data) == (4, 3, str(library))
    assert list(cfg.terminations) == ["tracking_time_out"]


def test_dry_run_output_equals_the_same_run_from_flags(library):
    flags = grail("--task", "lift", "--data", str(library), "--num-envs", "8", "--iterations", "3", "--dry-run")
    release = grail(
        f"+exp={EXPERIMENT}",
        "num_envs=8",
        "++algo.config.num_learning_iterations=3",
        f"++manager_env.commands.motion.motion_lib_cfg.motion_file={library}/robot",
        "--dry-run",
    )
    assert flags.stdout == release.stdout


@pytest.fixture
def launched(monkeypatch):
    """Stand at the door of the engine: these tests are about what gets there."""
    calls = []

    def launch(cfg, manager, *, on_stage, time_budget_s):
        calls.append((cfg, manager, time_budget_s))
        on_stage("building environments")
        return RunSummary(
            run_dir=Path("logs_rl/x"),
            task=cfg.task,
            plugins=("core 0.1.0",),
            engine=cfg.engine.name,
            num_envs=cfg.num_envs,
            num_motions=1,
            iterations=cfg.iterations,
            samples_per_second=1234.5,
            duration_s=2.0,
            zero_action=result(0.1),
            at_end=result(0.25),
        )

    def result(fraction):
        return SimpleNamespace(tracked_fraction=fraction, mean_reward=0.05, mean=lambda _: None, causes={"anchor_pos": 2})

    # The module is not imported: it would bring torch and accelerate into a test of the command line.
    monkeypatch.setitem(sys.modules, "grail_framework.runs.launch", SimpleNamespace(launch=launch))
    return calls


def test_the_checked_configuration_is_launched(library, launched):
    result = grail("--task", "lift", "--data", str(library), "--iterations", "3", "--seed", "5")
    assert result.exit_code == 0, result.output
    ((cfg, manager, time_budget_s),) = launched
    assert (cfg.iterations, cfg.seed, cfg.engine.name, time_budget_s) == (3, 5, "mujoco", None)
    assert manager.registry.find("task", "lift").plugin == "example"
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["iterations", "3"] in lines
    assert ["samples/s", "1,234"] in lines
    assert ["zero", "action", "0.100", "0.0500", "-", "anchor_pos", "2"] in lines
    assert ["at", "the", "end", "0.250", "0.0500", "-", "anchor_pos", "2"] in lines
    assert "run directory: logs_rl/x" in result.stdout
    assert "building environments" in result.stderr


def test_minutes_and_a_preset(library, launched):
    result = grail("--task", "lift", "--data", str(library), "--minutes", "1.5", "--preset", "laptop")
    assert result.exit_code == 0, result.output
    ((cfg, _, time_budget_s),) = launched
    assert (cfg.algorithm.desired_kl, cfg.algorithm.init_noise_std, time_budget_s) == (0.05, 0.5, 90.0)
    told = result.stdout.partition("preset laptop: ")[2].splitlines()[0].split("  ")
    assert "algorithm.desired_kl=0.05" in told


def test_nothing_is_launched_after_a_mistake(library, launched):
    result = grail("--task", "lift", "--data", str(library), "--num-envs", "6")
    assert result.exit_code == 2
    assert launched == []


def test_other_processes_stay_silent(library, launched, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    result = grail("--task", "lift", "--data", str(library), "++replay=true")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_exit_code_of_a_stopped_run(library, monkeypatch):
    def launch(*_arguments, **_options):
        raise RunStoppedError("stopped by SIGTERM; saved model_step_000003.pt")

    monkeypatch.setitem(sys.modules, "grail_framework.runs.launch", SimpleNamespace(launch=launch))
    result = grail("--task", "lift", "--data", str(library))
    assert result.exit_code == 4
    assert "model_step_000003.pt" in result.stderr


def test_plugin_edits_come_before_the_users_and_are_named(library):
    class Editor(ExamplePlugin):
        @hookimpl
        def grail_configure_run(self, cfg):
            return attrs.evolve(cfg, seed=7, iterations=7)

    manager = GrailPluginManager(autoload=False)
    manager.register(Editor(), "example")
    result = grail("--task", "lift", "--data", str(library), "--iterations", "3", "--dry-run", cli=build_cli(manager))
    assert result.exit_code == 0, result.output
    assert "plugin 'example' changed the configuration" in result.stderr
    cfg = from_yaml(result.stdout, sections={"example": ExampleSection})
    assert (cfg.seed, cfg.iterations) == (7, 3)


def test_help_names_the_options_of_the_command():
    result = grail("--help")
    for option in (
        "--task",
        "--data",
        "--bps",
        "--engine",
        "--num-envs",
        "--iterations",
        "--checkpoint",
        "--resume",
        "--physics",
    ):
        assert option in result.stdout
    for option in ("--device", "--experiment-dir", "--seed", "--dry-run", "--on-bad-clip", "OVERRIDES"):
        assert option in result.stdout
