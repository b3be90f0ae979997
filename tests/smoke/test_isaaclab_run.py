"""Whole runs on the Isaac Lab engine through the command line, on the CPU: a run, its resume, and the other engine's word on it."""

import json
import os
import subprocess
import sys

import pytest
import torch

pytestmark = [pytest.mark.slow, pytest.mark.isaaclab]

SMALL = ["--engine", "isaaclab", "--device", "cpu", "--num-envs", "4", "algorithm.num_steps_per_env=8", "logging.console=plain"]
SMALL += ["network.params.actor_hidden_dims=[32]", "network.params.critic_hidden_dims=[32]", "logging.tensorboard=false"]
NO_EVALUATION = ["evaluation.at_start=false", "evaluation.at_end=false"]


def grail(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "grail_framework", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """The directory of a run of motion_tracking on its demo library, and what the run printed."""
    root = tmp_path_factory.mktemp("tracking")
    run = ["run", "--task", "motion_tracking", "--iterations", 3, "--experiment-dir", "run", *SMALL, *NO_EVALUATION]
    return root / "run", grail(*run, cwd=root)


def test_a_run_trains_and_says_on_what(tracked):
    folder, done = tracked
    rows = metrics(folder)
    assert [row["iteration"] for row in rows] == [1, 2, 3]
    assert all(torch.isfinite(torch.tensor(list(row.values()))).all() for row in rows)
    assert "isaaclab" in done.stdout
    assert "core:motion_tracking" in done.stdout
    for stage in ("importing Isaac Lab", "building the scene", "first physics step"):
        assert stage in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_is_resumed_and_judged_by_the_other_engine(tracked):
    folder, _ = tracked
    grail("run", "--resume", "--experiment-dir", folder, "--iterations", 4, cwd=folder.parent)
    assert [row["iteration"] for row in metrics(folder)] == [1, 2, 3, 4]
    state = torch.load(folder / "last.pt", weights_only=True)
    assert state["iteration"] == 4
    grail("eval", "--checkpoint", folder, "--engine", "mujoco", "--num-envs", 1, cwd=folder.parent)
    judged = json.loads((folder / "metrics_eval.json").read_text())
    assert 0.0 < judged["tracked_fraction"] <= 1.0


def test_a_task_with_objects_trains_and_is_evaluated(tmp_path):
    grail("data", "demo", "--task", "pnp_table", "--out", "library", "--motions", 2, cwd=tmp_path)
    run = ["run", "--task", "pnp_table", "--data", "library", "--iterations", 2, "--experiment-dir", "run", *SMALL]
    done = grail(*run, cwd=tmp_path)
    assert [row["iteration"] for row in metrics(tmp_path / "run")] == [1, 2]
    for word in ("zero action", "at the start", "at the end", "tracked fraction", "hoi:pnp_table"):
        assert word in done.stdout
