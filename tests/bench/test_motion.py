"""The benchmark of motion libraries, in small."""

import pytest
import torch

from grail_framework.bench import motion_files
from grail_framework.bench.motion import FLOATS, MotionBench, measure
from grail_framework.errors import DataError


@pytest.fixture(scope="module")
def measured():
    bench = MotionBench(clips=30, device=torch.device("cpu"), num_envs=(4, 6), repeats=2)
    return measure(bench)


def test_every_row_has_what_it_is_compared_to(measured):
    rows, notes = measured
    assert notes == []
    names = [row.figure.name for row in rows]
    assert names[:3] == ["load a packed library", "a frame in memory", "a frame on disk"]
    assert [row.conditions.get("num_envs") for row in rows[3:9]] == [4, 4, 4, 6, 6, 6]
    for encoding in ("plain pickle", "joblib plain", "joblib zlib"):
        assert f"read a motion's files safely, {encoding}" in names
    assert all(row.reference is not None for row in rows if row.unit != "clips/s" or "packed" in row.figure.name)


def test_a_window_is_compared_to_a_copy_of_as_many_bytes(measured):
    for row in measured[0]:
        if row.figure.name.startswith("window"):
            joints = 29
            floats = 11 * (3 + 4 + joints + joints + 3 + 4)
            assert row.conditions["bytes"] == row.conditions["num_envs"] * floats * 4


def test_a_frame_takes_little_more_than_root_and_joints(measured):
    sizes = [row for row in measured[0] if row.unit == "bytes"]
    assert len(sizes) == 2
    for row in sizes:
        assert row.reference.median == 4 * FLOATS
        assert 1.0 <= row.ratio < 1.3
        assert row.met


def test_without_joblib_its_files_are_left_out_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(motion_files, "is_installed", lambda package: False)
    from grail_framework.robots.g1 import g1_43dof

    rows, notes = motion_files.measure_reading(None, tmp_path, g1_43dof(), 1)
    assert [row.conditions["files"] for row in rows] == ["plain pickle", "plain pickle"]
    assert notes == ["files of joblib were left out: the package joblib is not installed"]


def test_a_library_without_motions_is_refused(tmp_path):
    from grail_framework.robots.g1 import g1_43dof

    (tmp_path / "robot").mkdir()
    with pytest.raises(DataError, match=r"holds no robot/\*.pkl"):
        motion_files.measure_reading(str(tmp_path), tmp_path / "out", g1_43dof(), 1)
