"""`grail terrain plan`: the plan without an engine, and without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from grail_framework.cli.main import build_cli


@pytest.fixture
def library(tmp_path):
    for name in (*(f"robot/{key}.pkl" for key in "abcdefg"), *(f"object_usd/{key}.usd" for key in "abcdefg")):
        path = tmp_path / "stairs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "stairs" / "flat_placeholder.usd").touch()
    for key in "uvwxyz":
        path = tmp_path / "flat" / "robot" / f"{key}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "stairs"


def plan(library, *arguments):
    return CliRunner().invoke(build_cli(), ["terrain", "plan", str(library), *map(str, arguments)])


def test_table(library):
    done = plan(library, "--num-envs", 7, "--world-size", 3, "--flat-motion-dir", library.parent / "flat", "--ratio", 2)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"[TerrainAutoDiscover] Found 7 terrain motions from {library}"
    assert [line for line in lines if line.startswith("[PerRankUSD] rank=1")] == [
        "[PerRankUSD] rank=1, num_envs=7, flat_envs=5, terrain_envs=2, ratio=2:1, unique_usd=3, terrain_motions=2, flat_motions=5"
    ]
    assert lines[-4:] == [
        "rank  envs  terrain  flat  assets  motion of each environment",
        "0     7     2        5     3       u v a w x b y",
        "1     7     2        5     3       z u c v w d x",
        "2     7     2        5     3       y z e u v f w",
    ]
    assert done.stderr.startswith(
        "warning: 1 of 7 terrain motions are never trained, since 6 environments in 3 processes are terrain: g."
    )


def test_json_of_processes_that_differ(library):
    done = plan(library, "--num-envs", "3,5", "--world-size", 2, "--filter", "[a-d]", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [rank["env_motion"] for rank in document["ranks"]] == [["a", "b", "c"], ["d", "a", "b", "c", "d"]]
    assert document["ranks"][0] == {
        "rank": 0,
        "num_envs": 3,
        "terrain_envs": 3,
        "flat_envs": 0,
        "unique_usd": 3,
        "env_motion": ["a", "b", "c"],
        "env_usd": [str(library / "object_usd" / f"{key}.usd") for key in "abc"],
        "motion_keys": ["a", "b", "c"],
    }
    rest = {key: value for key, value in document.items() if key != "ranks"}
    assert rest == {
        "terrain_motion_dir": str(library),
        "flat_motion_dir": None,
        "flat_usd": None,
        "ratio": 0,
        "world_size": 2,
        "terrain_motions": ["a", "b", "c", "d"],
        "flat_motions": [],
        "untrained_terrain": [],
        "untrained_flat": [],
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-envs", "0"], "allowed: a number from 1, or one for each process"),
        (["--num-envs", "4,x"], "allowed: a number from 1, or one for each process"),
        (["--num-envs", "4,4", "--world-size", "3"], "--num-envs names 2 processes, and --world-size is 3"),
        (["--num-envs", "4", "--ratio", "-1"], "-1 is not in the range"),
        (["--num-envs", "4", "--ratio", "1"], "2 environments are flat, and there are no flat motions"),
        (["--num-envs", "4", "--filter", "q"], "'q' names no motion"),
        ([], "Missing option '--num-envs'"),
    ],
)
def test_what_cannot_be_planned(library, arguments, message):
    done = plan(library, *arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_nothing_heavy_is_imported(library):
    heavy = ("torch", "numpy", "mujoco", "pxr", "warp", "isaaclab", "scipy")
    code = (
        "import sys\n"
        "from grail_framework.cli.main import build_cli\n"
        f"build_cli().main(['terrain', 'plan', {str(library)!r}, '--num-envs', '2'], standalone_mode=False)\n"
        f"print('heavy:', [name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"
