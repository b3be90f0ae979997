from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grail_framework.motion.clip import MotionClip, ObjectTrack
from grail_framework.motion.labels import derive_contact_labels, first_contact_frame


def clip(points: Any, fps: float, frames: int = 20, *, obj: bool = True) -> MotionClip:
    track = ObjectTrack(pos=np.zeros((frames, 3)), quat=np.zeros((frames, 4)), fps=fps, contact_points=points)
    return MotionClip(
        key="k",
        path=Path("k.pkl"),
        fps=fps,
        joint_names=(),
        root_pos=np.zeros((frames, 3)),
        root_quat=np.zeros((frames, 4)),
        joint_pos=np.zeros((frames, 0)),
        object=track if obj else None,
    )


def test_a_source_frame_labels_the_target_frames_it_covers_and_one_more() -> None:
    # 25 -> 50 fps: source frame 3 covers the target frames 6 and 7, and the range runs to 8.
    labels = derive_contact_labels(clip({"right": {3: np.array([[0.0, 0, 0], [0.2, 0.4, 0]])}}, 25.0), 40, 50.0)
    assert labels is not None
    assert np.flatnonzero(labels.label[:, 1]).tolist() == [6, 7, 8]
    assert not labels.label[:, 0].any()
    np.testing.assert_allclose(labels.center[6:9, 1], [[0.1, 0.2, 0.0]] * 3)
    assert not np.delete(labels.center[:, 1], [6, 7, 8], axis=0).any()


def test_at_equal_rates_each_frame_reaches_one_frame_further() -> None:
    labels = derive_contact_labels(clip({"left": {5: np.ones((1, 3))}, "right": {}}, 50.0), 20, 50.0)
    assert labels is not None
    assert np.flatnonzero(labels.label[:, 0]).tolist() == [5, 6]


def test_where_ranges_overlap_the_later_source_frame_counts() -> None:
    points = {4: np.full((1, 3), 2.0), 3: np.full((1, 3), 1.0)}  # order in the file must not matter
    labels = derive_contact_labels(clip({"left": points}, 30.0), 40, 50.0)
    assert labels is not None
    # r = 5/3: frame 3 gives [5, 7), frame 4 gives [6, 9).
    assert labels.center[4:10, 0, 0].tolist() == [0, 1, 2, 2, 2, 0]


def test_labels_end_with_the_motion_and_empty_points_do_not_count() -> None:
    points = {2: np.zeros((0, 3)), 18: np.ones((1, 3)), 19: np.ones((1, 3))}
    labels = derive_contact_labels(clip({"left": points}, 50.0), 19, 50.0)
    assert labels is not None
    assert np.flatnonzero(labels.label[:, 0]).tolist() == [18]


@pytest.mark.parametrize("obj", [True, False])
def test_no_contact_keys_means_no_labels(obj: bool) -> None:
    assert derive_contact_labels(clip(None, 50.0, obj=obj), 20, 50.0) is None


def test_first_contact_is_the_earlier_hand() -> None:
    one = np.ones((1, 3))
    labels = derive_contact_labels(clip({"left": {9: one}, "right": {4: one, 5: one}}, 50.0), 20, 50.0)
    assert first_contact_frame(labels, 20) == 4
    assert first_contact_frame(derive_contact_labels(clip({"left": {}}, 50.0), 20, 50.0), 20) == 20
    assert first_contact_frame(None, 20) == 20
