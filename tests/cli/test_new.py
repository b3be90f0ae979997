"""`grail plugins new`: the package it writes installs, is found, and passes its own tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from grail_framework.cli.scaffold import TEMPLATE, check_name, create_plugin
from grail_framework.errors import ConfigError


@pytest.fixture(scope="module")
def created(tmp_path_factory):
    return create_plugin("slow-joints", tmp_path_factory.mktemp("new"), taken=[])


@pytest.fixture(scope="module")
def installed(created, tmp_path_factory):
    """Install the package into a folder of its own and return the environment that finds it."""
    target = tmp_path_factory.mktemp("target")
    uv = Path(sys.executable).with_name("uv")
    pip = [str(uv), "pip"] if uv.exists() else [sys.executable, "-m", "pip"]
    options = ["--python", sys.executable] if uv.exists() else []
    command = [*pip, "install", *options, "--no-deps", "--no-build-isolation", "--target", str(target), str(created)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {**os.environ, "PYTHONPATH": str(target), "OMP_NUM_THREADS": "1"}


def test_template_is_filled(created):
    assert created.name == "grail-slow-joints"
    names = {str(path.relative_to(created)) for path in created.rglob("*") if path.is_file()}
    assert {"pyproject.toml", "README.md", "grail_slow_joints/plugin.py", "tests/test_slow_joints.py"} <= names
    assert len(names) == len(list(TEMPLATE.rglob("*.tmpl")))
    assert not [path for path in created.rglob("*") if "{{" in str(path) or (path.is_file() and "{{" in path.read_text())]


def test_generated_package_is_found_once_installed(installed):
    command = [sys.executable, "-m", "grail_framework", "plugins", "list", "--json"]
    out = subprocess.run(command, capture_output=True, text=True, env=installed, timeout=60, check=True).stdout
    (record,) = [plugin for plugin in json.loads(out)["plugins"] if plugin["name"] == "slow_joints"]
    assert (record["dist"], record["status"], record["notes"]) == ("grail-slow-joints", "active", [])
    assert record["provides"] == {"task": 1, "reward": 1, "demo_library": 1}


@pytest.mark.slow
def test_generated_package_passes_its_own_tests_and_the_check(installed, created):
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(created / "tests")]
    done = subprocess.run(tests, capture_output=True, text=True, env=installed, cwd=created, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
    check = [sys.executable, "-m", "grail_framework", "plugins", "check", "slow_joints"]
    done = subprocess.run(check, capture_output=True, text=True, env=installed, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_generated_task_trains(installed, tmp_path):
    run = [sys.executable, "-m", "grail_framework", "run", "--task", "slow_joints_tracking", "--engine", "mujoco"]
    run += ["--num-envs", "4", "--iterations", "2", "--experiment-dir", str(tmp_path / "run")]
    environment = {**installed, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(run, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [1, 2]
    assert rows[0]["reward/joint_speed_l2"] <= 0.0
    assert (tmp_path / "run" / "last.pt").is_symlink()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Stairs", "lower-case letters"),
        ("2stairs", "lower-case letters"),
        ("stairs__up", "lower-case letters"),
        ("stairs!", "lower-case letters"),
        ("", "lower-case letters"),
        ("grail-stairs", "leave out the prefix, the distribution gets it: 'stairs'"),
        ("framework", "choose another name"),
        ("hoi", "belongs to an installed plugin"),
        ("own-thing", "belongs to an installed plugin"),
    ],
)
def test_names_that_cannot_be_used(name, part):
    with pytest.raises(ConfigError, match=part):
        check_name(name, ["hoi", "own_thing"])


def test_existing_folder_is_left_alone(tmp_path, grail_cli):
    (tmp_path / "grail-mine").mkdir()
    done = grail_cli("plugins", "new", "mine", "--dir", str(tmp_path))
    assert done.exit_code == 2
    assert "exists already" in done.stderr
    done = grail_cli("plugins", "new", "yours", "--dir", str(tmp_path))
    assert done.exit_code == 0
    assert "pip install -e" in done.stdout


def test_root_folder_of_templates_is_the_packaged_one():
    assert (Path(__file__).parents[2] / "templates" / "plugin").resolve() == TEMPLATE.resolve()
