"""One motion made ready for training."""

import attrs
import numpy as np
import pytest

from grail_framework.errors import ConfigError, DataError
from grail_framework.motion.preparation.process import NoLiftError, ProcessOptions, process_clip

POINTS = {frame: np.full((2, 3), float(frame), np.float32) for frame in (2, 6, 7, 9)}
SHORT = ProcessOptions(grasp_anticipation_frames=3)
LIFT = 7  # 0.8 m at first, above 0.82 m from frame 7 on


def touching(make_clip, left=None, right=None, **changes):
    clip = make_clip(**changes)
    contact = {"left": left or {}, "right": POINTS if right is None else right}
    return attrs.evolve(clip, object=attrs.evolve(clip.object, contact_points=contact))


def test_the_defaults_are_those_of_the_releases_wrapper():
    options = ProcessOptions()
    assert (options.include_contact_points, options.grasp_from_lift, options.lift_threshold) == (True, True, 0.02)
    assert options.grasp_anticipation_frames == 10
    assert options.table_size == (1.5, 0.7, 0.04)


def test_a_right_handed_motion_step_by_step(make_clip, g1):
    clip = touching(make_clip, root_z=0.7, table_pos=np.array([9.0, 0, 0.7], np.float32), table_quat=np.array([1, 0, 0, 0]))
    done = process_clip(clip, g1, SHORT)
    out = done.clip
    assert done.lift_frame == LIFT
    up = out.root_pos[0, 2] - np.float32(0.7)
    assert up > 0.0
    np.testing.assert_allclose(out.object.pos[:, 2] - clip.object.pos[:, 2], up, atol=1e-6)
    assert out.table_pos[2] == pytest.approx(0.7 + up, abs=1e-6)
    np.testing.assert_allclose(out.table_size, (1.5, 0.7, 0.04))
    np.testing.assert_allclose(out.joint_pos[0, 15:22], [0, 0.2, -0.2, 1.57, 0, 0, 0], atol=1e-6)
    assert out.hand_action[:, 0].tolist() == [-1.0] * 12
    assert out.hand_action[:, 1].tolist() == [-1.0] * 4 + [1.0] * 8
    assert sorted(out.object.contact_points["right"]) == [7, 9]
    assert out.object.contact_points["left"] == {}
    assert any("raised by" in note for note in done.notes)


def test_hands_treated_equally_keep_both_arms(make_clip, g1):
    clip = touching(make_clip, left={8: np.ones((1, 3))})
    out = process_clip(clip, g1, attrs.evolve(SHORT, treat_hands_equally=True)).clip
    np.testing.assert_array_equal(out.joint_pos, clip.joint_pos)
    assert out.hand_action[:, 0].tolist() == [-1.0] * 12  # its contact comes after the lift
    assert out.hand_action[:, 1].tolist() == [-1.0] * 4 + [1.0] * 8
    own = process_clip(clip, g1, attrs.evolve(SHORT, treat_hands_equally=True, grasp_from_lift=False)).clip
    assert own.hand_action[:, 0].tolist() == [-1.0] * 5 + [1.0] * 7
    assert own.hand_action[:, 1].tolist() == [1.0] * 12
    assert sorted(own.object.contact_points["right"]) == sorted(POINTS)


def test_the_first_contact_of_the_right_hand_is_the_grasp_without_a_lift(make_clip, g1):
    options = ProcessOptions(grasp_from_lift=False, grasp_anticipation_frames=1)
    assert process_clip(touching(make_clip), g1, options).clip.hand_action[:, 1].tolist() == [-1.0] + [1.0] * 11
    with pytest.raises(DataError, match="no contact points of the right hand"):
        process_clip(touching(make_clip, right={}), g1, options)


def test_the_objects_frame_rate_becomes_that_of_both(make_clip, g1):
    done = process_clip(touching(make_clip, fps=25.0), g1, SHORT)
    assert done.clip.fps == done.clip.object.fps == 30.0
    assert any("robot at 25 fps, object at 30" in note for note in done.notes)


def test_missing_contact_keys_are_named(make_clip, g1):
    clip = make_clip()
    bare = attrs.evolve(clip, object=attrs.evolve(clip.object, contact_points=None))
    with pytest.raises(DataError, match=r"KeyError: objects/cup__000\.pkl has no 'contact_points_left_hand'"):
        process_clip(bare, g1, SHORT)
    one = attrs.evolve(clip, object=attrs.evolve(clip.object, contact_points={"left": {}}))
    with pytest.raises(DataError, match="contact_points_right_hand"):
        process_clip(one, g1, SHORT)
    assert process_clip(bare, g1, attrs.evolve(SHORT, include_contact_points=False)).clip.object.contact_points is None


def test_an_object_that_is_not_lifted_or_missing_is_told(make_clip, g1):
    with pytest.raises(NoLiftError, match=r"never rises by 0\.5 m"):
        process_clip(touching(make_clip), g1, ProcessOptions(lift_threshold=0.5))
    with pytest.raises(DataError, match="no object motion"):
        process_clip(make_clip(object=None), g1, SHORT)
    with pytest.raises(ConfigError, match="needs a table"):
        process_clip(touching(make_clip), g1, attrs.evolve(SHORT, z_correction=True))


def test_edits_of_the_right_hand_and_the_wrists(make_clip, g1):
    held = attrs.evolve(SHORT, right_hand_closed_until_seconds=0.05, zero_out_wrist=True)
    out = process_clip(touching(make_clip), g1, held).clip
    assert out.hand_action[:, 1].tolist() == [1.0] * 2 + [-1.0] * 2 + [1.0] * 8
    assert (out.joint_pos[:, 26:29] == 0.0).all()
    margin = attrs.evolve(held, right_hand_closed_until_first_close_margin_seconds=0.1)
    assert process_clip(touching(make_clip), g1, margin).clip.hand_action[:, 1].tolist() == [1.0] + [-1.0] * 3 + [1.0] * 8


def test_a_processed_motion_gets_robot_edits_only(make_clip, g1):
    action = np.full((12, 2), -1.0, np.float32)
    clip = touching(make_clip, root_z=0.5, hand_action=action)
    options = ProcessOptions(robot_edits_only=True, shoulder_first_frame_blend=True, right_hand_closed_until_seconds=0.1)
    out = process_clip(clip, g1, options).clip
    np.testing.assert_array_equal(out.root_pos, clip.root_pos)
    assert out.object is clip.object
    assert out.hand_action[:, 1].tolist() == [1.0] * 3 + [-1.0] * 9
    assert np.flatnonzero(np.abs(out.joint_pos - clip.joint_pos).max(axis=0)).tolist() == [23]
    with pytest.raises(ConfigError, match="no hand_action_right"):
        process_clip(attrs.evolve(clip, hand_action=None), g1, options)
