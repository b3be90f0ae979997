"""Actuators, default pose, action scales and hand primitives of the G1: the GRAIL release's figures, written out joint by joint."""

import pytest

from grail_framework.robots.g1 import g1_29dof, g1_43dof

# Stiffness, damping, armature, effort, velocity limit, action scale, by motor.
M7520_22 = (99.0984, 6.3088, 0.025101925, 139.0, 20.0, 0.35066)
M7520_14 = (40.1792, 2.5579, 0.01017752, 88.0, 32.0, 0.54755)
TWO_M5020 = (28.5012, 1.8144, 0.00721945, 50.0, 37.0, 0.43858)
M5020 = (14.2506, 0.9072, 0.003609725, 25.0, 37.0, 0.43858)
M4010 = (16.7783, 1.0681, 0.00425, 5.0, 22.0, 0.07450)
FINGER = (0.5, 0.1, 0.001, 1.4, 12.0, 0.7)
THUMB_0 = (2.0, 0.1, 0.001, 2.45, 6.857, 0.30625)

# Joint of the left side or the middle: motor, default position [rad].
JOINTS = {
    "left_hip_pitch": (M7520_22, -0.312),
    "left_hip_roll": (M7520_22, 0.0),
    "left_hip_yaw": (M7520_14, 0.0),
    "left_knee": (M7520_22, 0.669),
    "left_ankle_pitch": (TWO_M5020, -0.363),
    "left_ankle_roll": (TWO_M5020, 0.0),
    "waist_yaw": (M7520_14, 0.0),
    "waist_roll": (TWO_M5020, 0.0),
    "waist_pitch": (TWO_M5020, 0.0),
    "left_shoulder_pitch": (M5020, 0.2),
    "left_shoulder_roll": (M5020, 0.2),
    "left_shoulder_yaw": (M5020, 0.0),
    "left_elbow": (M5020, 0.6),
    "left_wrist_roll": (M5020, 0.0),
    "left_wrist_pitch": (M4010, 0.0),
    "left_wrist_yaw": (M4010, 0.0),
}
HAND_JOINTS = {
    "left_hand_index_0": (FINGER, 0.0),
    "left_hand_index_1": (FINGER, 0.0),
    "left_hand_middle_0": (FINGER, 0.0),
    "left_hand_middle_1": (FINGER, 0.0),
    "left_hand_thumb_0": (THUMB_0, 0.0),
    "left_hand_thumb_1": (FINGER, 0.0),
    "left_hand_thumb_2": (FINGER, 0.0),
}
MIRRORED_DEFAULT = {"left_shoulder_roll"}


def both_sides(table):
    found = {}
    for name, (motor, default) in table.items():
        found[f"{name}_joint"] = (motor, default)
        if name.startswith("left_"):
            sign = -1.0 if name in MIRRORED_DEFAULT else 1.0
            found[f"{name.replace('left', 'right', 1)}_joint"] = (motor, sign * default)
    return found


@pytest.mark.parametrize(("make", "table"), [(g1_29dof, JOINTS), (g1_43dof, JOINTS | HAND_JOINTS)])
def test_every_joint_has_the_release_s_figures(make, table):
    robot = make()
    expected = both_sides(table)
    assert set(robot.joint_names) == set(expected)
    for joint in robot.joints:
        (stiffness, damping, armature, effort, velocity, scale), default = expected[joint.name]
        assert joint.stiffness == pytest.approx(stiffness, abs=6e-5), joint.name
        assert joint.damping == pytest.approx(damping, abs=6e-5), joint.name
        assert (joint.armature, joint.effort, joint.velocity) == (armature, effort, velocity), joint.name
        assert joint.action_scale == pytest.approx(scale, abs=6e-6), joint.name
        assert joint.default_pos == default, joint.name


def test_hand_primitives_are_the_release_s():
    robot = g1_43dof()
    order = ("index_0", "index_1", "middle_0", "middle_1", "thumb_0", "thumb_1", "thumb_2")
    closed = (-1.42857143, -2.14285714, -1.42857143, -2.14285714, 0.0, 1.0, 1.0)
    targets = (-1.0, -1.5, -1.0, -1.5, 0.0, 0.7, 0.7)
    assert list(robot.hands) == ["left", "right"]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        hand = robot.hands[side]
        assert hand.joints == tuple(f"{side}_hand_{name}_joint" for name in order)
        assert hand.open_action == (0.0,) * 7
        assert hand.closed_action == tuple(sign * value for value in closed)
        joints = [robot.joints[index] for index in robot.joint_ids(hand.joints)]
        reached = [
            joint.default_pos + joint.action_scale * action for joint, action in zip(joints, hand.closed_action, strict=True)
        ]
        assert reached == pytest.approx([sign * value for value in targets], abs=1e-6)
        for joint, target in zip(joints, reached, strict=True):
            assert joint.lower <= target <= joint.upper


def test_the_robot_without_hands_has_no_primitives():
    assert g1_29dof().hands == {}
