"""Robots read from USD files written here with pxr, link by link."""

import math

import attrs
import numpy as np
import pytest
from pxr import Gf, Usd, UsdGeom, UsdPhysics

from grail_framework.assets.usd_robot import read_usd_robot
from grail_framework.errors import AssetError
from grail_framework.robots.from_asset import robot_from_asset
from grail_framework.robots.spec import BodySpec, ColliderSpec, JointSpec, RobotSpec

QUARTER_ABOUT_Z = Gf.Quatf(math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))


def arm():
    """Describe what the files hold: a base, an arm on a hinge about y, a hand fixed to it."""
    hinge = JointSpec(
        name="elbow",
        axis=(0.0, 1.0, 0.0),
        lower=-0.5,
        upper=1.5,
        stiffness=1.0,
        damping=1.0,
        armature=0.01,
        effort=1.0,
        velocity=1.0,
        action_scale=0.25,
    )
    return RobotSpec(
        name="arm",
        bodies=(
            BodySpec(name="base", parent=None, mass=1.0, colliders=(ColliderSpec(shape="sphere", size=(0.01,)),)),
            BodySpec(name="forearm", parent="base", mass=1.0, joint=hinge),
            BodySpec(name="palm", parent="forearm", mass=1.0),
        ),
        joint_names=("elbow",),
        num_motion_joints=1,
        anchor_body="base",
        tracked_bodies=("base", "palm"),
        end_effectors=("palm",),
    )


class Scene:
    """A stage with the arm; tests change it before `save`."""

    def __init__(self, folder):
        self.path = folder / "arm.usda"
        self.stage = Usd.Stage.CreateNew(str(self.path))
        UsdGeom.SetStageMetersPerUnit(self.stage, 1.0)
        UsdGeom.SetStageUpAxis(self.stage, UsdGeom.Tokens.z)
        self.base = self.body("base", (0.0, 0.0, 1.0), mass=4.0)
        self.forearm = self.body("forearm", (0.0, 0.3, 1.0), mass=2.0)
        self.palm = self.body("palm", (0.0, 0.3, 0.8), mass=0.5)
        # The axis is x of a joint frame that is turned by 90 degrees about z in both bodies: y of the links.
        self.elbow = self.joint(UsdPhysics.RevoluteJoint, "elbow", self.base, self.forearm, (0.0, 0.3, 0.0), QUARTER_ABOUT_Z)
        self.elbow.CreateAxisAttr("X")
        self.elbow.CreateLowerLimitAttr(math.degrees(-0.5))
        self.elbow.CreateUpperLimitAttr(math.degrees(1.5))
        self.wrist = self.joint(UsdPhysics.FixedJoint, "wrist", self.forearm, self.palm, (0.0, 0.0, -0.2))
        cube = self.shape(UsdGeom.Cube, self.base, "box")
        cube.CreateSizeAttr(2.0)
        cube.AddScaleOp().Set(Gf.Vec3f(0.1, 0.05, 0.02))
        capsule = self.shape(UsdGeom.Capsule, self.forearm, "along_x")
        capsule.CreateRadiusAttr(0.02)
        capsule.CreateHeightAttr(0.16)
        capsule.CreateAxisAttr("X")
        stretched = self.shape(UsdGeom.Sphere, self.palm, "stretched")
        stretched.CreateRadiusAttr(1.0)
        stretched.AddScaleOp().Set(Gf.Vec3f(0.1, 0.02, 0.05))

    def body(self, name, position, mass):
        xform = UsdGeom.Xform.Define(self.stage, f"/robot/{name}")
        xform.AddTranslateOp().Set(Gf.Vec3d(*position))
        UsdPhysics.RigidBodyAPI.Apply(xform.GetPrim())
        api = UsdPhysics.MassAPI.Apply(xform.GetPrim())
        api.CreateMassAttr(mass)
        api.CreateCenterOfMassAttr(Gf.Vec3f(0.01, 0.0, 0.0))
        api.CreateDiagonalInertiaAttr(Gf.Vec3f(0.01, 0.02, 0.03))
        api.CreatePrincipalAxesAttr(QUARTER_ABOUT_Z)
        return xform.GetPrim()

    def joint(self, kind, name, parent, child, at, turned=None):
        joint = kind.Define(self.stage, f"/robot/joints/{name}")
        if parent is not None:
            joint.CreateBody0Rel().SetTargets([parent.GetPath()])
        joint.CreateBody1Rel().SetTargets([child.GetPath()])
        joint.CreateLocalPos0Attr(Gf.Vec3f(*at))
        joint.CreateLocalPos1Attr(Gf.Vec3f(0.0, 0.0, 0.0))
        joint.CreateLocalRot0Attr(turned or Gf.Quatf(1.0))
        joint.CreateLocalRot1Attr(turned or Gf.Quatf(1.0))
        return joint

    def shape(self, kind, body, name):
        shape = kind.Define(self.stage, body.GetPath().AppendChild(name))
        UsdPhysics.CollisionAPI.Apply(shape.GetPrim())
        return shape

    def save(self):
        self.stage.Save()
        return self.path


def test_links_joints_and_shapes_are_read(tmp_path):
    robot = robot_from_asset(Scene(tmp_path).save(), arm())
    base, forearm, palm = robot.bodies
    assert [part.mass for part in robot.bodies] == [4.0, 2.0, 0.5]
    np.testing.assert_allclose(base.com, (0.01, 0.0, 0.0), atol=1e-7)
    # Principal axes a quarter turn about z from the link's: x and y moments change places.
    np.testing.assert_allclose(base.inertia, (0.02, 0.01, 0.03, 0.0, 0.0, 0.0), atol=1e-7)
    np.testing.assert_allclose(forearm.pos, (0.0, 0.3, 0.0), atol=1e-7)
    np.testing.assert_allclose(np.abs(forearm.quat), (1.0, 0.0, 0.0, 0.0), atol=1e-6)
    np.testing.assert_allclose(forearm.joint.axis, (0.0, 1.0, 0.0), atol=1e-6)
    assert (forearm.joint.lower, forearm.joint.upper) == pytest.approx((-0.5, 1.5))
    np.testing.assert_allclose(palm.pos, (0.0, 0.0, -0.2), atol=1e-7)
    (box,), (capsule,), (stretched,) = (part.colliders for part in robot.bodies)
    assert box.shape == "box"
    assert box.size == pytest.approx((0.1, 0.05, 0.02))
    assert capsule.shape == "capsule"
    assert capsule.size == pytest.approx((0.02, 0.08))
    np.testing.assert_allclose(np.abs(capsule.quat), (math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0), atol=1e-6)
    assert stretched.shape == "mesh"
    np.testing.assert_allclose(np.ptp(stretched.vertices, axis=0), (0.2, 0.04, 0.1), rtol=0.03)
    assert len(stretched.vertices) <= 64


def test_a_joint_off_the_link_s_origin_moves_the_origin(tmp_path):
    scene = Scene(tmp_path)
    scene.elbow.GetLocalPos1Attr().Set(Gf.Vec3f(0.0, 0.0, 0.1))  # the link's prim hangs 0.1 m below its joint
    forearm = robot_from_asset(scene.save(), arm()).bodies[1]
    np.testing.assert_allclose(forearm.pos, (0.0, 0.3, 0.0), atol=1e-7)
    np.testing.assert_allclose(forearm.com, (0.01, 0.0, -0.1), atol=1e-7)


def test_filtered_pairs_and_loose_bodies(tmp_path):
    scene = Scene(tmp_path)
    UsdPhysics.FilteredPairsAPI.Apply(scene.base).CreateFilteredPairsRel().SetTargets([scene.palm.GetPath()])
    scene.body("mug", (1.0, 0.0, 0.0), mass=0.2)
    asset = read_usd_robot(scene.save())
    assert asset.excluded_pairs == (("base", "palm"),)
    assert [link.name for link in asset.links] == ["base", "forearm", "palm"]
    assert asset.notes == ("bodies that no joint ties to the robot: mug",)


def test_a_disabled_joint_to_the_world_leaves_the_base_free(tmp_path):
    scene = Scene(tmp_path)
    scene.joint(UsdPhysics.FixedJoint, "pin", None, scene.base, (0.0, 0.0, 1.0)).CreateJointEnabledAttr(False)
    assert robot_from_asset(scene.save(), arm()).bodies[0].mass == 4.0


def weld(scene):
    scene.joint(UsdPhysics.FixedJoint, "pin", None, scene.base, (0.0, 0.0, 1.0))


def close_loop(scene):
    scene.joint(UsdPhysics.FixedJoint, "strut", scene.base, scene.palm, (0.0, 0.3, -0.2))


def weigh_nothing(scene):
    UsdPhysics.MassAPI(scene.palm).GetMassAttr().Set(0.0)


def use_a_cone(scene):
    scene.shape(UsdGeom.Cone, scene.palm, "tip")


def slide(scene):
    scene.stage.RemovePrim(scene.elbow.GetPath())
    scene.joint(UsdPhysics.PrismaticJoint, "elbow", scene.base, scene.forearm, (0.0, 0.3, 0.0))


def merge_palm(scene):
    scene.stage.RemovePrim(scene.wrist.GetPath())
    scene.stage.RemovePrim(scene.palm.GetPath())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (weld, r"no floating base: the joint 'pin' ties 'base' to the world"),
        (close_loop, r"two joints move the link 'palm'"),
        (weigh_nothing, r"'palm' gives no mass or no inertia"),
        (use_a_cone, r"/robot/palm/tip: a Cone cannot collide; allowed: Mesh, Cube"),
        (slide, r"the joint 'elbow' is of type 'PhysicsPrismaticJoint'"),
        (merge_palm, r"no link 'palm'.*fixed links"),
        (lambda scene: UsdGeom.SetStageMetersPerUnit(scene.stage, 0.01), r"its unit is 0.01 m; export the robot in metres"),
        (lambda scene: UsdGeom.SetStageUpAxis(scene.stage, UsdGeom.Tokens.y), r"its y axis points up"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, spoil, message):
    scene = Scene(tmp_path)
    spoil(scene)
    with pytest.raises(AssetError, match=message):
        robot_from_asset(scene.save(), arm())


def test_a_file_that_is_no_usd_is_said(tmp_path):
    path = tmp_path / "arm.usda"
    path.write_text("#usda 1.0\n(((", encoding="utf-8")
    with pytest.raises(AssetError, match="not a readable USD file"):
        read_usd_robot(path)


def test_the_default_pose_and_gains_stay_the_table_s(tmp_path):
    like = attrs.evolve(arm(), spawn_height=0.9)
    robot = robot_from_asset(Scene(tmp_path).save(), like)
    assert robot.spawn_height == 0.9
    assert robot.joints[0].stiffness == like.joints[0].stiffness
