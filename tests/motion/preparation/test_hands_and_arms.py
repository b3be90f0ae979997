"""Commands of the hands and edits of the arms, with hand-computed values."""

import numpy as np
import pytest

from grail_framework.errors import DataError
from grail_framework.motion.preparation.arms import blend_shoulder, rest_left_arm, straighten_wrists
from grail_framework.motion.preparation.hands import (
    close_from,
    find_lift_frame,
    from_contacts,
    hold_closed,
    hold_closed_until_margin,
)

POINT = np.zeros((1, 3))


def test_lift_is_the_first_frame_above_the_threshold_not_at_it():
    z = np.array([0.5, 0.4, 0.5, 0.75, 0.76, 0.5])
    assert find_lift_frame(z, 0.25) == 4
    assert find_lift_frame(z, 0.3) is None


@pytest.mark.parametrize(("start", "closed"), [(None, 0), (3, 2), (-4, 5), (0, 5), (9, 0)])
def test_a_hand_closes_at_a_frame_or_never(start, closed):
    action = close_from(start, 5)
    assert action.dtype == np.float32
    assert action.tolist() == [-1.0] * (5 - closed) + [1.0] * closed


def test_with_a_lift_only_hands_in_contact_by_then_close():
    contacts = {"left": {21: POINT}, "right": {4: POINT, 30: POINT}}
    assert from_contacts(contacts, lift_frame=20, anticipation=10) == {"left": None, "right": 10}
    assert from_contacts(contacts, lift_frame=21, anticipation=30) == {"left": 0, "right": 0}


def test_without_a_lift_each_hand_closes_before_its_own_contact():
    contacts = {"left": {}, "right": {12: np.zeros((0, 3)), 15: POINT, 14: POINT}}
    assert from_contacts(contacts, lift_frame=None, anticipation=3) == {"left": None, "right": 11}


def test_the_right_hand_may_be_held_closed():
    open_then_closed = close_from(8, 10)
    assert hold_closed(open_then_closed, 0.05, 50.0).tolist() == [1] * 3 + [-1] * 5 + [1] * 2  # 2.5 frames, rounded up
    assert hold_closed_until_margin(open_then_closed, 0.04, 50.0).tolist() == [1] * 6 + [-1] * 2 + [1] * 2
    assert hold_closed_until_margin(open_then_closed, 9.0, 50.0).tolist() == open_then_closed.tolist()
    never = close_from(None, 4)
    assert hold_closed_until_margin(never, 0.0, 50.0).tolist() == never.tolist()


def test_the_left_arm_rests_in_the_releases_pose(make_clip):
    clip = make_clip()
    rested = rest_left_arm(clip)
    np.testing.assert_allclose(rested.joint_pos[:, 15:22], np.tile([0, 0.2, -0.2, 1.57, 0, 0, 0], (12, 1)), atol=1e-6)
    np.testing.assert_array_equal(np.delete(rested.joint_pos, range(15, 22), axis=1), 0.1 * np.ones((12, 22), np.float32))
    assert (clip.joint_pos == np.float32(0.1)).all()


def test_wrists_are_straightened(make_clip):
    joints = straighten_wrists(make_clip()).joint_pos[0]
    assert np.flatnonzero(joints == 0.0).tolist() == [19, 20, 21, 26, 27, 28]


def test_the_shoulder_is_turned_at_first_and_blended_out(make_clip):
    clip = make_clip(frames=200)  # 30 fps: 120 frames of 4 s
    change = blend_shoulder(clip).joint_pos - clip.joint_pos
    assert np.flatnonzero(np.abs(change).max(axis=0)).tolist() == [23]
    np.testing.assert_allclose(np.rad2deg(change[:, 23]), np.append(np.linspace(-20.0, 0.0, 120), np.zeros(80)), atol=1e-4)


def test_a_robot_without_these_joints_is_refused(make_clip):
    with pytest.raises(DataError, match="no joint 'left_shoulder_pitch_joint'"):
        rest_left_arm(make_clip(joint_names=tuple(f"j{i}" for i in range(29))))
