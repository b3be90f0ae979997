"""`grail warmup`."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import attrs
import pytest
from click.testing import CliRunner

from grail_framework.cli.main import build_cli


@attrs.frozen(kw_only=True)
class WarmedUp:
    task: str
    engine: str
    device: str
    num_envs: int
    duration_s: float = 61.25
    modules: int = 0
    compiled: dict[str, float] = attrs.field(factory=dict)
    cache: str = ""


def warmup(*argv):
    return CliRunner().invoke(build_cli(), ["warmup", *argv])


@pytest.fixture
def warmed_up(monkeypatch):
    """Stand at the door of the engine: these tests are about what gets there and what is said of it."""
    calls = []
    found = {}

    def warm_up(cfg, manager, *, on_stage):
        calls.append(cfg)
        on_stage("building environments")
        return WarmedUp(task=cfg.task, engine=cfg.engine.name, device="cpu", num_envs=cfg.num_envs, **found)

    # The module is not imported: it would bring torch and accelerate into a test of the command line.
    monkeypatch.setitem(sys.modules, "grail_framework.runs.warmup", SimpleNamespace(warm_up=warm_up))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return calls, found


def test_it_is_given_the_options_of_a_run(warmed_up):
    calls, _ = warmed_up
    result = warmup("--task", "motion_tracking", "--engine", "mujoco", "--num-envs", "8", "engine.decimation=2")
    assert result.exit_code == 0, result.output
    (cfg,) = calls
    assert (cfg.engine.name, cfg.num_envs, cfg.engine.decimation) == ("mujoco", 8, 2)
    assert result.stdout.splitlines() == [
        "core:motion_tracking on mujoco (cpu), 8 environments: 61.2 s",
        "the engine mujoco has no kernels to compile",
    ]
    assert "building environments" in result.stderr


def test_it_says_what_was_compiled(warmed_up):
    _, found = warmed_up
    found |= {
        "modules": 60,
        "compiled": {"smooth": 12.0, "ccd": 45.5, **{f"small{k}": 1.0 for k in range(6)}},
        "cache": "/cache/1.17.0",
    }
    options = ("--task", "motion_tracking", "--engine", "mujoco")
    assert warmup(*options).stdout.splitlines()[1:] == [
        "60 kernel modules, 8 of them compiled, the others were in the cache",
        "    45.5 s  ccd",
        "    12.0 s  smooth",
        "     1.0 s  small0",
        "     1.0 s  small1",
        "     1.0 s  small2",
        "     3.0 s  the other 3, many at a time",
        "cache: /cache/1.17.0",
    ]
    assert json.loads(warmup(*options, "--json").stdout)["compiled"]["ccd"] == 45.5


def test_a_task_must_be_named():
    result = warmup()
    assert result.exit_code == 2
    assert "--task" in result.stderr


@pytest.mark.slow
def test_an_engine_without_kernels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = warmup("--task", "motion_tracking", "--engine", "mujoco", "--num-envs", "4", "algorithm.num_steps_per_env=2")
    assert result.exit_code == 0, result.output
    assert "training one iteration" in result.stderr
    assert "core:motion_tracking on mujoco (cpu), 4 environments" in result.stdout
    assert list(tmp_path.iterdir()) == []  # no run directory
