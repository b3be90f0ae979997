from __future__ import annotations

import re
from xml.etree import ElementTree

import attrs
import mujoco
import numpy as np
import pytest
import torch
from scipy.spatial.transform import RigidTransform, Rotation

from grail_framework.robots.builder import build_robot
from grail_framework.robots.g1 import g1_29dof, g1_43dof
from grail_framework.robots.kinematics import Kinematics

from .published import PRIMITIVE, PUBLISHED, body_pairs, default_pose, needs_published, set_pose

# The release's map from its joint order to MuJoCo's depth-first one, and the same for the 30 bodies without hands.
ISAAC_FROM_MUJOCO = [0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 22, 4, 10, 16, 23, 5, 11, 17, 24, 18, 25, 19, 26, 20, 27, 21, 28]
BODY_ISAAC_FROM_MUJOCO = [
    *(0, 1, 7, 13, 2, 8, 14, 3, 9, 15, 4, 10, 16, 23, 5, 11, 17, 24, 6, 12, 18, 25, 19, 26, 20, 27, 21, 28, 22, 29),
]
MUJOCO_FROM_ISAAC = [0, 3, 6, 9, 13, 17, 1, 4, 7, 10, 14, 18, 2, 5, 8, 11, 15, 19, 21, 23, 25, 27, 12, 16, 20, 22, 24, 26, 28]
BODY_MUJOCO_FROM_ISAAC = [
    *(0, 1, 4, 7, 10, 14, 18, 2, 5, 8, 11, 15, 19, 3, 6, 9, 12, 16, 20, 22, 24, 26, 28, 13, 17, 21, 23, 25, 27, 29),
]
ISAAC_JOINTS = [
    *("left_hip_pitch", "right_hip_pitch", "waist_yaw", "left_hip_roll", "right_hip_roll", "waist_roll"),
    *("left_hip_yaw", "right_hip_yaw", "waist_pitch", "left_knee", "right_knee", "left_shoulder_pitch"),
    *("right_shoulder_pitch", "left_ankle_pitch", "right_ankle_pitch", "left_shoulder_roll", "right_shoulder_roll"),
    *("left_ankle_roll", "right_ankle_roll", "left_shoulder_yaw", "right_shoulder_yaw", "left_elbow", "right_elbow"),
    *("left_wrist_roll", "right_wrist_roll", "left_wrist_pitch", "right_wrist_pitch", "left_wrist_yaw", "right_wrist_yaw"),
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


# Waist pitch moves the torso; every other link is called as its joint.
MUJOCO_LINKS = ["pelvis", *("torso_link" if name == "waist_pitch" else f"{name}_link" for name in MUJOCO_JOINTS)]


@pytest.mark.parametrize("make", [g1_29dof, g1_43dof])
def test_joints_and_bodies_are_in_isaac_lab_s_order(make):
    robot = make()
    assert robot.num_motion_joints == 29
    assert robot.joint_names[:29] == tuple(f"{name}_joint" for name in ISAAC_JOINTS)
    assert robot.joint_names[:29] == tuple(f"{MUJOCO_JOINTS[i]}_joint" for i in ISAAC_FROM_MUJOCO)
    assert robot.body_names[:30] == tuple(MUJOCO_LINKS[i] for i in BODY_ISAAC_FROM_MUJOCO)
    seen: set[str | None] = {None}
    for body in robot.bodies:
        assert body.parent in seen
        seen.add(body.name)


def test_the_tables_give_the_release_s_gather_lists():
    """MuJoCo itself says what its depth-first order is; mapping by name must give the four published lists."""
    robot = g1_29dof()
    model = build_robot(robot).compile()
    joints = [model.joint(index).name for index in range(1, model.njnt)]
    bodies = [model.body(index).name for index in range(1, model.nbody)]
    assert [joints.index(name) for name in robot.joint_names] == ISAAC_FROM_MUJOCO
    assert robot.joint_ids(joints) == MUJOCO_FROM_ISAAC
    assert [bodies.index(name) for name in robot.body_names] == BODY_ISAAC_FROM_MUJOCO
    assert robot.body_ids(bodies) == BODY_MUJOCO_FROM_ISAAC


def test_the_order_of_hand_joints_and_palms_is_breadth_first():
    robot = g1_43dof()
    assert robot.joint_names[29:] == (
        *("left_hand_index_0_joint", "left_hand_middle_0_joint", "left_hand_thumb_0_joint"),
        *("right_hand_index_0_joint", "right_hand_middle_0_joint", "right_hand_thumb_0_joint"),
        *("left_hand_index_1_joint", "left_hand_middle_1_joint", "left_hand_thumb_1_joint"),
        *("right_hand_index_1_joint", "right_hand_middle_1_joint", "right_hand_thumb_1_joint"),
        *("left_hand_thumb_2_joint", "right_hand_thumb_2_joint"),
    )
    assert robot.body_names[30:32] == ("left_hand_palm_link", "right_hand_palm_link")
    assert robot.body_names[32:] == tuple(name.replace("_joint", "_link") for name in robot.joint_names[29:])


def test_the_robot_without_hands_is_the_other_s_body():
    ours, whole = g1_29dof(), g1_43dof()
    assert len(ours.bodies) == 30
    assert ours.num_joints == 29
    assert ours.body_names == whole.body_names[:30]
    for body, same in zip(ours.bodies, whole.bodies, strict=False):
        if not body.name.endswith("wrist_yaw_link"):
            assert body == same
    assert ours.tracked_bodies == whole.tracked_bodies
    assert ours.end_effectors == whole.end_effectors


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
    assert body_pairs(model, data) == {("left_ankle_roll_link", "world"), ("right_ankle_roll_link", "world")}


def test_hands_clapped_together_do_touch():
    robot = g1_43dof()
    model = build_robot(robot).compile()
    data = mujoco.MjData(model)
    data.qpos[:7] = (0.0, 0.0, 5.0, 1.0, 0.0, 0.0, 0.0)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        data.joint(f"{side}_shoulder_yaw_joint").qpos = -0.8 * sign
    mujoco.mj_forward(model, data)
    sides = {(first.split("_")[0], second.split("_")[0]) for first, second in body_pairs(model, data)}
    assert ("left", "right") in sides


def test_the_robot_stands_on_its_flat_feet_for_half_a_second():
    robot = g1_43dof()
    spec = build_robot(robot)
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0.0, 0.0, 1.0))
    spec.option.timestep = 0.005
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    model = spec.compile()
    data = mujoco.MjData(model)
    default = default_pose(robot)
    set_pose(model, data, robot, default, height=robot.spawn_height)
    data.ctrl[[model.actuator(name).id for name in robot.joint_names]] = default
    mujoco.mj_forward(model, data)
    while data.time < 0.5:
        mujoco.mj_step(model, data)
    assert data.body("pelvis").xpos[2] > 0.7
    # The soft wrists sag until a thumb leans on a thigh; nothing but the soles may touch the ground.
    on_ground = {pair for pair in body_pairs(model, data) if "world" in pair}
    assert on_ground == {("left_ankle_roll_link", "world"), ("right_ankle_roll_link", "world")}
    # xmat is the rotation matrix by rows: its last entry is the cosine of the tilt.
    assert data.body("pelvis").xmat[8] > 0.995


def numbers(joint, element, key):
    found = joint.find(element)
    return np.array([0.0] * 3 if found is None else [float(value) for value in found.get(key, "0 0 0").split()])


def urdf_poses(path, joint_names, angles):
    """Compute link poses from a URDF's XML with scipy: name -> transforms of all poses, in the pelvis frame."""
    tree = ElementTree.parse(path).getroot()
    count = len(angles)
    poses = {"pelvis": RigidTransform.from_translation(np.zeros((count, 3)))}
    waiting = list(tree.findall("joint"))
    while waiting:
        joint = waiting.pop(0)
        parent, child = (joint.find(end).get("link") for end in ("parent", "child"))
        if parent not in poses:
            waiting.append(joint)
            continue
        xyz, rpy = (numbers(joint, "origin", key) for key in ("xyz", "rpy"))
        pose = poses[parent] * RigidTransform.from_components(xyz, Rotation.from_euler("xyz", rpy))
        if joint.get("type") == "revolute":
            axis = numbers(joint, "axis", "xyz")
            turn = Rotation.from_rotvec(angles[:, joint_names.index(joint.get("name"))][:, None] * axis)
            pose = pose * RigidTransform.from_rotation(turn)
        poses[child] = pose
    return poses


@needs_published
def test_link_poses_and_mass_are_those_of_the_published_urdf():
    path = PUBLISHED / "g1_29dof_with_hand_rev_1_0.urdf"
    robot = g1_43dof()
    lower, upper = (np.array([getattr(joint, end) for joint in robot.joints]) for end in ("lower", "upper"))
    angles = np.random.default_rng(0).uniform(lower, upper, (1000, robot.num_joints))
    theirs = urdf_poses(path, robot.joint_names, angles)
    pos, quat = Kinematics(robot, dtype=torch.float64).forward(
        torch.zeros(1000, 3, dtype=torch.float64),
        torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(1000, 4),
        torch.tensor(angles),
    )
    for index, name in enumerate(robot.body_names):
        np.testing.assert_allclose(pos[:, index], theirs[name].translation, atol=1e-6, err_msg=name)
        turned = Rotation.from_quat(quat[:, index].numpy(), scalar_first=True).inv() * theirs[name].rotation
        assert turned.magnitude().max() < 1e-6, name
    masses = [float(mass.get("value", "nan")) for mass in ElementTree.parse(path).iter("mass")]
    assert sum(body.mass for body in robot.bodies) == pytest.approx(sum(masses), rel=1e-6)


@needs_published
def test_joint_limits_are_those_of_the_published_urdf():
    for joint in ElementTree.parse(PUBLISHED / "g1_29dof_with_hand_rev_1_0.urdf").iter("joint"):
        if joint.get("type") == "revolute":
            (ours,) = (found for found in g1_43dof().joints if found.name == joint.get("name"))
            limit = joint.find("limit")
            assert ours.lower == pytest.approx(float(limit.get("lower")), abs=1e-6)
            assert ours.upper == pytest.approx(float(limit.get("upper")), abs=1e-6)


@needs_published
def test_inertias_without_hands_are_those_of_the_published_mjcf():
    """Unitree's own 29-joint model, its meshes and the floor taken out."""
    text = (PRIMITIVE / "gear_sonic_g1_29dof_rev_1_0.xml").read_text(encoding="utf-8")
    text = re.sub(r"<asset>.*?</asset>", "", text, flags=re.DOTALL)
    text = re.sub(r"<geom[^>]*(mesh|floor)[^>]*/>", "", text)
    theirs = mujoco.MjModel.from_xml_string(text)
    robot = g1_29dof()
    ours = build_robot(robot).compile()
    assert ours.body_mass.sum() == pytest.approx(theirs.body_mass.sum(), rel=1e-5)
    for name in robot.body_names:
        one, other = ours.body(name).id, theirs.body(name).id
        # Head, logo and pelvis cover are counted as grams of their own in one of the two files.
        assert ours.body_mass[one] == pytest.approx(theirs.body_mass[other], abs=1.1e-3)
        np.testing.assert_allclose(ours.body_ipos[one], theirs.body_ipos[other], atol=5e-5, err_msg=name)
        np.testing.assert_allclose(ours.body_inertia[one], theirs.body_inertia[other], rtol=2e-3, err_msg=name)
