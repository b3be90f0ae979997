from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from grail_framework.motion.clip import MotionClip, ObjectTrack
from grail_framework.motion.resample import object_frame_count, resample_clip, robot_frame_count


def clip(frames: int, fps: float, *, obj: ObjectTrack | None = None, hands: np.ndarray | None = None) -> MotionClip:
    t = np.arange(frames) / fps
    return MotionClip(
        key="k",
        path=Path("k.pkl"),
        fps=fps,
        joint_names=("a", "b"),
        root_pos=np.stack([t, 2 * t, 3 * t], axis=-1).astype(np.float32),
        root_quat=Rotation.from_euler("xyz", np.stack([t, 2 * t, 0.3 * t], axis=-1))
        .as_quat(scalar_first=True)
        .astype(np.float32),
        joint_pos=np.stack([t, -t], axis=-1).astype(np.float32),
        object=obj,
        hand_action=hands,
    )


@pytest.mark.parametrize(
    ("frames", "fps", "robot", "obj"),
    [
        (31, 30.0, 50, 51),  # one second: the end is left out for the robot and kept for the object
        (30, 30.0, 49, 49),  # 0.9667 s: 48.33 steps
        (163, 25.0, 324, 325),
        (325, 50.0, 325, 325),
        (121, 120.0, 50, 51),
        (2, 30.0, 2, 2),
        (2, 120.0, 1, 1),
    ],
)
def test_frame_counts(frames: int, fps: float, robot: int, obj: int) -> None:
    assert robot_frame_count(frames, fps, 50.0) == robot
    assert object_frame_count(frames, fps, 50.0) == obj


@pytest.mark.parametrize("fps", [24.0, 25.0, 29.97, 30.0, 60.0, 100.0, 120.0])
def test_frame_counts_equal_those_of_exact_arithmetic(fps: float) -> None:
    for frames in range(2, 2000, 7):
        end = (frames - 1) / fps
        times = np.arange(0, frames * 50 / fps + 2) / 50
        assert robot_frame_count(frames, fps, 50.0) == max(1, int((times < end - 1e-8).sum()))
        assert object_frame_count(frames, fps, 50.0) == int((times < end + 1e-8).sum())


def test_nothing_is_resampled_at_the_target_rate() -> None:
    source = clip(20, 50.0)
    out = resample_clip(source, 50.0)
    np.testing.assert_array_equal(out.root_pos, source.root_pos)
    np.testing.assert_array_equal(out.joint_pos, source.joint_pos)
    np.testing.assert_allclose(out.root_quat, source.root_quat, atol=1e-7)


def test_positions_are_linear_and_rotations_are_slerped() -> None:
    source = clip(31, 30.0)
    out = resample_clip(source, 50.0)
    t = np.arange(50) / 50
    np.testing.assert_allclose(out.root_pos, np.stack([t, 2 * t, 3 * t], axis=-1), atol=1e-6)
    np.testing.assert_allclose(out.joint_pos, np.stack([t, -t], axis=-1), atol=1e-6)
    rotation = Rotation.from_quat(source.root_quat, scalar_first=True)
    expected = Slerp(np.arange(31) / 30, rotation)(t)
    difference = expected.inv() * Rotation.from_quat(out.root_quat, scalar_first=True)
    assert difference.magnitude().max() < 1e-6


def test_quaternion_sign_flips_do_not_matter() -> None:
    source = clip(31, 30.0)
    flipped = clip(31, 30.0)
    flipped.root_quat[::2] *= -1
    a, b = resample_clip(source, 50.0).root_quat, resample_clip(flipped, 50.0).root_quat
    np.testing.assert_allclose((a * b).sum(-1).abs(), 1.0, atol=1e-6)


@pytest.mark.parametrize(("object_frames", "last"), [(31, 49 / 50), (16, 0.5), (61, 49 / 50)])
def test_the_object_is_cut_or_padded_to_the_robot(object_frames: int, last: float) -> None:
    t = np.arange(object_frames) / 30
    track = ObjectTrack(
        pos=np.stack([t, t, t], axis=-1).astype(np.float32),
        quat=np.tile(np.array([1, 0, 0, 0], np.float32), (object_frames, 1)),
        fps=30.0,
    )
    out = resample_clip(clip(31, 30.0, obj=track), 50.0)
    assert out.object_pos.shape == (50, 3)
    assert out.object_pos[-1, 0].item() == pytest.approx(last, abs=1e-6)


def test_a_motion_without_object_has_one_at_the_origin() -> None:
    out = resample_clip(clip(31, 30.0), 50.0)
    assert not out.object_pos.any()
    assert out.object_quat[:, 0].eq(1).all()
    assert out.hand_action.eq(-1).all()


def test_hand_actions_take_the_nearest_frame() -> None:
    hands = np.stack([-np.ones(31), np.where(np.arange(31) < 10, -1, 1)], axis=-1).astype(np.float32)
    out = resample_clip(clip(31, 30.0, hands=hands), 50.0).hand_action
    # Frame i takes source frame round(i 30/49): 9.8 rounds to 10 at i = 16, 9.18 to 9 at i = 15.
    assert out[:, 1].tolist() == [-1.0] * 16 + [1.0] * 34
    assert torch.equal(resample_clip(clip(31, 50.0, hands=hands), 50.0).hand_action, torch.from_numpy(hands))
