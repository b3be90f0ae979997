"""A user's own URDF or MJCF in place of a registered robot's figures."""

import itertools
import logging
import shutil

import mujoco
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from grail_framework.errors import AssetError
from grail_framework.robots.builder import build_robot, write_mjcf
from grail_framework.robots.from_asset import robot_from_asset
from grail_framework.robots.g1 import g1_29dof, g1_43dof
from grail_framework.robots.kinematics import Kinematics

from .hopper import hopper
from .published import PUBLISHED, body_pairs, default_pose, hand_pose, needs_published, set_pose

URDF = PUBLISHED / "g1_29dof_with_hand_rev_1_0.urdf"
MJCF = PUBLISHED / "g1_29dof_with_hand_rev_1_0.xml"

INERTIAL = (
    '<inertial><origin xyz="{com}"/><mass value="{mass}"/>'
    '<inertia ixx="0.02" iyy="0.02" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial>'
)
BALL = '<collision><geometry><sphere radius="0.05"/></geometry></collision>'


def link(name, mass=1.0, com="0 0 -0.1", shape=BALL):
    return f'<link name="{name}">{INERTIAL.format(mass=mass, com=com) if mass else ""}{shape}</link>'


def joint(
    name,
    parent,
    child,
    kind="revolute",
    xyz="0 0 -0.4",
    rpy="0 0 0",
    limit='<limit lower="-1" upper="2" effort="1" velocity="1"/>',
):
    return (
        f'<joint name="{name}" type="{kind}"><origin xyz="{xyz}" rpy="{rpy}"/><parent link="{parent}"/><child link="{child}"/>'
        f'<axis xyz="0 1 0"/>{limit}</joint>'
    )


def urdf(folder, *elements):
    """Write a URDF with links and joints given as text; the default ones are a hopper whose links have names of their own."""
    path = folder / "own.urdf"
    path.write_text(f'<robot name="own">{"".join(elements)}</robot>', encoding="utf-8")
    return path


def own_hopper():
    """The parts of a hopper, as another maker names and sizes them."""
    return {
        "trunk": link("base", mass=5.0, com="0 0 0"),
        "thigh": link("upper_leg"),
        "shank": link("lower_leg"),
        "pad": link("pad", mass=0.5),
        "hip": joint("hip", "base", "upper_leg", xyz="0 0 -0.1"),
        "knee": joint("knee", "upper_leg", "lower_leg"),
        "ankle": joint("ankle", "lower_leg", "pad", kind="fixed"),
    }


def body(robot, name):
    return robot.bodies[robot.body_ids([name])[0]]


def test_links_are_those_their_joints_move_under_the_table_s_names(tmp_path):
    like = hopper()
    robot = robot_from_asset(urdf(tmp_path, *own_hopper().values()), like)
    assert robot.body_names == ("trunk", "thigh", "shank", "pad")
    assert [part.parent for part in robot.bodies] == [None, "trunk", "thigh", "shank"]
    assert [part.mass for part in robot.bodies] == [5.0, 1.0, 1.0, 0.5]
    assert body(robot, "thigh").pos == (0.0, 0.0, -0.1)
    assert [(found.lower, found.upper) for found in robot.joints] == [(-1.0, 2.0)] * 2
    assert body(robot, "pad").colliders[0].size == (0.05,)
    for ours, registered in zip(robot.joints, like.joints, strict=True):
        for field in ("name", "stiffness", "damping", "armature", "effort", "velocity", "action_scale", "default_pos"):
            assert getattr(ours, field) == getattr(registered, field)
    for field in ("name", "joint_names", "tracked_bodies", "end_effectors", "anchor_body", "hands", "spawn_height"):
        assert getattr(robot, field) == getattr(like, field)
    assert "own.urdf" in robot.source


def test_fixed_links_and_unknown_joints_are_joined_to_what_they_hang_on(tmp_path, caplog):
    """A lamp of 1 kg, 0.3 m ahead of the shank, on a joint the table does not know; a weightless frame above the root."""
    parts = own_hopper()
    parts["frame"] = link("footprint", mass=0.0, shape="")
    parts["to_frame"] = joint("to_frame", "footprint", "base", kind="fixed", xyz="0 0 0.7")
    parts["lamp"] = link("lamp", com="0 0 0")
    parts["swivel"] = joint("swivel", "lower_leg", "lamp", xyz="0.3 0 -0.1", rpy="0 0 1.5707963267948966")
    with caplog.at_level(logging.WARNING):
        robot = robot_from_asset(urdf(tmp_path, *parts.values()), hopper())
    assert "has no joint swivel; held at 0" in caplog.text
    shank = body(robot, "shank")
    assert shank.mass == pytest.approx(2.0)
    np.testing.assert_allclose(shank.com, (0.15, 0.0, -0.1), atol=1e-9)
    # Two bodies of 1 kg, each 0.15 m from the common centre along x; a quarter turn about z swaps the lamp's equal moments.
    np.testing.assert_allclose(shank.inertia, (0.04, 0.04 + 2 * 0.15**2, 0.02 + 2 * 0.15**2, 0.0, 0.0, 0.0), atol=1e-9)
    assert [shape.pos for shape in shank.colliders] == [(0.0, 0.0, 0.0), pytest.approx((0.3, 0.0, -0.1))]
    assert robot.bodies[0].mass == 5.0
    assert robot.bodies[0].pos == (0.0, 0.0, 0.0)


def test_a_joint_off_its_link_s_origin_moves_the_origin(tmp_path):
    """The same robot with one link's frame drawn 0.1 m up and its joint where it was: poses of joints do not change."""
    path = tmp_path / "own.xml"
    text = write_mjcf(hopper(), tmp_path / "hopper.xml").read_text(encoding="utf-8")
    before, after = text.split('<body name="shank"')
    after = after.replace('pos="0 0 -0.4"', 'pos="0 0 -0.3"', 1).replace(
        '<joint name="knee"', '<joint name="knee" pos="0 0 -0.1"'
    )
    after = after.replace('<inertial pos="0 0 -0.1"', '<inertial pos="0 0 -0.2"', 1)
    after = after.replace(
        '<geom name="shank-0" size="0.03 0.12" pos="0 0 -0.2"', '<geom name="shank-0" size="0.03 0.12" pos="0 0 -0.3"'
    )
    after = after.replace('<body name="pad" pos="0 0 -0.4"', '<body name="pad" pos="0 0 -0.5"')
    path.write_text(before + '<body name="shank"' + after, encoding="utf-8")
    robot = robot_from_asset(path, hopper())
    for ours, registered in zip(robot.bodies, hopper().bodies, strict=True):
        for field in ("pos", "com", "inertia", "mass"):
            np.testing.assert_allclose(getattr(ours, field), getattr(registered, field), atol=1e-6, err_msg=ours.name)
        assert ours.colliders[0].pos == pytest.approx(registered.colliders[0].pos, abs=1e-6)


def test_links_that_overlap_in_the_default_pose_do_not_collide(tmp_path, caplog):
    parts = own_hopper()
    big = '<collision><geometry><sphere radius="0.45"/></geometry></collision>'
    parts["trunk"] = link("base", mass=5.0, com="0 0 0", shape=big)
    with caplog.at_level(logging.WARNING):
        robot = robot_from_asset(urdf(tmp_path, *parts.values()), hopper())
    assert robot.excluded_pairs == (("trunk", "shank"),)
    assert "overlap in the default pose and do not collide: trunk and shank" in caplog.text


MESH = '<collision><geometry><mesh filename="package://legs/thigh.stl"/></geometry></collision>'
SHAPELESS = {
    "trunk": link("base", shape=""),
    "thigh": link("upper_leg", shape=""),
    "shank": link("lower_leg", shape=""),
    "pad": link("pad", shape=""),
}
MISFITS = {
    "another joint name": (
        {"knee": joint("knee_1", "upper_leg", "lower_leg")},
        r"1 of the 2 joints of 'hopper' are missing .'knee': did you mean 'knee_1'",
    ),
    "a slide": (
        {"knee": joint("knee", "upper_leg", "lower_leg", kind="prismatic")},
        r"'knee' is of type 'slide'; 'hopper' drives a hinge",
    ),
    "another link name": (
        {"pad": link("sole"), "ankle": joint("ankle", "lower_leg", "sole", kind="fixed")},
        r"no link 'pad'.*merge fixed joints off",
    ),
    "a merged link": ({"pad": "", "ankle": ""}, r"no link 'pad'.*body of its own inside 'shank'"),
    "a lost link": ({"lost": link("lost")}, r"5 links with 2 roots \(base, lost\)"),
    "a fixed base": (
        {"world": link("world", mass=0, shape=""), "weld": joint("weld", "world", "base", kind="fixed")},
        r"no floating base.*'weld'",
    ),
    "no shapes": (SHAPELESS, r"nothing in it collides"),
    "no mass": ({"thigh": link("upper_leg", mass=0)}, r"(no mass|mass and inertia)"),
    "another chain": (
        {"hip": joint("hip", "lower_leg", "upper_leg"), "knee": joint("knee", "base", "lower_leg")},
        r"'thigh' hangs on 'shank', which is further down",
    ),
    "no mesh file": (
        {"thigh": link("upper_leg", shape=MESH)},
        r"mesh 'package://legs/thigh.stl' is not there .*meshdir",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_said(tmp_path, case):
    change, message = MISFITS[case]
    path = urdf(tmp_path, *(own_hopper() | change).values())
    with pytest.raises(AssetError, match=message) as error:
        robot_from_asset(path, hopper())
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("robot.stl", "solid", r"no robot file by its ending '.stl'; allowed: .urdf, .xml, .mjcf, .usd"),
        ("robot.urdf.xacro", "<robot/>", r"write it out with `xacro robot.urdf.xacro > robot.urdf`"),
        ("robot.urdf", "<robot", r"not a readable XML file"),
        ("robot.xml", "<html/>", r"its outermost element is <html>; a URDF has <robot>, an MJCF has <mujoco>"),
        ("robot.xml", "<mujoco><worldbody><body/></worldbody></mujoco>", r"no floating base.*<freejoint/>"),
        ("robot.xml", "<mujoco><worldbody><boby/></worldbody></mujoco>", r"MuJoCo cannot read it: .*boby"),
    ],
)
def test_files_that_are_no_robot_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(AssetError, match=message):
        robot_from_asset(path, hopper())


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(AssetError, match=r"no such file; robot\.asset takes the path of one robot file"):
        robot_from_asset(tmp_path / "gone.urdf", hopper())
    with pytest.raises(AssetError, match="is a folder"):
        robot_from_asset(tmp_path, hopper())


def test_two_robots_in_one_mjcf_are_refused(tmp_path):
    text = write_mjcf(hopper(), tmp_path / "one.xml").read_text(encoding="utf-8")
    tree = text[text.index('<body name="trunk"') : text.index("</worldbody>")]
    for name in ("trunk", "thigh", "shank", "pad", "root", "hip", "knee"):
        tree = tree.replace(f'name="{name}', f'name="second_{name}')
    path = tmp_path / "two.xml"
    path.write_text(text.replace("</worldbody>", tree + "</worldbody>"), encoding="utf-8")
    with pytest.raises(AssetError, match=r"2 robots \(trunk, second_trunk\)"):
        robot_from_asset(path, hopper())


def test_meshes_are_found_by_package_and_may_be_named_by_folder(tmp_path):
    folder = tmp_path / "legs" / "urdf"
    folder.mkdir(parents=True)
    (tmp_path / "legs" / "meshes").mkdir()
    corners = list(itertools.product((-0.1, 0.1), (-0.05, 0.05), (-0.02, 0.02)))
    obj = "".join(f"v {x} {y} {z}\n" for x, y, z in corners) + "f 1 2 3\nf 1 3 5\nf 2 4 8\nf 5 6 7\nf 6 7 8\nf 3 4 7\n"
    (tmp_path / "legs" / "meshes" / "thigh.obj").write_text(obj, encoding="utf-8")
    parts = own_hopper()
    mesh = '<mesh filename="package://legs/meshes/thigh.obj" scale="2 1 1"/>'
    shape = f'<collision><origin xyz="0 0 -0.2"/><geometry>{mesh}</geometry></collision>'
    parts["thigh"] = link("upper_leg", shape=shape)
    (thigh,) = body(robot_from_asset(urdf(folder, *parts.values()), hopper()), "thigh").colliders
    assert thigh.shape == "mesh"
    assert len(thigh.vertices) == 8
    found = Rotation.from_quat(thigh.quat, scalar_first=True).apply(thigh.vertices) + thigh.pos
    expected = np.array(corners) * (2.0, 1.0, 1.0) + (0.0, 0.0, -0.2)
    np.testing.assert_allclose(sorted(found.round(5).tolist()), sorted(expected.round(5).tolist()), atol=2e-5)


@needs_published
def test_the_published_urdf_stands_in_for_the_table():
    table = g1_43dof()
    robot = robot_from_asset(URDF, table)
    assert robot.body_names == table.body_names
    assert robot.excluded_pairs == table.excluded_pairs  # nothing more overlaps
    for ours, registered in zip(robot.bodies, table.bodies, strict=True):
        assert ours.parent == registered.parent
        assert ours.mass == pytest.approx(registered.mass, rel=1e-6)
        np.testing.assert_allclose(ours.com, registered.com, atol=1e-6, err_msg=ours.name)
        np.testing.assert_allclose(ours.inertia, registered.inertia, atol=1e-6, err_msg=ours.name)
    state = (torch.zeros(8, 3), torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(8, 4), torch.rand(8, 43) - 0.5)
    for ours, registered in zip(Kinematics(robot).forward(*state), Kinematics(table).forward(*state), strict=True):
        torch.testing.assert_close(ours, registered, atol=1e-5, rtol=0.0)
    feet = body(robot, "left_ankle_roll_link").colliders
    assert [shape.shape for shape in feet] == ["sphere"] * 4
    assert max(len(shape.vertices) for part in robot.bodies for shape in part.colliders) <= 64
    model = build_robot(robot).compile()
    data = mujoco.MjData(model)
    for share in (0.0, 0.5, 1.0):
        set_pose(model, data, robot, hand_pose(robot, "left", share, share, share))
        mujoco.mj_forward(model, data)
        assert body_pairs(model, data) == set()


@needs_published
def test_the_published_mjcf_has_no_palms_and_stands_in_without_hands(caplog):
    with pytest.raises(AssetError, match=r"no link 'left_hand_palm_link'.*inside 'left_wrist_yaw_link'"):
        robot_from_asset(MJCF, g1_43dof())
    with caplog.at_level(logging.WARNING):
        robot = robot_from_asset(MJCF, g1_29dof())
    assert "left_hand_index_0_joint" in caplog.text
    assert sum(part.mass for part in robot.bodies) == pytest.approx(34.394, abs=1e-3)
    # The wrist carries the hand of 0.703 kg besides its own 0.085 kg.
    assert body(robot, "left_wrist_yaw_link").mass - 0.0846 == pytest.approx(
        0.3728 + 2 * 0.0589 + 0.0862 + 0.0589 + 3 * 0.0203, abs=1e-3
    )


@needs_published
def test_missing_meshes_are_named(tmp_path):
    for path in (URDF, MJCF):
        alone = tmp_path / path.name
        shutil.copy(path, alone)
        with pytest.raises(AssetError, match=r"mesh '[\w/]*\.STL' is not .*meshdir"):
            robot_from_asset(alone, g1_29dof())


def test_our_own_mjcf_comes_back_as_the_table(tmp_path):
    table = g1_43dof()
    robot = robot_from_asset(write_mjcf(table, tmp_path / "g1.xml"), table)
    assert robot.excluded_pairs == table.excluded_pairs
    for ours, registered in zip(robot.bodies, table.bodies, strict=True):
        assert (ours.name, ours.parent) == (registered.name, registered.parent)
        for field in ("pos", "com", "inertia"):
            np.testing.assert_allclose(getattr(ours, field), getattr(registered, field), atol=2e-6, err_msg=ours.name)
        assert [shape.shape for shape in ours.colliders] == [shape.shape for shape in registered.colliders]
    assert default_pose(robot).tolist() == default_pose(table).tolist()
