"""Paths, whole-body inverse kinematics, balance and the led robot, against MuJoCo and values worked out by hand."""

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from grail_framework.robots.balance import balance, inside, sole_corners
from grail_framework.robots.builder import build_robot
from grail_framework.robots.g1 import g1_43dof
from grail_framework.robots.inverse_kinematics import InverseKinematics, LinkGoal, RobotTrack, without_fingers
from grail_framework.robots.keyframes import min_jerk, path, times, turns
from grail_framework.robots.puppet import OBJECT, TABLE, Puppet, PuppetScene
from grail_framework.robots.standing import Standing

FEET = ("left_ankle_roll_link", "right_ankle_roll_link")
PALM = "right_hand_palm_link"
CUBE = 0.03 * np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])


@pytest.fixture(scope="module")
def robot():
    return g1_43dof()


@pytest.fixture(scope="module")
def standing(robot):
    return Standing(InverseKinematics(robot), FEET)


def reach(standing, goal, seconds=1.0):
    """Move the right palm to a point (3,) and let the rest follow."""
    t = times(seconds)
    home, turn = standing.link(PALM)
    pos = path(t, home, [(0.0, seconds, goal)])
    quat = np.tile(turn.as_quat(scalar_first=True), (len(t), 1))
    goals = [*standing.foot_goals(len(t)), LinkGoal(link=PALM, pos=pos, quat=quat, pos_cost=400.0, ori_cost=30.0)]
    solver = standing.solver
    posture = np.tile(solver.default_pos, (len(t), 1))
    com = np.tile(standing.com, (len(t), 1))
    return solver.solve(goals, com=com, posture=posture, start=standing.root.tolist()), pos


def replay(robot, track):
    """Yield MuJoCo's own data for every frame of a track."""
    model = build_robot(robot).compile()
    data = mujoco.MjData(model)
    for frame in range(len(track.root_pos)):
        data.qpos[:3], data.qpos[3:7] = track.root_pos[frame], track.root_quat[frame]
        for name, angle in zip(track.joint_names, track.joint_pos[frame], strict=True):
            data.joint(name).qpos = angle
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        yield data


def test_minimum_jerk_starts_and_ends_at_rest():
    t = np.linspace(0.0, 3.0, 3001)
    s = min_jerk(t, 1.0, 2.0)
    assert s[0] == s[1000] == 0.0
    assert s[2000] == s[-1] == 1.0
    assert s[1500] == pytest.approx(0.5)
    speed = np.gradient(s, t)
    assert speed.max() == pytest.approx(1.875, abs=1e-3)  # 15/8 of the mean, known of this profile
    assert abs(speed[1000]) < 1e-4
    assert abs(np.gradient(speed, t)[1000]) < 0.1


def test_a_path_ends_at_its_last_target_and_leaves_unnamed_coordinates_alone():
    t = times(2.0)
    value = path(t, [0.0, 1.0], [(0.0, 1.0, [2.0, np.nan]), (0.5, 2.0, [np.nan, 5.0])])
    assert len(value) == 101
    np.testing.assert_allclose(value[-1], [2.0, 5.0])
    np.testing.assert_allclose(value[25], [1.0, 1.0])


def test_turns_go_the_short_way():
    t = times(1.0)
    first, last = Rotation.from_euler("z", 170, degrees=True), Rotation.from_euler("z", -170, degrees=True)
    quat = turns(t, first, [(0.0, 1.0, last)])
    np.testing.assert_allclose(Rotation.from_quat(quat[25], scalar_first=True).as_euler("zyx", degrees=True)[0] % 360, 180.0)
    assert (Rotation.from_quat(quat[-1], scalar_first=True) * last.inv()).magnitude() < 1e-9


def test_the_palm_gets_where_it_should_and_the_feet_stay(robot, standing):
    track, pos = reach(standing, np.array([0.30, -0.15, 0.80]))
    limits = {joint.name: joint for joint in robot.joints}
    for name, angles in zip(track.joint_names, track.joint_pos.T, strict=True):
        joint = limits[name]
        middle, half = 0.5 * (joint.lower + joint.upper), 0.45 * (joint.upper - joint.lower)
        assert np.abs(angles - middle).max() <= half + 1e-6
    feet = []
    for frame, data in enumerate(replay(robot, track)):
        np.testing.assert_allclose(data.body(PALM).xpos, pos[frame], atol=5e-4)
        np.testing.assert_allclose(track.links[PALM][frame, :3], data.body(PALM).xpos, atol=1e-9)
        np.testing.assert_allclose(data.subtree_com[0][:2], standing.com, atol=2e-3)
        feet.append([data.body(foot).xpos.copy() for foot in FEET])
    assert np.ptp(feet, axis=0).max() < 1e-3
    np.testing.assert_allclose(np.array(feet)[..., 2], standing.sole, atol=1e-3)


def test_out_of_reach_the_arm_stretches_and_stays_stretched(standing):
    """A stretched arm has no way towards its goal; undamped, the elbow would flip from one side of straight to the other."""
    solver = standing.solver
    rigid = [i for i, name in enumerate(solver.joint_names) if not name.startswith("right_")]
    t = times(1.0)
    home, turn = standing.link(PALM)
    pos = path(t, home, [(0.0, 0.6, home + np.array([0.5, 0.0, 0.2]))])
    quat = np.tile(turn.as_quat(scalar_first=True), (len(t), 1))
    cost = np.full(29, 0.1)
    cost[rigid] = 100.0
    track = solver.solve(
        [*standing.foot_goals(len(t)), LinkGoal(link=PALM, pos=pos, quat=quat, pos_cost=5.0, ori_cost=1.0)],
        com=np.tile(standing.com, (len(t), 1)),
        posture=np.tile(solver.default_pos, (len(t), 1)),
        start=standing.root.tolist(),
        posture_cost=cost,
    )
    assert np.linalg.norm(track.links[PALM][-1, :3] - pos[-1]) > 0.05
    elbow = track.joint_pos[:, solver.joint_names.index("right_elbow_joint")]
    assert np.abs(np.diff(elbow[35:])).max() < 0.01


def test_the_first_frame_is_the_default_pose(standing):
    track, _ = reach(standing, np.array([0.30, -0.15, 0.80]))
    np.testing.assert_allclose(track.joint_pos[0], standing.solver.default_pos, atol=0.02)


def test_fingers_are_fixed_and_other_joints_kept(robot):
    rigid = without_fingers(robot)
    assert rigid.joint_names == robot.joint_names[:29]
    assert sum(body.joint is not None for body in rigid.bodies) == 29


def test_the_sole_is_flat_and_35_mm_below_the_ankle(robot):
    corners = sole_corners(robot, FEET[0])
    np.testing.assert_allclose(corners[:, 2], -0.035, atol=1e-3)
    assert np.ptp(corners[:, 0]) > 0.15
    assert np.ptp(corners[:, 1]) > 0.05


@pytest.mark.parametrize(("point", "distance"), [((0.5, 0.5), 0.5), ((0.2, 0.5), 0.2), ((1.25, 0.5), -0.25), ((0.5, 0.9), 0.1)])
def test_distance_to_the_border(point, distance):
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert inside(np.array(point), square) == pytest.approx(distance)


def test_two_points_support_nothing():
    assert inside(np.zeros(2), np.zeros((2, 2))) == -np.inf
    assert inside(np.zeros(2), np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])) == -np.inf


def sliding(standing, acceleration):
    """Move the default pose as a whole along x, at rest in the middle frames' accelerating frame of reference."""
    t = np.arange(21) / 50.0
    frames = len(t)
    root = np.tile(standing.root, (frames, 1))
    root[:, 0] += 0.5 * acceleration * t**2
    solver = standing.solver
    return RobotTrack(
        joint_names=solver.joint_names,
        root_pos=root,
        root_quat=np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1)),
        joint_pos=np.tile(solver.default_pos, (frames, 1)),
        links={},
    )


@pytest.mark.parametrize("acceleration", [0.0, 1.0, -2.0])
def test_the_centre_of_pressure_is_the_zero_moment_point(robot, standing, acceleration):
    """A body that moves without turning: the point is behind the centre of mass by its height times a / g."""
    track = sliding(standing, acceleration)
    data = next(replay(robot, track))
    x, _, z = data.subtree_com[0]
    moved = track.root_pos[:, 0]
    pressure = balance(robot, track, 50.0, FEET).pressure[2:-2]
    np.testing.assert_allclose(pressure[:, 0], (x + moved - z * acceleration / 9.81)[2:-2], atol=1e-6)


def test_standing_is_balanced(robot, standing):
    found = balance(robot, sliding(standing, 0.0), 50.0, FEET)
    assert found.margin.min() > 0.05
    assert np.abs(found.soles[..., 2]).max() < 1e-3


def test_a_led_robot_goes_where_it_is_told_and_pushes_what_is_in_its_way(robot, standing):
    track, _ = reach(standing, np.array([0.30, -0.15, 0.80]))
    tip = track.links[PALM][-1, :3] + [0.1, 0.0, -0.06]
    scene = PuppetScene(
        pieces=(CUBE,), table_size=(0.4, 0.4, 0.04), table_pos=(float(tip[0]) + 0.15, -0.15, float(tip[2]) - 0.1)
    )
    puppet = Puppet(robot, scene, ("right_hand_index_1_link",))
    columns = [track.joint_names.index(name) for name in puppet.led]
    rest = np.array([tip[0] + 0.3, -0.15, tip[2] - 0.05, 1.0, 0.0, 0.0, 0.0])
    frames = len(track.root_pos)
    trace = puppet.play(track.root_pos, track.root_quat, track.joint_pos[:, columns], np.zeros((frames, 14)), rest)
    np.testing.assert_allclose(trace.object_pos, np.tile(rest[:3], (frames, 1)), atol=2e-3)
    np.testing.assert_allclose(puppet.data.body(PALM).xpos, track.links[PALM][-1, :3], atol=1e-9)
    assert trace.depth[(OBJECT, TABLE)][0] < 2e-3
    assert trace.force.max() == 0.0


def test_fingers_close_under_their_own_motors(robot, standing):
    track = sliding(standing, 0.0)
    puppet = Puppet(robot, PuppetScene())
    frames = 60
    targets = np.zeros((frames, 14))
    index = puppet.fingers.index("right_hand_index_0_joint")
    targets[1:, index] = 1.0  # the fingers start at the first target
    still = [np.tile(value[:1], (frames, 1)) for value in (track.root_pos, track.root_quat)]
    columns = [track.joint_names.index(name) for name in puppet.led]
    joints = np.tile(track.joint_pos[:1, columns], (frames, 1))
    trace = puppet.play(*still, joints, targets)
    assert trace.finger_pos[5, index] < 0.9  # damping makes it slow
    assert trace.finger_pos[-1, index] == pytest.approx(1.0, abs=0.05)
