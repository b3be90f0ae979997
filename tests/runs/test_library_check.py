"""A library read and judged."""

import shutil

import attrs
import pytest

from grail_framework.config.scene import MotionCfg, ObjectCfg
from grail_framework.motion.faults import ClipFault
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.validate import Needs
from grail_framework.robots.g1 import g1_43dof
from grail_framework.runs import usable_assets
from grail_framework.runs.library_check import check_motion_library
from grail_framework.testing.fakes import standing_clip, write_box_library


@pytest.fixture
def boxes(tmp_path):
    return write_box_library(tmp_path / "boxes")


def check(folder, **changes):
    arguments = {"robot": g1_43dof(), "readers": [GrailReader()], "needs": Needs(object=True)} | changes
    return check_motion_library(MotionCfg(data=str(folder)), **arguments)


def test_progress_is_told_after_each_motion(boxes):
    told = []
    check(boxes, progress=lambda done, total, key: told.append((done, total, key)))
    assert told == [(1, 2, "stand__000"), (2, 2, "stand__001")]


def test_what_motions_lack_together_is_a_warning(boxes):
    (boxes / "object_usd" / "stand__001.usd").unlink()
    found = check(boxes, needs=Needs())
    (warning,) = found.warnings
    assert (warning.key, warning.reason) == ("stand__001", "has no object asset, which 1 other motions have")
    assert found.ok(strict=False)
    assert not found.ok(strict=True)


def test_an_asset_is_opened_once_and_is_fatal_where_it_is_needed(boxes, monkeypatch):
    shared = boxes / "object_usd" / "stand__000.usd"
    opened = []
    monkeypatch.setattr(usable_assets, "read_object", lambda path, *, max_pieces: opened.append((path, max_pieces)))
    cfg = MotionCfg(data=str(boxes), object_usd=str(shared))
    check_motion_library(cfg, g1_43dof(), [GrailReader()], Needs(), asset=ObjectCfg(max_pieces=5))
    assert opened == [(shared, 5)]
    monkeypatch.undo()
    shared.write_bytes(b"")
    assert [fault.fatal for fault in check(boxes).findings] == [True]
    assert [fault.fatal for fault in check(boxes, needs=Needs()).findings] == [False]


def test_faults_come_first_and_readers_of_plugins_need_not_look_beside_the_motions():
    robot = g1_43dof()

    class Source:
        keys = ("a", "b")

        def read(self, key):
            clip = standing_clip(robot, key=key, with_object=False)
            note = ClipFault(path=clip.path, key=key, reason="is odd", fatal=False)
            return (clip if key == "a" else attrs.evolve(clip, fps=0.0)), [note]

    class Reader:
        name, layout = "own", "anything"

        def detect(self, cfg):
            return True

        def open(self, cfg):
            return Source()

    found = check_motion_library(MotionCfg(data="."), robot, [Reader()], Needs())
    assert [(fault.fatal, fault.key) for fault in found.findings] == [(True, "b"), (False, "a"), (False, "b")]
    assert (found.reader, found.num_motions, found.num_usable) == ("own", 2, 1)


def test_a_library_on_a_link_and_a_link_to_nowhere(boxes, tmp_path):
    (tmp_path / "plain").mkdir()
    shutil.move(boxes / "object_usd", tmp_path / "plain" / "object_usd")
    (boxes / "object_usd").symlink_to("../plain/object_usd")
    assert check(boxes).findings == ()
    (tmp_path / "plain").rename(tmp_path / "gone")
    found = check(boxes)
    assert sorted(fault.reason.split(",")[0] for fault in found.warnings) == [
        "is a link to ../plain/object_usd",
    ]
    assert len(found.faults) == 2
