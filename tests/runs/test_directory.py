from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from grail_framework import __version__
from grail_framework.errors import ConfigError
from grail_framework.runs.directory import (
    RunDirectory,
    build_meta,
    open_run_directory,
    redact,
    run_directory_path,
    save_config,
    save_meta,
)


def test_path_of_a_new_run(tmp_path: Path):
    path = run_directory_path(project="GRAIL", config_path="manager/hoi", name="pnp table", root=tmp_path)
    assert re.fullmatch(r"GRAIL/manager/hoi/pnp_table-\d{8}_\d{6}", path.relative_to(tmp_path).as_posix())


def test_two_runs_of_one_second_get_two_directories(tmp_path: Path):
    paths = set()
    for _ in range(3):
        path = run_directory_path(project="p", config_path="c", name="n", root=tmp_path)
        open_run_directory(path, resume=False)
        paths.add(path)
    assert len(paths) == 3


def test_a_given_directory_is_taken_as_it_is(tmp_path: Path):
    given = run_directory_path(project="p", config_path="c", name="n", experiment_dir=str(tmp_path / "mine"))
    assert given == tmp_path / "mine"


def test_a_directory_with_a_run_is_only_opened_to_resume(tmp_path: Path):
    directory = open_run_directory(tmp_path / "run", resume=False)
    save_config(directory, {"task": "x"})
    with pytest.raises(ConfigError, match="already holds a run; continue it with --resume"):
        open_run_directory(tmp_path / "run", resume=False)
    assert open_run_directory(tmp_path / "run", resume=True) == directory


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be created"):
        open_run_directory(tmp_path / "file" / "run", resume=False)


def test_config_and_manifest_are_plain_yaml_in_the_order_given(tmp_path: Path):
    directory = RunDirectory(tmp_path)
    save_config(directory, {"task": "hoi:pnp_table", "algorithm": {"gamma": 0.99}, "a": [1, None, True]})
    assert list(yaml.safe_load(directory.config.read_text())) == ["task", "algorithm", "a"]

    plugin = {"name": "hoi", "version": "0.1.0", "target": "grail_hoi.plugin"}
    meta = build_meta(task="hoi:pnp_table", config_digest="abc", plugins=[plugin], argv=["--task", "x"], world_size=2)
    save_meta(directory, meta | {"iterations": 10})
    saved = yaml.safe_load(directory.meta.read_text())
    assert saved["grail_framework"] == __version__
    assert saved["plugins"] == [plugin]
    assert saved["versions"]["torch"].startswith("2.")
    assert saved["world_size"] == 2
    assert saved["git_commit"] is None or re.fullmatch("[0-9a-f]{40}", saved["git_commit"])


def test_secrets_are_left_out_of_the_arguments():
    given = [
        "--task",
        "x",
        "--wandb-api-key",
        "s3cret",
        "logging.token=s3cret",
        "--password=s3cret",
        "motion.filter_motion_keys=a",
    ]
    shown = redact(given)
    assert "s3cret" not in " ".join(shown)
    assert shown[:4] == ["--task", "x", "--wandb-api-key", "***"]


def test_step_names_have_six_digits():
    assert RunDirectory(Path("run")).step(50).name == "model_step_000050.pt"
    assert RunDirectory(Path("run")).step(1234567).name == "model_step_1234567.pt"
