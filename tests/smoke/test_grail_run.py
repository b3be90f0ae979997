"""Whole runs through the command line, on the CPU engine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import joblib
import pytest
import torch
import yaml

from grail_framework.motion.safe_pickle import load_safe

SMALL = ["--engine", "mujoco", "--num-envs", "4", "algorithm.num_steps_per_env=8", "logging.console=plain"]
SMALL += ["network.params.actor_hidden_dims=[32]", "network.params.critic_hidden_dims=[32]"]
NO_EVALUATION = ["evaluation.at_start=false", "evaluation.at_end=false", "logging.tensorboard=false"]


def grail(*arguments, cwd, check=True, **settings):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **settings}
    done = subprocess.run(
        [sys.executable, "-m", "grail_framework", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done


def run_directory(root):
    (folder,) = [path.parent for path in root.rglob("config.yaml")]
    return folder


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def short_run(box_library, tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    done = grail("run", "--task", "pnp_ground", "--data", box_library, "--iterations", 3, *SMALL, cwd=root)
    return root, done


def test_the_run_directory_is_as_designed(short_run):
    root, done = short_run
    folder = run_directory(root)
    assert folder.parent.relative_to(root).as_posix() == "logs_rl/GRAB_Tracking/manager/universal_token/hoi"
    assert folder.name.startswith("pnp_ground-2")
    names = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "meta.yaml", "metrics.jsonl", "run.log", "last.pt", "model_step_000003.pt"} <= names
    assert "model_step_000000.pt" in names  # a multiple of save_frequency stays
    assert os.readlink(folder / "last.pt") == "model_step_000003.pt"
    assert str(folder.relative_to(root)) in done.stdout


def test_metrics_have_every_term(short_run):
    rows = metrics(run_directory(short_run[0]))
    assert [row["iteration"] for row in rows] == [1, 2, 3]
    for name in (
        "reward/grasp_right",
        "reward/object_tracking",
        "termination/anchor_pos",
        "loss/value",
        "perf/samples_per_second",
    ):
        assert name in rows[0]
    assert all(torch.isfinite(torch.tensor(list(row.values()))).all() for row in rows)


def test_the_summary_compares_with_zero_action(short_run):
    text = short_run[1].stdout
    for word in ("zero action", "at the start", "at the end", "tracked fraction", "samples/s", "mujoco", "hoi:pnp_ground"):
        assert word in text


def test_manifest_and_checkpoint_hold_the_plugin_set(short_run):
    folder = run_directory(short_run[0])
    meta = yaml.safe_load((folder / "meta.yaml").read_text())
    state = torch.load(folder / "last.pt", weights_only=True)
    for plugins in (meta["plugins"], state["plugins"]):
        assert {"core", "hoi", "rewards"} <= {plugin["name"] for plugin in plugins}
    assert sum(state["observation_layout"]["policy"].values()) == 984


def test_resume_is_bitwise(box_library, tmp_path):
    common = ["run", "--task", "pnp_ground", "--data", box_library, *SMALL, *NO_EVALUATION, "--seed", 5]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    grail(*common, "--iterations", 4, "--experiment-dir", whole, cwd=tmp_path)
    grail(*common, "--iterations", 2, "--experiment-dir", parts, cwd=tmp_path)
    # The run directory knows its task and settings.
    done = grail("run", "--resume", "--experiment-dir", parts, "--iterations", 4, cwd=tmp_path)
    assert "resume:" not in done.stderr  # nothing differs
    one, two = (torch.load(path / "last.pt", weights_only=True) for path in (whole, parts))
    assert one["iteration"] == two["iteration"] == 4
    differing = [place for place, a, b in pairs(one, two) if not same(a, b)]
    assert differing == []
    rows = [[{k: v for k, v in row.items() if not timed(k)} for row in metrics(path)] for path in (whole, parts)]
    assert rows[0] == rows[1]


def timed(name):
    return name.startswith("perf/") or name in ("time", "timestamp", "wall_time")


def pairs(a, b, place=""):
    if isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a:
            yield from pairs(a[key], b[key], f"{place}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), place
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from pairs(x, y, f"{place}[{index}]")
    else:
        yield place, a, b


def same(a, b):
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_sigterm_saves_and_exits_with_4(box_library, tmp_path):
    folder = tmp_path / "run"
    arguments = ["run", "--task", "pnp_ground", "--data", box_library, "--iterations", 100000, *SMALL, *NO_EVALUATION]
    process = subprocess.Popen(
        [sys.executable, "-m", "grail_framework", *map(str, arguments), "--experiment-dir", str(folder)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not ((folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").stat().st_size):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 4, errors
    assert "--resume" in errors
    state = torch.load(folder / "last.pt", weights_only=True)
    assert state["iteration"] == metrics(folder)[-1]["iteration"] > 0


def test_a_gate_without_labels_stops_before_the_engine(box_library, tmp_path):
    """The labels are taken out of the library; the run must stop with the release's message."""
    library = tmp_path / "library"
    shutil.copytree(box_library, library)
    for path in (library / "objects").iterdir():
        entry = next(iter(load_safe(path).values()))
        bare = {key: value for key, value in entry.items() if not key.startswith("contact_points")}
        path.chmod(0o644)
        joblib.dump({path.stem: bare}, path)
    arguments = ["run", "--task", "pnp_ground", "--data", library, "--iterations", 1, *SMALL]
    arguments += ["command.sample_before_contact=false", "++rewards.grasp_right.gate={hand: right}"]
    done = grail(*arguments, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "reward_grasp: gate_with_contact_label=True but no contact label found" in done.stderr
    assert "rewards.grasp_right.gate=null" in done.stderr


def test_two_processes_train_one_policy(box_library, tmp_path):
    folder = tmp_path / "run"
    arguments = ["run", "--task", "pnp_ground", "--data", box_library, "--iterations", 2, *SMALL, *NO_EVALUATION]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "grail_framework"]
    done = subprocess.run(
        [*launcher, *map(str, arguments), "--experiment-dir", str(folder)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    state = torch.load(folder / "last.pt", weights_only=True)
    assert len(state["env"]) == len(state["rng"]) == 2
    assert yaml.safe_load((folder / "meta.yaml").read_text())["world_size"] == 2


def test_the_demo_library_is_made_once(tmp_path):
    settings = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    arguments = ["run", "--task", "motion_tracking", "--iterations", 1, *SMALL, *NO_EVALUATION]
    grail(*arguments, cwd=tmp_path, **settings)
    (made,) = (tmp_path / "cache").rglob("robot/squat_wave__000.pkl")
    before = made.stat().st_mtime_ns
    grail(*arguments, "--experiment-dir", tmp_path / "second", cwd=tmp_path, **settings)
    assert made.stat().st_mtime_ns == before
