"""MuJoCo models made from robot tables: shapes, MJCF files, and their way into USD."""

import subprocess
import sys

import attrs
import mujoco
import numpy as np
import pytest

from grail_framework.errors import AssetError
from grail_framework.robots.builder import build_robot, write_mjcf
from grail_framework.robots.from_asset import robot_from_asset
from grail_framework.robots.g1 import g1_29dof, g1_43dof
from grail_framework.robots.spec import ColliderSpec

from .published import body_pairs, default_pose, set_pose

CUBE = tuple((x, y, z) for x in (-0.1, 0.1) for y in (-0.1, 0.1) for z in (-0.1, 0.1))


def with_pelvis_shape(robot, shape):
    return attrs.evolve(robot, bodies=(attrs.evolve(robot.bodies[0], colliders=(shape,)), *robot.bodies[1:]))


def test_an_unknown_collider_shape_is_named():
    robot = with_pelvis_shape(g1_43dof(), ColliderSpec(shape="cone", size=(0.1, 0.2)))
    with pytest.raises(AssetError, match=r"collider 'pelvis-0' is a 'cone'; allowed: box, sphere, capsule, cylinder, mesh"):
        build_robot(robot)


def test_a_mesh_collides_as_the_hull_of_its_corners():
    """A cube of 20 cm as eight corners, 5 mm into the ground: it touches at its lower corners, wherever its centre of mass is."""
    shape = ColliderSpec(shape="mesh", vertices=CUBE, pos=(0.0, 0.0, -1.0))
    robot = with_pelvis_shape(g1_29dof(), shape)
    spec = build_robot(robot)
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0.0, 0.0, 1.0))
    model = spec.compile()
    data = mujoco.MjData(model)
    set_pose(model, data, robot, default_pose(robot), height=1.095)
    mujoco.mj_forward(model, data)
    assert body_pairs(model, data) == {("pelvis", "world")}
    assert min(contact.dist for contact in data.contact[: data.ncon]) == pytest.approx(-0.005, abs=1e-6)
    assert model.body_mass.sum() == pytest.approx(sum(body.mass for body in robot.bodies))


@pytest.mark.parametrize("make", [g1_43dof, g1_29dof])
def test_a_written_mjcf_simulates_as_the_table(make, tmp_path):
    robot = make()
    path = write_mjcf(robot, tmp_path / "deep" / "robot.xml")
    model, expected = mujoco.MjModel.from_xml_path(str(path)), build_robot(robot).compile()
    assert [model.body(body).name for body in range(model.nbody)] == [expected.body(body).name for body in range(model.nbody)]
    assert {"left_wrist_yaw_link", "right_wrist_yaw_link"} <= {model.body(body).name for body in range(model.nbody)}
    for field, tolerance in (
        ("body_mass", 1e-5),
        ("body_pos", 1e-6),
        ("body_quat", 1e-6),
        ("body_ipos", 1e-6),
        ("body_inertia", 1e-6),
        ("jnt_range", 1e-5),
        ("jnt_axis", 1e-6),
        ("dof_armature", 1e-6),
        ("geom_size", 1e-6),
        ("geom_pos", 1e-6),
        ("geom_contype", 0.0),
        ("actuator_forcerange", 1e-6),
    ):
        np.testing.assert_allclose(getattr(model, field), getattr(expected, field), atol=tolerance, err_msg=field)
    np.testing.assert_allclose(model.actuator_gainprm, expected.actuator_gainprm, rtol=1e-5)
    np.testing.assert_array_equal(model.exclude_signature, expected.exclude_signature)


def test_meshes_are_written_into_the_mjcf_itself(tmp_path):
    robot = with_pelvis_shape(g1_29dof(), ColliderSpec(shape="mesh", vertices=CUBE))
    path = write_mjcf(robot, tmp_path / "robot.xml")
    model = mujoco.MjModel.from_xml_path(str(path))
    assert model.nmesh == 1
    assert [file.name for file in tmp_path.iterdir()] == ["robot.xml"]
    assert np.ptp(model.mesh_vert, axis=0) == pytest.approx([0.2, 0.2, 0.2])


CONVERT = """
import sys
import mujoco_usd_converter
asset = mujoco_usd_converter.Converter(layer_structure=False).convert(*sys.argv[1:])
print(asset.path.rpartition("/")[2])
"""


@pytest.mark.parametrize("make", [g1_43dof, g1_29dof])
def test_every_link_survives_conversion_to_usd(make, tmp_path):
    """With the converter that the Isaac Lab engine uses: palms stay bodies, names, masses, limits and shapes stay what they are."""
    robot = make()
    written = write_mjcf(robot, tmp_path / "robot.xml")
    # In a process of its own: the converter's schemas have to be known before USD is first used.
    command = [sys.executable, "-c", CONVERT, str(written), str(tmp_path / "usd")]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    back = robot_from_asset(tmp_path / "usd" / name, robot)
    assert back.body_names == robot.body_names
    assert back.excluded_pairs == robot.excluded_pairs
    for body, expected in zip(back.bodies, robot.bodies, strict=True):
        assert body.parent == expected.parent
        assert body.mass == pytest.approx(expected.mass, rel=1e-5)
        for field in ("pos", "com"):
            np.testing.assert_allclose(getattr(body, field), getattr(expected, field), atol=2e-6, err_msg=body.name)
        np.testing.assert_allclose(body.inertia, expected.inertia, atol=1e-6, err_msg=body.name)
        assert abs(np.dot(body.quat, expected.quat)) == pytest.approx(1.0, abs=1e-6)
        if expected.joint is not None:
            np.testing.assert_allclose(body.joint.axis, expected.joint.axis, atol=1e-6)
            assert (body.joint.lower, body.joint.upper) == pytest.approx((expected.joint.lower, expected.joint.upper), abs=1e-5)
        assert len(body.colliders) == len(expected.colliders)
        for shape, same in zip(body.colliders, expected.colliders, strict=True):
            assert shape.shape == same.shape
            np.testing.assert_allclose(shape.size, same.size, atol=2e-6)
            np.testing.assert_allclose(shape.pos, same.pos, atol=2e-6)
