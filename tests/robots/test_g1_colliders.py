"""The G1's collision shapes: as large as the published meshes, and out of each other's way."""

import itertools

import attrs
import mujoco
import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from grail_framework.robots.builder import build_robot
from grail_framework.robots.g1 import g1_29dof, g1_43dof
from grail_framework.robots.g1_colliders import EXCLUDED_PAIRS, colliders

from .published import PUBLISHED, body_pairs, default_pose, hand_pose, needs_published, set_pose

CLEARANCE = 0.004  # [m]
# Link: mesh files, how many of its first colliders are meant, root mean square distance to the mesh's hull [mm].
FITS = {
    "pelvis": ("pelvis+pelvis_contour_link", slice(None), 6.5),
    "torso_link": ("torso_link_rev_1_0", slice(0, 3), 9.0),
    "left_hip_pitch_link": ("left_hip_pitch_link", slice(None), 6.0),
    "left_hip_roll_link": ("left_hip_roll_link", slice(None), 7.0),
    "left_hip_yaw_link": ("left_hip_yaw_link", slice(None), 7.0),
    "left_knee_link": ("left_knee_link", slice(None), 7.5),
    "left_shoulder_pitch_link": ("left_shoulder_pitch_link", slice(None), 5.0),
    "left_shoulder_roll_link": ("left_shoulder_roll_link", slice(None), 5.0),
    "left_shoulder_yaw_link": ("left_shoulder_yaw_link", slice(None), 5.0),
    "left_elbow_link": ("left_elbow_link", slice(None), 5.0),
    "left_wrist_roll_link": ("left_wrist_roll_link", slice(None), 5.0),
    "left_wrist_pitch_link": ("left_wrist_pitch_link", slice(None), 5.0),
    "left_wrist_yaw_link": ("left_wrist_yaw_link", slice(None), 5.0),
    "left_hand_palm_link": ("left_hand_palm_link", slice(None), 3.0),
} | {
    f"left_hand_{finger}_link": (f"left_hand_{finger}_link", slice(None), 2.5)
    for finger in ("thumb_0", "thumb_1", "thumb_2", "index_0", "index_1", "middle_0", "middle_1")
}


def surface_distance(collider, points):
    """Signed distance of points (N, 3) to a box or capsule, in its link's frame."""
    local = Rotation.from_quat(collider.quat, scalar_first=True).inv().apply(points - np.array(collider.pos))
    if collider.shape == "capsule":
        radius, half = collider.size
        local[:, 2] -= np.clip(local[:, 2], -half, half)
        return np.linalg.norm(local, axis=1) - radius
    assert collider.shape == "box"
    outside = np.abs(local) - np.array(collider.size)
    return np.linalg.norm(np.maximum(outside, 0.0), axis=1) + np.minimum(outside.max(axis=1), 0.0)


def hull_points(name, count=3000):
    parts = [trimesh.load(PUBLISHED / "meshes" / f"{part}.STL", force="mesh") for part in name.split("+")]
    mesh = trimesh.util.concatenate(parts)
    return trimesh.sample.sample_surface(mesh.convex_hull, count, seed=0)[0]


@needs_published
@pytest.mark.parametrize("link", FITS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_shapes_follow_the_hull_of_the_published_mesh(link, side):
    mesh, which, allowed = FITS[link]
    link, mesh = link.replace("left", side), mesh.replace("left", side)
    points = hull_points(mesh)
    distance = np.min([surface_distance(shape, points) for shape in colliders()[link][which]], axis=0)
    assert 1e3 * np.sqrt((distance**2).mean()) < allowed


@needs_published
@pytest.mark.parametrize(("side", "sign"), [("left", -1.0), ("right", 1.0)])
def test_the_palm_is_at_the_mesh_s_palm(side, sign):
    mesh = trimesh.load(PUBLISHED / "meshes" / f"{side}_hand_palm_link.STL", force="mesh")
    points = trimesh.sample.sample_surface(mesh, 100_000, seed=0)[0]
    # Where the palm is flat: between the thumb's mount and the knuckles.
    flat = points[(points[:, 0] > 0.055) & (points[:, 0] < 0.069) & (np.abs(points[:, 2]) < 0.038)]
    level = np.percentile(sign * flat[:, 1], 99)
    box = colliders()[f"{side}_hand_palm_link"][0]
    assert sign * box.pos[1] + box.size[1] == pytest.approx(level, abs=1e-3)


@needs_published
def test_the_sole_is_at_the_mesh_s_sole_and_alone_on_flat_ground():
    robot = g1_43dof()
    mesh = trimesh.load(PUBLISHED / "meshes" / "left_ankle_roll_link.STL", force="mesh")
    sole, toes = colliders()["left_ankle_roll_link"]
    assert sole.pos[2] - sole.size[2] == pytest.approx(mesh.bounds[0][2], abs=1e-3)
    assert sole.pos[2] - sole.size[2] == pytest.approx(-0.035, abs=1e-9)  # of the published contact spheres
    assert toes.pos[2] - toes.size[2] > sole.pos[2] - sole.size[2] + 0.003
    for axis in (0, 1):
        assert toes.pos[axis] + toes.size[axis] == pytest.approx(mesh.bounds[1][axis], abs=5e-3)
    assert robot.bodies[robot.body_ids(["left_ankle_roll_link"])[0]].colliders == (sole, toes)


def test_the_right_side_mirrors_the_left():
    found = colliders()
    for link, shapes in found.items():
        if link.startswith("left_"):
            for left, right in zip(shapes, found[link.replace("left_", "right_")], strict=True):
                assert left.size == right.size
                assert (left.pos[0], -left.pos[1], left.pos[2]) == right.pos


def test_every_finger_and_palm_has_a_shape():
    for side in ("left", "right"):
        for part in ("palm", "thumb_0", "thumb_1", "thumb_2", "index_0", "index_1", "middle_0", "middle_1"):
            assert colliders()[f"{side}_hand_{part}_link"]


def clearances(robot, model, data):
    """Return the gap between shapes of all links that are not excluded and not neighbours [m]."""
    parent = {body.name: body.parent for body in robot.bodies}
    excluded = {frozenset(pair) for pair in robot.excluded_pairs}
    names = [model.body(body).name for body in model.geom_bodyid]
    found = {}
    for first, second in itertools.combinations(range(model.ngeom), 2):
        pair = (names[first], names[second])
        neighbours = pair[0] == pair[1] or parent[pair[0]] == pair[1] or parent[pair[1]] == pair[0]
        if not neighbours and frozenset(pair) not in excluded:
            gap = mujoco.mj_geomDistance(model, data, first, second, 0.02, None)
            found[pair] = min(gap, found.get(pair, 1.0))
    return found


@pytest.mark.parametrize("make", [g1_43dof, g1_29dof])
def test_links_are_clear_of_each_other_in_the_default_pose(make):
    robot = make()
    model = build_robot(robot).compile()
    data = mujoco.MjData(model)
    set_pose(model, data, robot, default_pose(robot))
    mujoco.mj_forward(model, data)
    assert data.ncon == 0
    close = {pair: gap for pair, gap in clearances(robot, model, data).items() if gap < CLEARANCE}
    assert not close


@pytest.mark.parametrize("side", ["left", "right"])
def test_fingers_are_clear_of_each_other_however_they_close(side):
    robot = g1_43dof()
    hand = [name for name in robot.body_names if name.startswith(f"{side}_hand") or name.startswith(f"{side}_wrist")]
    alone = attrs.evolve(
        robot,
        bodies=tuple(body if body.name in hand else attrs.evolve(body, colliders=()) for body in robot.bodies),
    )
    model = build_robot(alone).compile()
    data = mujoco.MjData(model)
    for index, middle, thumb in itertools.product(np.linspace(0.0, 1.0, 5), repeat=3):
        set_pose(model, data, robot, hand_pose(robot, side, index, middle, thumb))
        mujoco.mj_kinematics(model, data)
        close = {pair: gap for pair, gap in clearances(robot, model, data).items() if gap < CLEARANCE}
        assert not close, (index, middle, thumb)


def test_no_link_touches_another_while_both_hands_close():
    robot = g1_43dof()
    model = build_robot(robot).compile()
    data = mujoco.MjData(model)
    for shares in itertools.product((0.0, 0.5, 1.0), repeat=3):
        pose = hand_pose(robot, "left", *shares) + hand_pose(robot, "right", *shares) - default_pose(robot)
        set_pose(model, data, robot, pose)
        mujoco.mj_forward(model, data)
        assert body_pairs(model, data) == set()


def test_the_excluded_pairs_are_few_and_needed():
    """Each would collide somewhere in the joint ranges although the links are next but one in the chain."""
    robot = g1_43dof()
    assert set(EXCLUDED_PAIRS) == {
        *((f"{side}_shoulder_roll_link", "torso_link") for side in ("left", "right")),
        *((f"{side}_wrist_roll_link", f"{side}_wrist_yaw_link") for side in ("left", "right")),
        *((f"{side}_hand_palm_link", f"{side}_hand_thumb_1_link") for side in ("left", "right")),
    }
    parent = {body.name: body.parent for body in robot.bodies}
    for pair in EXCLUDED_PAIRS:
        far, near = pair if parent[parent[pair[0]] or ""] == pair[1] else pair[::-1]
        assert parent[parent[far] or ""] == near
    model = build_robot(attrs.evolve(robot, excluded_pairs=())).compile()
    data = mujoco.MjData(model)
    pose = default_pose(robot)
    for side in ("left", "right"):
        pose[robot.joint_ids([f"{side}_wrist_pitch_joint"])] = 1.6
        pose[robot.joint_ids([f"{side}_wrist_yaw_joint"])] = 1.6
    set_pose(model, data, robot, pose)
    mujoco.mj_forward(model, data)
    assert {frozenset(pair) for pair in EXCLUDED_PAIRS} <= {frozenset(pair) for pair in body_pairs(model, data)}


def test_opposed_fingers_hold_a_ball():
    """The closing hand meets a ball of 6 cm on its palm with the thumb on one side and both fingers on the other."""
    robot = g1_43dof()
    spec = build_robot(robot)
    palm = spec.body("left_hand_palm_link")
    palm.add_body(name="ball", pos=(0.085, -0.055, 0.0)).add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=(0.03, 0.0, 0.0))
    model = spec.compile()
    data = mujoco.MjData(model)
    set_pose(model, data, robot, hand_pose(robot, "left", 0.9, 0.9, 0.9))
    mujoco.mj_forward(model, data)
    touching = {name for pair in body_pairs(model, data) if "ball" in pair for name in pair} - {"ball"}
    assert "left_hand_thumb_2_link" in touching or "left_hand_thumb_1_link" in touching
    assert {"left_hand_index_1_link", "left_hand_middle_1_link"} <= touching
