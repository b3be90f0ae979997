"""Everything that can be wrong with a motion's files: each fault is found, with file, frame and reason, and the rest is used."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from grail_framework.assets.usd_writer import write_box_usd
from grail_framework.config.scene import MotionCfg
from grail_framework.errors import DataError
from grail_framework.motion.loading import open_source, read_clips
from grail_framework.motion.readers.csv import CsvReader
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.readers.npz import NpzReader
from grail_framework.motion.safe_pickle import load_safe
from grail_framework.motion.validate import Needs, check_clip, check_library
from grail_framework.runs.library_check import check_motion_library

from .conftest import REPO, object_entry, robot_entry
from .faulty import FAULTS, FILE_FAULTS, USD, Fault, Motion

if TYPE_CHECKING:
    from grail_framework.motion.faults import ClipFault
    from grail_framework.robots.spec import RobotSpec

REAL = Path(os.environ.get("GRAIL_TEST_DATA", REPO.parent / "shared" / "data")) / "grail" / "largebox_ha"
READERS = [GrailReader(), NpzReader(), CsvReader()]
ALL = Needs(object=True, table=True, hand_action=True)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Motion:
    """A motion without a fault: a published one where it is found, else a made one; with a table under its object."""
    usd = tmp_path_factory.mktemp("usd") / "box.usd"
    write_box_usd(usd, (0.3, 0.3, 0.3), mass=0.1)
    if REAL.is_dir():
        key = "largebox__carry__000"
        robot, obj = (next(iter(load_safe(REAL / part / f"{key}.pkl").values())) for part in ("robot", "objects"))  # pyright: ignore
    else:
        robot, obj = robot_entry(), object_entry()
        obj["contact_points_left_hand"] = dict(obj["contact_points_right_hand"])
    start = obj["root_pos"][0, 0]
    meta = {
        "object_name": "box",
        "table_pos": [float(start[0]), float(start[1]), 0.1],
        "table_quat": [1.0, 0.0, 0.0, 0.0],
        "table_size": [1.5, 0.7, 0.04],
    }
    return Motion(robot=robot, obj=obj, meta=meta, bps=np.linspace(0.1, 1.0, 10, dtype=np.float32), usd=usd)


def check(root: Path, robot: RobotSpec, needs: Needs = ALL) -> tuple[ClipFault, ...]:
    return check_motion_library(MotionCfg(data=str(root)), robot, READERS, needs).findings


def found(findings: tuple[ClipFault, ...], root: Path, expected: Fault) -> ClipFault:
    for fault in findings:
        if (fault.path, fault.fatal) == (root / expected.file, expected.fatal) and re.search(expected.reason, fault.reason):
            return fault
    raise AssertionError(f"{expected.file}: no {expected.reason!r} in {findings}")


def assert_rest_is_used(root: Path, g1: RobotSpec, fatal: bool) -> None:
    """The good motion loads under `skip`; `stop` names the bad one."""
    source = open_source(MotionCfg(data=str(root)), READERS)
    kept = [clip.key for clip in read_clips(source, source.keys, g1, ALL, on_bad_clip="skip")]
    assert kept[-1] == "good"
    if fatal:
        assert kept == ["good"]
        with pytest.raises(DataError, match="motion 'bad'"):
            read_clips(source, source.keys, g1, ALL, on_bad_clip="stop")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_file_frame_and_reason_and_the_rest_is_used(
    tmp_path: Path, good: Motion, g1: RobotSpec, name: str
) -> None:
    expected = FAULTS[name]
    bad = copy.deepcopy(good)
    expected.damage(bad)
    good.write(tmp_path, "good")
    bad.write(tmp_path, "bad")
    findings = check(tmp_path, g1)
    fault = found(findings, tmp_path, expected)
    assert fault.key == "bad"
    if expected.frame == "any":
        assert fault.frame is not None
    else:
        assert fault.frame == (len(good.obj["root_pos"]) if expected.frame == "end" else expected.frame)
    # Assets are opened by the engine, not with the motions.
    assert_rest_is_used(tmp_path, g1, fatal=any(f.fatal and f.path != tmp_path / USD for f in findings))


@pytest.mark.parametrize("name", FILE_FAULTS)
def test_a_damaged_file_is_named_and_the_rest_is_used(tmp_path: Path, good: Motion, g1: RobotSpec, name: str) -> None:
    expected = FILE_FAULTS[name]
    good.write(tmp_path, "good")
    good.write(tmp_path, "bad")
    expected.damage(tmp_path)
    found(check(tmp_path, g1), tmp_path, expected)
    assert_rest_is_used(tmp_path, g1, expected.fatal)


def test_the_corpus_has_many_kinds() -> None:
    assert len(FAULTS) + len(FILE_FAULTS) >= 80


def test_the_good_motion_has_no_fault(tmp_path: Path, good: Motion, g1: RobotSpec) -> None:
    good.write(tmp_path, "good")
    assert check(tmp_path, g1) == ()


def test_what_is_odd_but_right_is_no_fault(tmp_path: Path, good: Motion, g1: RobotSpec) -> None:
    odd = copy.deepcopy(good)
    signs = np.where(np.arange(len(odd.obj["root_quat"])) % 2, 1.0, -1.0).astype(np.float32)
    odd.obj["root_quat"] = odd.obj["root_quat"] * signs[:, None, None]  # q and -q are one rotation
    odd.obj["contact_points_left_hand"] = {**odd.obj["contact_points_left_hand"], 0: np.zeros((0, 3), np.float32)}
    odd.write(tmp_path, "odd")
    assert check(tmp_path, g1) == ()


EMPTY = {
    "nothing": (lambda _root: None, "no motion library that a reader recognises"),
    "no robot folder": (lambda root: (root / "objects").mkdir(), "no motion library that a reader recognises"),
    "an empty robot folder": (lambda root: (root / "robot").mkdir(), "no motion library that a reader recognises"),
    "a folder of pictures": (lambda root: (root / "a.png").write_bytes(b""), "no motion library that a reader recognises"),
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_folder_without_motions_is_an_error(tmp_path: Path, g1: RobotSpec, name: str) -> None:
    make, message = EMPTY[name]
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        check(tmp_path, g1)


REAL_LIBRARIES = {
    "grail/largebox_ha": Needs(object=True, hand_action=True),
    "grail/stairs": Needs(object=True),
    "grail/flat": Needs(),
    "raw/holosoma_largebox": Needs(),
    "raw/crisp_stairs": Needs(),
    "raw/protomotions_g1": Needs(),
    "raw/asap_g1_23dof": Needs(),
}


@pytest.mark.parametrize("name", REAL_LIBRARIES)
def test_published_motions_raise_no_false_alarm(real_data: Path, g1: RobotSpec, name: str) -> None:
    source = open_source(MotionCfg(data=str(real_data / name), map_23dof=True), READERS)
    clips = [source.read(key)[0] for key in source.keys]
    assert [fault for clip in clips for fault in check_clip(clip, g1, REAL_LIBRARIES[name])] == []
    assert check_library(clips) == []
