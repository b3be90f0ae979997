"""Compact motions and their tensors: what is kept, and how it is found again."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import attrs
import numpy as np
import pytest
import torch

from grail_framework.errors import DataError
from grail_framework.motion.clip import ContactLabels
from grail_framework.motion.compact import checksums, compact_clips
from grail_framework.motion.packing import PackedMotions, Runs, gather_rows
from grail_framework.testing.fakes import standing_clip

if TYPE_CHECKING:
    from grail_framework.motion.clip import MotionClip
    from grail_framework.robots.spec import RobotSpec


@pytest.fixture
def clips(g1: RobotSpec) -> list[MotionClip]:
    return [standing_clip(g1, key="a", frames=40, with_object=True), standing_clip(g1, key="b", frames=12)]


def test_labels_and_hand_actions_are_kept_where_they_change(g1: RobotSpec, clips: list[MotionClip]) -> None:
    hands = np.where(np.arange(40)[:, None] < [10, 25], -1.0, 1.0).astype(np.float32)
    compact = compact_clips([attrs.evolve(clips[0], hand_action=hands), clips[1]], g1, target_fps=50.0)
    assert compact.rows.hands["start"].tolist() == [0, 10, 25, 0]
    assert compact.rows.hands["value"].tolist() == [[-1, -1], [1, -1], [1, 1], [1, 1]]
    # Contact from frame 30 on, the box's side at 10 cm.
    assert compact.rows.contacts["start"].tolist() == [0, 30, 0]
    np.testing.assert_allclose(compact.rows.contacts["value"][1], [1, 1, 0, 0.1, 0, 0, 0.1, 0])
    assert compact.motions["contact_runs"].tolist() == [2, 1]
    assert compact.motions["first_contact"].tolist() == [30, 12]
    assert compact.motions["object_rows"].tolist() == [40, 1]


def test_any_value_of_a_label_or_hand_survives(g1: RobotSpec, clips: list[MotionClip]) -> None:
    rng = np.random.default_rng(0)
    hands = rng.normal(size=(40, 2)).astype(np.float32)
    labels = ContactLabels(
        label=rng.integers(0, 2, (40, 2)).astype(np.float32), center=rng.normal(size=(40, 2, 3)).astype(np.float32)
    )
    clip = attrs.evolve(clips[0], hand_action=hands)
    compact = compact_clips([clips[1], clip], g1, target_fps=50.0, labeler=lambda clip, *_: labels if clip.key == "a" else None)
    packed = PackedMotions.of(compact, num_joints=29, fps=50.0, device=torch.device("cpu"))
    rows = packed.rows(torch.ones(40, dtype=torch.long), torch.arange(40))
    assert torch.equal(packed.hands.at(rows), torch.from_numpy(hands))
    found = packed.contacts.at(rows)
    assert torch.equal(found[:, :2], torch.from_numpy(labels.label))
    assert torch.equal(found[:, 2:], torch.from_numpy(labels.center.reshape(40, 6)))
    assert packed.contacts.at(torch.arange(12)).eq(0).all()


def test_runs_hold_until_the_next() -> None:
    runs = Runs(starts=torch.tensor([0, 3, 4, 9]), values=torch.tensor([[0.0], [1.0], [2.0], [3.0]]))
    assert runs.at(torch.arange(12)).squeeze(1).tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 2, 3, 3, 3]


def test_an_object_that_never_moves_is_one_row(g1: RobotSpec, clips: list[MotionClip]) -> None:
    track = clips[0].object
    assert track is not None
    still = attrs.evolve(track, pos=np.tile(track.pos[:1], (40, 1)))
    compact = compact_clips([clips[0], attrs.evolve(clips[0], key="c", object=still), clips[1]], g1, target_fps=50.0)
    assert compact.motions["object_rows"].tolist() == [40, 1, 1]
    packed = PackedMotions.of(compact, num_joints=29, fps=50.0, device=torch.device("cpu"))
    pose = packed.object_pose(torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 39, 0, 39, 11]))
    np.testing.assert_allclose(pose[:, :3], [track.pos[0], track.pos[39], track.pos[0], track.pos[0], [0, 0, 0]])
    assert pose[4].tolist() == [0, 0, 0, 1, 0, 0, 0]


def test_checksums_are_those_of_zlib_and_tell_motions_apart(g1: RobotSpec, clips: list[MotionClip]) -> None:
    compact = compact_clips(clips, g1, target_fps=50.0)
    rows = compact.rows
    own = (rows.robot[40:], rows.objects[40:], rows.contacts[2:], rows.hands[1:])
    assert compact.motions["checksum"][1] == zlib.crc32(b"".join(part.tobytes() for part in own))
    robot = rows.robot.copy()
    robot[45, 20] += 1e-4
    now = checksums(compact.motions, attrs.evolve(rows, robot=robot))
    assert (now == compact.motions["checksum"]).tolist() == [True, False]


def test_arrays_per_motion_must_have_their_shape(g1: RobotSpec, clips: list[MotionClip]) -> None:
    with pytest.raises(DataError, match=r"bps of motion 'b' has the shape \(4,\), allowed: \(10,\)"):
        compact_clips([attrs.evolve(clips[1], bps=np.zeros(4))], g1, target_fps=50.0)


def test_rows_of_any_index_shape_are_gathered() -> None:
    rows = torch.arange(12.0).reshape(4, 3)
    index = torch.tensor([[3, 0], [1, 1]])
    assert torch.equal(gather_rows(rows, index), rows[index])
    assert torch.equal(gather_rows(rows[:, 1:], index), rows[:, 1:][index])
