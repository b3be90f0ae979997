from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pytest

from grail_framework.errors import DataError
from grail_framework.motion.clip import MotionClip, ObjectTrack
from grail_framework.motion.faults import BadClipReport, ClipFault
from grail_framework.motion.validate import Needs, check_clip, check_library

if TYPE_CHECKING:
    from grail_framework.robots.spec import RobotSpec

T = 12
ALL = Needs(object=True, table=True)


def quats(frames: int = T) -> np.ndarray:
    return np.tile(np.array([1, 0, 0, 0], np.float32), (frames, 1))


@pytest.fixture
def clip(g1: RobotSpec) -> MotionClip:
    return MotionClip(
        key="k",
        path=Path("robot/k.pkl"),
        fps=30.0,
        joint_names=g1.joint_names[:29],
        root_pos=np.tile(np.array([0.0, 0.0, 0.78], np.float32), (T, 1)),
        root_quat=quats(),
        joint_pos=np.zeros((T, 29), np.float32),
        object=ObjectTrack(
            pos=np.zeros((T, 3), np.float32), quat=quats(), fps=30.0, contact_points={"left": {3: np.ones((1, 3))}}
        ),
        object_usd=Path("object_usd/k.usd"),
        hand_action=np.zeros((T, 2), np.float32),
        table_pos=np.zeros(3),
        table_quat=np.array([1.0, 0, 0, 0]),
        bps=np.zeros(10),
    )


def test_a_good_clip_has_no_faults(clip: MotionClip, g1: RobotSpec) -> None:
    assert check_clip(clip, g1, ALL) == []


def with_nan(array: np.ndarray, frame: int) -> np.ndarray:
    array = array.copy()
    array[frame, 0] = np.nan
    return array


def joint(index: int, value: float) -> np.ndarray:
    array = np.zeros((T, 29), np.float32)
    array[5, index] = value
    return array


CLIP_FAULTS: dict[str, tuple[dict[str, Any], int | None, str]] = {
    "fps zero": ({"fps": 0.0}, None, "fps is 0"),
    "fps huge": ({"fps": 1e6}, None, "fps is 1e"),
    "one frame": ({"root_pos": np.zeros((1, 3))}, None, "1 frames"),
    "root shape": ({"root_pos": np.zeros((T, 2))}, None, r"root_pos has the shape \(12, 2\)"),
    "root nan": ({"root_pos": with_nan(np.zeros((T, 3)), 4)}, 4, "NaN"),
    "quat norm": ({"root_quat": quats() * np.linspace(1, 1.2, T)[:, None]}, T - 1, "no unit quaternion"),
    "quat zero": ({"root_quat": quats() * 0}, 0, "no unit quaternion"),
    "quat frames": ({"root_quat": quats(5)}, None, "root_quat has the shape"),
    "joint frames": ({"joint_pos": np.zeros((5, 29))}, None, "joint_pos has the shape"),
    "joint nan": ({"joint_pos": with_nan(np.zeros((T, 29)), 2)}, 2, "NaN"),
    "degrees": ({"joint_pos": joint(3, 40.0)}, 5, "in degrees"),
    "23 joints": (
        {"joint_names": tuple("abc"), "joint_pos": np.zeros((T, 3))},
        None,
        "3 joints, the motions of 'g1_43dof' have 29",
    ),
    "hands": ({"hand_action": np.zeros((T, 3))}, None, "hand_action"),
    "no object": ({"object": None}, None, "no object motion"),
    "no asset": ({"object_usd": None}, None, "no object asset"),
    "no table": ({"table_pos": None}, None, "Meta pkl missing for motion 'k'"),
    "table quat": ({"table_quat": np.zeros(4)}, 0, "table_quat is no unit"),
}
OBJECT_FAULTS: dict[str, tuple[dict[str, Any], int | None, str]] = {
    "fps": ({"fps": -1.0}, None, "fps of the object"),
    "empty": ({"pos": np.zeros((0, 3)), "quat": quats(0), "contact_points": None}, None, "no frames"),
    "nan": ({"pos": with_nan(np.zeros((T, 3)), 9)}, 9, "NaN"),
    "quat": ({"quat": quats() * 2}, 0, "no unit"),
    "contact late": ({"contact_points": {"right": {T: np.ones((1, 3))}}}, T, "right hand lie outside"),
    "contact early": ({"contact_points": {"left": {-1: np.ones((1, 3))}}}, -1, "left hand lie outside"),
}


@pytest.mark.parametrize("name", sorted(CLIP_FAULTS))
def test_clip_faults_name_frame_and_reason(clip: MotionClip, g1: RobotSpec, name: str) -> None:
    changes, frame, reason = CLIP_FAULTS[name]
    faults = check_clip(attrs.evolve(clip, **changes), g1, ALL)
    assert re.search(reason, faults[0].reason)
    assert faults[0].frame == frame
    assert faults[0].fatal
    assert (faults[0].key, faults[0].path) == ("k", clip.path)


@pytest.mark.parametrize("name", sorted(OBJECT_FAULTS))
def test_object_faults_name_frame_and_reason(clip: MotionClip, g1: RobotSpec, name: str) -> None:
    changes, frame, reason = OBJECT_FAULTS[name]
    assert clip.object is not None
    (fault,) = check_clip(attrs.evolve(clip, object=attrs.evolve(clip.object, **changes)), g1, ALL)
    assert reason in fault.reason
    assert fault.frame == frame


def test_what_a_task_does_not_need_may_be_missing(clip: MotionClip, g1: RobotSpec) -> None:
    bare = attrs.evolve(clip, object=None, object_usd=None, hand_action=None, table_pos=None, table_quat=None, bps=None)
    assert check_clip(bare, g1, Needs()) == []


def test_a_joint_slightly_beyond_its_range_is_reported_but_used(clip: MotionClip, g1: RobotSpec) -> None:
    knee = g1.joint_ids(["left_knee_joint"])[0]
    upper = g1.joints[knee].upper
    bent = np.zeros((T, 29), np.float32)
    bent[:, knee] = upper + 0.04
    assert check_clip(attrs.evolve(clip, joint_pos=bent), g1, ALL) == []
    bent[5, knee] = upper + 0.3
    (fault,) = check_clip(attrs.evolve(clip, joint_pos=bent), g1, ALL)
    assert not fault.fatal
    assert fault.frame == 5
    assert "left_knee_joint" in fault.reason


def test_what_only_some_clips_have_is_reported(clip: MotionClip) -> None:
    assert clip.object is not None
    unlabelled = attrs.evolve(clip, key="u", object=attrs.evolve(clip.object, contact_points=None))
    no_hands = attrs.evolve(clip, key="h", hand_action=None)
    faults = check_library([clip, unlabelled, no_hands])
    assert not any(fault.fatal for fault in faults)
    assert sorted((fault.key, fault.reason) for fault in faults) == [
        ("h", "has no hand actions, which 2 other motions have"),
        ("u", "has no contact points, which 2 other motions have"),
    ]
    assert check_library([unlabelled, unlabelled]) == []


def fault(key: str, *, fatal: bool = True) -> ClipFault:
    return ClipFault(path=Path(f"{key}.pkl"), key=key, frame=3, reason="is odd", fatal=fatal)


def test_stop_lists_the_first_faults_and_counts_the_rest() -> None:
    report = BadClipReport(faults=tuple(fault(f"m{i:03}") for i in range(103)), num_motions=200)
    with pytest.raises(DataError) as error:
        report.apply("stop")
    message = str(error.value)
    assert "103 of 200 motions cannot be used" in message
    assert message.count("is odd") == 100
    assert "and 3 more" in message
    assert "m000.pkl (motion 'm000', frame 3): is odd" in message
    assert "--on-bad-clip skip" in message


def test_skip_leaves_out_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    report = BadClipReport(faults=(fault("a"), fault("a"), fault("b", fatal=False)), num_motions=2)
    with caplog.at_level(logging.WARNING):
        assert report.apply("skip") == {"a"}
    assert len(caplog.records) == 3
    with pytest.raises(DataError, match="no motion is left"):
        BadClipReport(faults=(fault("a"),), num_motions=1).apply("skip")


def test_warnings_alone_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert BadClipReport(faults=(fault("b", fatal=False),), num_motions=1).apply("stop") == frozenset()
    assert "used, but check" in caplog.text
