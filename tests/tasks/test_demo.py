"""The demo library of motion_tracking: what is written is read back, and every motion is one a robot could make."""

import mujoco
import numpy as np
import pytest
import torch

from grail_framework.config import MotionCfg
from grail_framework.motion.loading import load_library
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.robots.builder import build_robot
from grail_framework.robots.g1 import g1_43dof
from grail_framework.tasks.demo import make_demo_library, mujoco_joint_order, squat_and_wave

SIDES = ("left", "right")
LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
MUJOCO_ORDER = (
    *(f"{side}_{joint}" for side in SIDES for joint in LEG),
    *("waist_yaw", "waist_roll", "waist_pitch"),
    *(f"{side}_{joint}" for side in SIDES for joint in ARM),
)
KEYS = ("arm_waves__003", "squat__005", "squat_wave__000", "steps__002", "turned_torso__004", "weight_shift__001")
FEET = ("left_ankle_roll_link", "right_ankle_roll_link")
GRAVITY = 9.81


@pytest.fixture(scope="module")
def robot():
    return g1_43dof()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_demo_library(tmp_path_factory.mktemp("demo"), motions=6, seed=1)


@pytest.fixture(scope="module")
def library(robot, folder):
    cfg = MotionCfg(data=str(folder))
    return load_library(cfg, robot, device="cpu", need_object=False, need_table=False, readers=[GrailReader()])


@pytest.fixture(scope="module", params=KEYS)
def replayed(request, library, robot):
    """One motion as MuJoCo sees it."""
    return Replay(robot, library, KEYS.index(request.param))


class Replay:
    """What MuJoCo's kinematics says about every frame of a motion."""

    def __init__(self, robot, library, index):
        frames = int(library.num_frames[index])
        self.key = library.keys[index]
        read = library.window(torch.tensor([index]), torch.arange(frames).unsqueeze(0))
        self.joint_names = robot.joint_names[:29]
        self.joint_pos = read.joint_pos[0].double().numpy()[:, :29]
        self.model = build_robot(robot).compile()
        data = mujoco.MjData(self.model)
        qpos = np.zeros((frames, self.model.nq))
        qpos[:, :3] = read.root_pos[0].numpy()
        quat = read.root_quat[0].double().numpy()
        qpos[:, 3:7] = quat / np.linalg.norm(quat, axis=1, keepdims=True)
        for name, angles in zip(self.joint_names, self.joint_pos.T, strict=True):
            qpos[:, self.model.joint(name).qposadr[0]] = angles
        self.root_quat = quat
        self.com, self.spin, self.soles, self.depth = [], [], [], 0.0
        for frame in range(frames):
            data.qpos[:] = qpos[frame]
            ahead = qpos[min(frame + 1, frames - 1)]
            mujoco.mj_differentiatePos(self.model, data.qvel, 0.02, qpos[max(frame - 1, 0)], ahead)
            data.qvel[:] *= 0.5 if 0 < frame < frames - 1 else 1.0
            mujoco.mj_forward(self.model, data)
            mujoco.mj_subtreeVel(self.model, data)
            self.com.append(data.subtree_com[0].copy())
            self.spin.append(data.subtree_angmom[0].copy())
            self.depth = max(self.depth, *(-contact.dist for contact in data.contact), 0.0)
            self.soles.append([self._corners(data, foot) for foot in FEET])
        self.com, self.spin, self.soles = np.array(self.com), np.array(self.spin), np.array(self.soles)
        self.mass = self.model.body_subtreemass[0]

    def _corners(self, data, foot):
        """Return the lower corners of the sole, the first collider of the foot."""
        geom = self.model.geom(f"{foot}-0").id
        corners = np.array([[x, y, -1.0] for x in (-1, 1) for y in (-1, 1)]) * self.model.geom_size[geom]
        return corners @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]

    def pressure(self):
        """Return the centre of pressure (T, 2) from the momentum of the whole body."""
        acceleration = np.gradient(np.gradient(self.com, 0.02, axis=0), 0.02, axis=0)
        moment = np.gradient(self.spin, 0.02, axis=0)
        lift = self.mass * (acceleration[:, 2] + GRAVITY)
        height = self.com[:, 2]
        x = self.com[:, 0] - (self.mass * acceleration[:, 0] * height + moment[:, 1]) / lift
        y = self.com[:, 1] - (self.mass * acceleration[:, 1] * height - moment[:, 0]) / lift
        return np.stack((x, y), axis=1)


def test_joint_order_is_that_of_the_layout(robot):
    assert tuple(robot.joint_names[i].removesuffix("_joint") for i in mujoco_joint_order(robot)) == MUJOCO_ORDER


def test_what_is_written_is_read_back(library, robot):
    assert library.keys == KEYS
    clip = squat_and_wave(robot, key="x")
    frames = torch.arange(len(clip.root_pos))
    read = library.window(torch.tensor([KEYS.index("squat_wave__000")]), frames.unsqueeze(0))
    np.testing.assert_allclose(read.root_pos[0], clip.root_pos, atol=1e-6)
    columns = [clip.joint_names.index(name) for name in robot.joint_names[:29]]
    np.testing.assert_allclose(read.joint_pos[0], clip.joint_pos[:, columns], atol=1e-6)


def test_the_same_seed_gives_the_same_files_on_any_number_of_processes(tmp_path, folder):
    again = make_demo_library(tmp_path / "again", motions=2, seed=1)
    files = sorted(path.relative_to(again) for path in again.rglob("*.pkl"))
    assert len(files) == 4
    assert all((again / file).read_bytes() == (folder / file).read_bytes() for file in files)


def test_another_seed_varies_all_but_the_first(tmp_path, folder):
    other = make_demo_library(tmp_path / "other", motions=2, seed=2)
    assert (other / "robot" / "squat_wave__000.pkl").read_bytes() == (folder / "robot" / "squat_wave__000.pkl").read_bytes()
    moved = "robot/weight_shift__001.pkl"
    assert (other / moved).read_bytes() != (folder / moved).read_bytes()


def test_the_first_frame_is_near_the_default_pose(replayed, robot):
    default = [joint.default_pos for joint in robot.joints[:29]]
    np.testing.assert_allclose(replayed.joint_pos[0], default, atol=0.02)


def test_joints_stay_within_their_limits_and_speeds(replayed, robot):
    for joint, angles in zip(robot.joints[:29], replayed.joint_pos.T, strict=True):
        middle, half = 0.5 * (joint.lower + joint.upper), 0.5 * (joint.upper - joint.lower)
        assert np.abs(angles - middle).max() <= 0.9 * half + 1e-5, joint.name
        assert np.abs(np.diff(angles)).max() * 50.0 < 0.6 * joint.velocity, joint.name


def test_quaternions_are_of_unit_length(replayed):
    np.testing.assert_allclose(np.linalg.norm(replayed.root_quat, axis=1), 1.0, atol=1e-6)


def test_no_link_is_in_another(replayed):
    # The arms of the first motion, which is kept as it is, swing 15 mm into the torso.
    assert replayed.depth < 0.005


def test_feet_stand_flat_or_swing_free(replayed):
    """Corners of the soles: at the ground within 5 mm and on the spot, unless that foot is in the air."""
    heights = replayed.soles[..., 2]
    assert heights.min() > -0.005
    for foot in range(2):
        standing = heights[:, foot].max(axis=1) < 0.003
        places = replayed.soles[standing, foot, :, :2]
        assert np.ptp(places, axis=0).max() < 0.005
        if not standing.all():
            assert 0.03 < heights[:, foot].max() < 0.1  # a step


def test_the_centre_of_pressure_is_inside_the_feet(replayed):
    pressure = replayed.pressure()[2:-2]
    for point, soles in zip(pressure, replayed.soles[2:-2], strict=True):
        corners = soles.reshape(-1, 3)
        standing = corners[corners[:, 2] < 0.003][:, :2]
        # Feet are parallel to the axes, so the support polygon is their bounding box.
        assert (point > standing.min(axis=0) + 0.005).all()
        assert (point < standing.max(axis=0) - 0.005).all()
