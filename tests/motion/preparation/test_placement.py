"""Ground and table, against hand-computed values and the published link positions of a real clip."""

import attrs
import numpy as np
import pytest

from grail_framework.motion.clip import MotionClip, ObjectTrack
from grail_framework.motion.preparation.bodies import lower_body_segments, skeleton_bodies
from grail_framework.motion.preparation.placement import clear_table, correct_object_height, raise_to_ground, table_cuts

SIZE = (1.5, 0.7, 0.04)
TABLE = {"table_pos": np.array([0.5, 0.0, 0.4], np.float32), "table_quat": np.array([1, 0, 0, 0], np.float32)}


def test_the_skeleton_is_the_thirty_links_of_motions(g1):
    names = {g1.body_names[index] for index in skeleton_bodies(g1)}
    assert len(names) == 30
    assert not any("hand" in name for name in names)


def test_segments_join_legs_trunk_and_right_shoulder(g1):
    pairs = {(g1.body_names[a], g1.body_names[b]) for a, b in lower_body_segments(g1)}
    assert len(pairs) == 16  # two legs of six, three of the waist, the right shoulder
    assert ("left_knee_link", "left_ankle_pitch_link") in pairs
    assert ("torso_link", "right_shoulder_pitch_link") in pairs
    assert ("torso_link", "left_shoulder_pitch_link") not in pairs


def test_what_sinks_is_raised_as_far_as_its_lowest_link(real_data, g1):
    archive = np.load(real_data / "raw" / "holosoma_largebox" / "sub3_largebox_003_mj_w_obj.npz")
    names = archive["body_names"].tolist()
    own = [names.index(g1.body_names[index]) for index in skeleton_bodies(g1)]
    lowest = archive["body_pos_w"][:, own, 2].min()
    state = archive["joint_pos"].astype(np.float32)
    clip = MotionClip(
        key="a",
        path=real_data,
        fps=50.0,
        joint_names=tuple(archive["joint_names"].tolist()),
        root_pos=state[:, :3] - np.array([0, 0, 0.1], np.float32),
        root_quat=state[:, 3:7],
        joint_pos=state[:, 7:],
        object=ObjectTrack(pos=archive["object_pos_w"].astype(np.float32), quat=archive["object_quat_w"], fps=50.0),
        **TABLE,
    )
    raised, by = raise_to_ground(clip, g1)
    assert by == pytest.approx(0.1 - lowest, abs=1e-5)
    np.testing.assert_allclose(raised.root_pos[:, 2] - clip.root_pos[:, 2], by, atol=1e-6)
    np.testing.assert_allclose(raised.object.pos - clip.object.pos, np.tile([0, 0, by], (325, 1)), atol=1e-6)
    np.testing.assert_allclose(raised.table_pos, [0.5, 0, 0.4 + by], atol=1e-6)


def test_what_stands_on_the_ground_stays(make_clip, g1):
    clip = make_clip(root_z=1.0)
    same, by = raise_to_ground(clip, g1)
    assert same is clip
    assert by == 0.0


def test_cuts_are_where_segments_pass_the_table_top():
    bodies = np.array([[[0.0, 0.0, 0.0], [0.0, 0.2, 1.25], [1.0, 0.0, 0.625], [1.0, 0.1, 0.625], [9.0, 0.0, 1.0]]])
    segments = [(0, 1), (2, 3), (0, 4), (0, 2)]  # through, level in the top, outside, ends in the top
    cuts = table_cuts(bodies, segments, np.array([0.5, 0.0, 0.5]), (1.5, 0.7, 0.25))
    np.testing.assert_allclose(cuts, [[0.0, 0.1], [1.0, 0.0]], atol=1e-12)


def one_leg(make_clip, g1, **changes):
    """Upright, straight legs, knees at z = 0.47, and a table whose top is at z = 0.42."""
    return make_clip(root_z=0.9, joint_pos=np.zeros((12, 29), np.float32), **{**TABLE, **changes})


def test_the_table_is_moved_clear_of_the_right_leg(make_clip, g1):
    # Upright with straight legs the shin hangs 0.1186 m to the side, 0.064452 + 0.052 + 0.0021489 at the knee; the top cuts the shin.
    far = attrs.evolve(make_clip().object, pos=np.tile(np.array([0.4, -0.3, 0.8], np.float32), (12, 1)))
    clip = one_leg(make_clip, g1, object=far)
    moved, done = clear_table(clip, g1, SIZE)
    assert moved.table_pos[1] == pytest.approx(-0.118601 - 0.35 - 0.05, abs=2e-4)
    np.testing.assert_allclose(moved.table_pos[[0, 2]], clip.table_pos[[0, 2]])
    assert "clear of the legs" in done


def test_the_object_stays_on_the_table(make_clip, g1):
    clip = one_leg(make_clip, g1)  # object at y = 0
    moved, done = clear_table(clip, g1, SIZE)
    assert moved.table_pos[1] == pytest.approx(0.0 - 0.35 + 0.03, abs=1e-6)
    assert "short of clear" in done


def test_a_table_nothing_cuts_stays(make_clip, g1):
    clip = one_leg(make_clip, g1, table_pos=np.array([2.0, 0.0, 0.4], np.float32))
    same, done = clear_table(clip, g1, SIZE)
    assert same is clip
    assert done == ""
    assert clear_table(attrs.evolve(clip, table_pos=None), g1, SIZE)[1] == ""


def test_height_correction_moves_object_and_table(make_clip):
    corrected = correct_object_height(make_clip(**TABLE), 0.7)
    assert corrected.object.pos[0, 2] == pytest.approx(0.825)
    assert corrected.table_pos[1] == pytest.approx(-0.05)
    near_edge = make_clip(**(TABLE | {"table_pos": np.array([0.5, -0.3, 0.4], np.float32)}))
    assert correct_object_height(near_edge, 0.7).table_pos[1] == pytest.approx(-0.32)
