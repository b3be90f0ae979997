"""`grail bench`: what it writes, what it refuses, and that figure and reference are of one size. Never how fast anything is."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

import grail_framework.bench
from grail_framework.cli.main import build_cli
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.testing import HEAVY_MODULES
from grail_framework.testing.fakes import write_box_library

SCHEMA = json.loads((Path(grail_framework.bench.__file__).parent / "schema.json").read_text())
SMALL = ("algorithm.num_steps_per_env=4", "algorithm.num_mini_batches=1", "algorithm.num_learning_epochs=1")
SMALL += ("network.params.actor_hidden_dims=[8]", "network.params.critic_hidden_dims=[8]", "engine.num_threads=1")


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return write_box_library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def bench(manager, library):
    def invoke(command, *arguments, task="pnp_ground"):
        of_task = () if command == "motion" else ("--task", task, "--data", library, "--engine", "mujoco")
        return CliRunner().invoke(build_cli(manager), ["bench", command, *map(str, (*of_task, *arguments))])

    return invoke


def document(done):
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    for row in found["rows"]:
        if row["reference"] is not None:
            assert row["ratio"] == pytest.approx(row["figure"]["median"] / row["reference"]["median"])
    return found


def test_env_measures_the_environment_and_the_physics_in_the_same_steps(bench):
    found = document(bench("env", "--num-envs", 4, "--repeats", 2, "--steps", 3, "--json", *SMALL))
    assert found["benchmark"] == "env"
    assert found["settings"]["task"] == "hoi:pnp_ground"
    assert found["settings"]["num_envs"] == [4]
    (row,) = found["rows"]
    assert row["conditions"] == {"num_envs": 4, "engine": "mujoco", "device": "cpu", "steps": 3}
    assert row["reference"]["name"] == "physics: engine.step within it"
    assert len(row["figure"]["values"]) == len(row["reference"]["values"]) == 2
    assert row["ratio_low"] > 1.0  # the engine's steps are a part of the environment's
    assert row["goal"] == {"at_most": 1.5, "of": "ratio"}
    assert row["details"]["env_steps_per_s"] == pytest.approx(4e3 / row["figure"]["median"])
    assert row["details"]["physics_env_steps_per_s"] == pytest.approx(4e3 / row["reference"]["median"])
    assert "memory_mib_per_env" not in row["details"]  # of a GPU


def test_the_table_has_machine_settings_rows_and_details(bench):
    done = bench("env", "--num-envs", 2, "--repeats", 1, "--steps", 2, *SMALL)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("cpu ")
    assert "torch 2." in lines[0]
    assert lines[1].startswith("task hoi:pnp_ground, engine mujoco")
    assert lines[3].split() == ["measured", "figure", "reference", "ratio", "goal", "met"]
    assert lines[4].startswith("environment step, 2 envs")
    assert "<= 1.5" in lines[4]
    assert any(line.split()[0] == "env_steps_per_s" for line in lines if line.strip())
    assert "measuring 2 environments of hoi:pnp_ground (mujoco)" in done.stderr


def test_engine_compares_to_rollout_to_no_sensors_and_to_one_object(bench):
    found = document(bench("engine", "--num-envs", 3, "--repeats", 1, "--steps", 2, "--json", *SMALL))
    names = [(row["figure"]["name"], row["reference"]["name"]) for row in found["rows"]]
    assert names == [
        ("engine step", "mujoco.rollout without sensors"),
        ("engine step with contact sensors", "the same without contact sensors"),
        ("engine step, 8 objects of 1 to 8 pieces", "one object of 8 pieces"),
    ]
    assert all(row["conditions"]["num_envs"] == 3 and row["conditions"]["steps"] == 2 for row in found["rows"])
    assert found["rows"][1]["conditions"]["links"] > 0
    assert found["rows"][1]["goal"] == {"at_most": 1.1, "of": "ratio"}


def test_train_counts_samples_of_the_real_runner(bench):
    done = bench("train", "--num-envs", 4, "--repeats", 2, "--iterations", 2, "--json", *SMALL)
    (row,) = document(done)["rows"]
    assert row["conditions"] | {"steps_per_iteration": 4, "iterations": 2, "num_envs": 4} == row["conditions"]
    assert row["unit"] == "1/s"
    assert row["goal"] == {"at_least": 0.6, "of": "ratio"}
    assert row["ratio_high"] < 1.0  # training contains the physics it is compared to
    shares = row["details"]["shares"]
    assert list(shares) == ["engine", "environment", "inference", "learning", "other"]
    assert sum(shares.values()) == pytest.approx(1.0)


def test_motion_needs_no_task(bench):
    found = document(bench("motion", "--clips", 20, "--device", "cpu", "--num-envs", "2,3", "--repeats", 1, "--json"))
    windows = [row for row in found["rows"] if row["figure"]["name"].startswith("window")]
    assert [row["conditions"]["num_envs"] for row in windows] == [2, 2, 3, 3]
    assert all(row["goal"] == {"at_least": 0.5, "of": "ratio"} for row in windows)


@pytest.mark.slow
def test_several_sizes_have_a_process_each(bench):
    found = document(bench("env", "--num-envs", "2,3", "--repeats", 1, "--steps", 2, "--json", *SMALL))
    assert [row["conditions"]["num_envs"] for row in found["rows"]] == [2, 3]
    assert found["settings"]["num_envs"] == [2, 3]


@pytest.mark.slow
def test_startup_times_a_real_run_by_its_phases(bench):
    found = document(bench("startup", "--num-envs", 2, "--repeats", 1, "--json", *SMALL))
    run, *commands = found["rows"]
    assert run["figure"]["name"] == "grail run, to the first finished iteration"
    assert run["reference"]["name"] == 'python -c "import torch"'
    phases = run["details"]["phases_s"]
    assert sum(phases.values()) == pytest.approx(run["figure"]["median"])
    assert next(iter(phases)) == "command line, plugins, checks"
    for stage in ("loading PyTorch", "reading motions", "building 2 environments", "training"):
        assert any(name.startswith(stage) for name in phases), phases
    assert [row["figure"]["name"] for row in commands] == ["grail --help", "grail plugins list"]
    assert all(len(row["figure"]["values"]) == len(row["reference"]["values"]) == 6 for row in commands)


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("env", ("--num-envs", "0"), "whole numbers above 0 with commas between them"),
        ("env", ("--num-envs", "4,x"), "'4,x'; allowed: whole numbers"),
        ("env", ("--repeats", "0"), "--repeats"),
        ("engine", ("--engine", "mujco"), "did you mean 'mujoco'"),
        ("engine", ("--device", "cuda"), "cuda"),
        ("train", ("rewards.nothing.weight=1",), "rewards.nothing"),
        ("train", ("--data", "nowhere"), "nowhere does not exist"),
        ("startup", ("--physics", "bullet"), "newton"),
        ("motion", ("--device", "gpu"), "allowed: auto, cpu, cuda, cuda:N"),
        ("motion", ("--data", "nowhere"), "nowhere has no folder robot/"),
        ("motion", ("--clips", "0"), "--clips"),
    ],
)
def test_mistakes(bench, tmp_path, monkeypatch, command, arguments, message):
    monkeypatch.chdir(tmp_path)
    done = bench(command, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "measuring" not in done.stderr


def test_the_group_and_a_mistake_in_an_option_load_nothing_heavy():
    code = (
        "import sys\n"
        "from grail_framework.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules, file=sys.stderr)"
    )
    for arguments in (("bench", "--help"), ("bench", "motion", "--device", "gpu")):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert not set(done.stderr.splitlines()[-1].split()) & set(HEAVY_MODULES)
