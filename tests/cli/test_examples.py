"""The example plugins do what their own first lines say."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def grail(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "grail_framework", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )


def test_calm_is_a_plugin_whose_reward_can_be_configured():
    calm = EXAMPLES / "calm.py"
    checked = grail("--plugin-file", calm, "plugins", "check", "calm")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    override = '+rewards.calm={func: "calm:calm_joints", weight: -0.01}'
    dry = grail("--plugin-file", calm, "run", "--task", "motion_tracking", override, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "func: calm:calm_joints" in dry.stdout
