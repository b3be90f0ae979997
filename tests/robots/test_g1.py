from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import attrs
import mujoco
import numpy as np
import pytest

from grail_framework.errors import AssetError
from grail_framework.robots.builder import build_robot
from grail_framework.robots.g1 import g1_43dof
from grail_framework.robots.spec import ColliderSpec

# The release's map from its joint order to MuJoCo's depth-first one, and the same for the 30 bodies without hands.
ISAAC_FROM_MUJOCO = [0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 22, 4, 10, 16, 23, 5, 11, 17, 24, 18, 25, 19, 26, 20, 27, 21, 28]
BODY_ISAAC_FROM_MUJOCO = [
    *(0, 1, 7, 13, 2, 8, 14, 3, 9, 15, 4, 10, 16, 23, 5, 11, 17, 24, 6, 12, 18, 25, 19, 26, 20, 27, 21, 28, 22, 29),
]
LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
MUJOCO_JOINTS = [
    *(f"left_{name}" for name in LEG),
    *(f"right_{name}" for name in LEG),
    *("waist_yaw", "waist_roll", "waist_pitch"),
    *(f"left_{name}" for name in ARM),
    *(f"right_{name}" for name in ARM),
]


def published_urdf() -> Path:
    root = Path(os.environ.get("GRAIL_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    return root / "robots" / "unitree_g1_43dof" / "g1_29dof_with_hand_rev_1_0.urdf"


def qpos_addresses(model: mujoco.MjModel, names) -> np.ndarray:
    return np.array([model.jnt_qposadr[model.joint(name).id] for name in names])


def contacts(model: mujoco.MjModel, data: mujoco.MjData) -> set[tuple[str, ...]]:
    return {
        tuple(sorted(model.body(model.geom_bodyid[geom]).name for geom in (contact.geom1, contact.geom2)))
        for contact in data.contact[: data.ncon]
    }


def test_the_joint_order_is_the_release_s():
    robot = g1_43dof()
    assert list(robot.joint_names[:29]) == [f"{MUJOCO_JOINTS[i]}_joint" for i in ISAAC_FROM_MUJOCO]
    assert robot.joint_names[:3] == ("left_hip_pitch_joint", "right_hip_pitch_joint", "waist_yaw_joint")
    fingers = ("index_0", "middle_0", "thumb_0")
    tips = ("index_1", "middle_1", "thumb_1")
    expected = [f"{side}_hand_{name}" for level in (fingers, tips) for side in ("left", "right") for name in level]
    expected += ["left_hand_thumb_2", "right_hand_thumb_2"]
    assert list(robot.joint_names[29:]) == [f"{name}_joint" for name in expected]
    assert robot.num_motion_joints == 29


def test_the_body_order_is_the_root_then_the_child_of_each_joint():
    robot = g1_43dof()
    # waist_pitch moves the torso; every other link is called as its joint.
    links = ["pelvis", *("torso_link" if name == "waist_pitch" else f"{name}_link" for name in MUJOCO_JOINTS)]
    assert list(robot.body_names[:30]) == [links[i] for i in BODY_ISAAC_FROM_MUJOCO]
    assert robot.body_names[30:32] == ("left_hand_palm_link", "right_hand_palm_link")
    assert [body.name for body in robot.bodies[32:]] == [name.replace("_joint", "_link") for name in robot.joint_names[29:]]
    seen: set[str] = set()
    for body in robot.bodies:
        assert body.parent is None or body.parent in seen
        seen.add(body.name)


@pytest.mark.parametrize(
    ("joint", "stiffness", "damping", "armature", "effort", "velocity", "scale"),
    [
        ("left_hip_pitch_joint", 99.0984, 6.3088, 0.025101925, 139.0, 20.0, 0.35066),
        ("right_hip_roll_joint", 99.0984, 6.3088, 0.025101925, 139.0, 20.0, 0.35066),
        ("left_knee_joint", 99.0984, 6.3088, 0.025101925, 139.0, 20.0, 0.35066),
        ("right_hip_yaw_joint", 40.1792, 2.5579, 0.01017752, 88.0, 32.0, 0.54755),
        ("waist_yaw_joint", 40.1792, 2.5579, 0.01017752, 88.0, 32.0, 0.54755),
        ("left_ankle_pitch_joint", 28.5012, 1.8144, 0.00721945, 50.0, 37.0, 0.43858),
        ("right_ankle_roll_joint", 28.5012, 1.8144, 0.00721945, 50.0, 37.0, 0.43858),
        ("waist_roll_joint", 28.5012, 1.8144, 0.00721945, 50.0, 37.0, 0.43858),
        ("waist_pitch_joint", 28.5012, 1.8144, 0.00721945, 50.0, 37.0, 0.43858),
        ("left_shoulder_yaw_joint", 14.2506, 0.9072, 0.003609725, 25.0, 37.0, 0.43858),
        ("right_elbow_joint", 14.2506, 0.9072, 0.003609725, 25.0, 37.0, 0.43858),
        ("left_wrist_roll_joint", 14.2506, 0.9072, 0.003609725, 25.0, 37.0, 0.43858),
        ("left_wrist_pitch_joint", 16.7783, 1.0681, 0.00425, 5.0, 22.0, 0.07450),
        ("right_wrist_yaw_joint", 16.7783, 1.0681, 0.00425, 5.0, 22.0, 0.07450),
        ("left_hand_index_0_joint", 0.5, 0.1, 0.001, 1.4, 12.0, 0.7),
        ("right_hand_middle_1_joint", 0.5, 0.1, 0.001, 1.4, 12.0, 0.7),
        ("right_hand_thumb_2_joint", 0.5, 0.1, 0.001, 1.4, 12.0, 0.7),
        ("left_hand_thumb_0_joint", 2.0, 0.1, 0.001, 2.45, 6.857, 0.30625),
    ],
)
def test_actuators_are_the_release_s(joint, stiffness, damping, armature, effort, velocity, scale):
    robot = g1_43dof()
    found = robot.joints[robot.joint_ids([joint])[0]]
    assert found.stiffness == pytest.approx(stiffness, abs=6e-5)
    assert found.damping == pytest.approx(damping, abs=6e-5)
    assert found.armature == armature
    assert found.effort == effort
    assert found.velocity == velocity
    assert found.action_scale == pytest.approx(scale, abs=6e-6)


def test_the_default_pose_is_the_release_s():
    robot = g1_43dof()
    pose = {joint.name: joint.default_pos for joint in robot.joints if joint.default_pos != 0.0}
    expected = {"left_shoulder_roll_joint": 0.2, "right_shoulder_roll_joint": -0.2}
    for side in ("left", "right"):
        expected |= {f"{side}_hip_pitch_joint": -0.312, f"{side}_knee_joint": 0.669, f"{side}_ankle_pitch_joint": -0.363}
        expected |= {f"{side}_elbow_joint": 0.6, f"{side}_shoulder_pitch_joint": 0.2}
    assert pose == expected


def test_closed_hands_are_the_release_s_joint_targets():
    robot = g1_43dof()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        hand = robot.hands[side]
        scales = [robot.joints[i].action_scale for i in robot.joint_ids(hand.joints)]
        targets = [action * scale for action, scale in zip(hand.closed_action, scales, strict=True)]
        assert targets == pytest.approx([sign * value for value in (-1.0, -1.5, -1.0, -1.5, 0.0, 0.7, 0.7)], abs=1e-6)
        assert hand.open_action == (0.0,) * 7
        assert hand.joints[0] == f"{side}_hand_index_0_joint"
        assert hand.joints[6] == f"{side}_hand_thumb_2_joint"


def test_named_bodies_exist_in_the_release_s_order():
    robot = g1_43dof()
    assert robot.tracked_bodies == (
        "pelvis",
        *("left_hip_roll_link", "left_knee_link", "left_ankle_roll_link"),
        *("right_hip_roll_link", "right_knee_link", "right_ankle_roll_link", "torso_link"),
        *("left_shoulder_roll_link", "left_elbow_link", "left_wrist_yaw_link"),
        *("right_shoulder_roll_link", "right_elbow_link", "right_wrist_yaw_link"),
    )
    robot.body_ids((*robot.tracked_bodies, *robot.end_effectors, robot.anchor_body))
    for hand in robot.hands.values():
        robot.body_ids((hand.palm, hand.thumb_tip, hand.index_tip, hand.middle_tip))


def test_no_link_touches_another_while_the_hands_close():
    robot = g1_43dof()
    model = build_robot(robot).compile()
    data = mujoco.MjData(model)
    default = np.array([joint.default_pos for joint in robot.joints])
    closed = default.copy()
    for hand in robot.hands.values():
        for index, action in zip(robot.joint_ids(hand.joints), hand.closed_action, strict=True):
            closed[index] = action * robot.joints[index].action_scale
    for share in np.linspace(0.0, 1.0, 11):
        data.qpos[:7] = (0.0, 0.0, 5.0, 1.0, 0.0, 0.0, 0.0)
        data.qpos[qpos_addresses(model, robot.joint_names)] = (1.0 - share) * default + share * closed
        mujoco.mj_forward(model, data)
        assert contacts(model, data) == set()


def test_without_self_collision_the_robot_meets_only_the_world():
    robot = g1_43dof()
    spec = build_robot(attrs.evolve(robot, self_collision=False))
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0.0, 0.0, 1.0))
    model = spec.compile()
    data = mujoco.MjData(model)
    data.qpos[:7] = (0.0, 0.0, 0.78, 1.0, 0.0, 0.0, 0.0)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        data.joint(f"{side}_shoulder_yaw_joint").qpos = -0.8 * sign
    mujoco.mj_forward(model, data)
    assert contacts(model, data) == {("left_ankle_roll_link", "world"), ("right_ankle_roll_link", "world")}


def test_an_unknown_collider_shape_is_named():
    robot = g1_43dof()
    body = attrs.evolve(robot.bodies[0], colliders=(ColliderSpec(shape="cone", size=(0.1, 0.2)),))
    with pytest.raises(AssetError, match=r"collider 'pelvis-0' is a 'cone'; allowed: box, sphere, capsule, cylinder"):
        build_robot(attrs.evolve(robot, bodies=(body, *robot.bodies[1:])))


def test_hands_clapped_together_do_touch():
    robot = g1_43dof()
    model = build_robot(robot).compile()
    data = mujoco.MjData(model)
    data.qpos[:7] = (0.0, 0.0, 5.0, 1.0, 0.0, 0.0, 0.0)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        data.joint(f"{side}_shoulder_yaw_joint").qpos = -0.8 * sign
    mujoco.mj_forward(model, data)
    sides = {(first.split("_")[0], second.split("_")[0]) for first, second in contacts(model, data)}
    assert ("left", "right") in sides


@pytest.mark.skipif(not published_urdf().exists(), reason="the published G1 description is not here; set GRAIL_TEST_DATA")
def test_link_poses_and_mass_are_those_of_the_published_urdf():
    spec = mujoco.MjSpec.from_file(str(published_urdf()))
    for geom in list(spec.geoms):
        spec.delete(geom)
    for mesh in list(spec.meshes):
        spec.delete(mesh)
    spec.compiler.fusestatic = False
    spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_FALSE
    published = spec.compile()  # the pelvis is welded to the world there
    theirs = mujoco.MjData(published)
    robot = g1_43dof()
    model = build_robot(robot).compile()
    ours = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    lower, upper = (np.array([getattr(joint, end) for joint in robot.joints]) for end in ("lower", "upper"))
    for _ in range(20):
        pose = rng.uniform(lower, upper)
        theirs.qpos[qpos_addresses(published, robot.joint_names)] = pose
        ours.qpos[:7] = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
        ours.qpos[qpos_addresses(model, robot.joint_names)] = pose
        mujoco.mj_kinematics(published, theirs)
        mujoco.mj_kinematics(model, ours)
        for name in robot.body_names[1:]:
            np.testing.assert_allclose(ours.body(name).xpos, theirs.body(name).xpos, atol=1e-6, err_msg=name)
            np.testing.assert_allclose(ours.body(name).xmat, theirs.body(name).xmat, atol=1e-6, err_msg=name)
    masses = [float(mass.get("value", "nan")) for mass in ElementTree.parse(published_urdf()).iter("mass")]
    assert model.body_mass.sum() == pytest.approx(sum(masses), rel=1e-4)


def test_the_robot_stands_on_its_flat_feet_for_half_a_second():
    robot = g1_43dof()
    spec = build_robot(robot)
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0.0, 0.0, 1.0))
    spec.option.timestep = 0.005
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    model = spec.compile()
    data = mujoco.MjData(model)
    default = np.array([joint.default_pos for joint in robot.joints])
    data.qpos[:7] = (0.0, 0.0, robot.spawn_height, 1.0, 0.0, 0.0, 0.0)
    data.qpos[qpos_addresses(model, robot.joint_names)] = default
    data.ctrl[[model.actuator(name).id for name in robot.joint_names]] = default
    mujoco.mj_forward(model, data)
    while data.time < 0.5:
        mujoco.mj_step(model, data)
    assert data.body("pelvis").xpos[2] > 0.7
    # The soft wrists sag until a thumb leans on a thigh; nothing but the soles may touch the ground.
    on_ground = {pair for pair in contacts(model, data) if "world" in pair}
    assert on_ground == {("left_ankle_roll_link", "world"), ("right_ankle_roll_link", "world")}
    # xmat is the rotation matrix by rows: its last entry is the cosine of the tilt.
    assert data.body("pelvis").xmat[8] > 0.995
