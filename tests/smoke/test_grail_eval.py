"""`grail run`, then `grail eval` on its directory, with physics: small batches score as all motions at once."""

import json
import os
import subprocess
import sys

import pytest

SMALL = ["--engine", "mujoco", "--num-envs", "4", "algorithm.num_steps_per_env=8", "logging.console=plain"]
SMALL += ["network.params.actor_hidden_dims=[32]", "network.params.critic_hidden_dims=[32]", "evaluation.at_end=false"]


def grail(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "grail_framework", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_run_is_evaluated_alike_in_any_batches(box_library, tmp_path):
    run = ["run", "--task", "pnp_ground", "--data", box_library, "--iterations", 2, "--experiment-dir", "run", *SMALL]
    text = grail(*run, "evaluation.every=2", cwd=tmp_path)
    assert "engine" in text.splitlines()[0]  # the split of an iteration
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert 0.0 < rows[1]["eval/tracked_fraction"] <= 1.0
    assert "eval/tracked_fraction" not in rows[0]
    assert rows[0]["perf/engine_time"] > 0.0

    results = []
    for size in (2, 4):
        grail("eval", "--checkpoint", "run", "--num-envs", size, cwd=tmp_path)
        results.append(json.loads((tmp_path / "run" / "metrics_eval.json").read_text()))
    in_parts, all_at_once = results
    assert in_parts["motions"].keys() == all_at_once["motions"].keys()
    for key, scores in in_parts["motions"].items():
        together = all_at_once["motions"][key]
        assert scores["cause"] == together["cause"]
        assert scores["survived_frames"] == pytest.approx(together["survived_frames"], abs=2)
        for name in ("mpjpe_l", "obj_pos_error"):
            assert scores[name] == pytest.approx(together[name], rel=0.05, abs=1e-3)
    # The policy of the run's last iteration: what the run's own short form has just said.
    assert all_at_once["tracked_fraction"] == pytest.approx(rows[1]["eval/tracked_fraction"], abs=1e-6)
