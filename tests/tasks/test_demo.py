"""The demo library of motion_tracking: what is written is read back, and the motion is one a robot could make."""

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

MUJOCO_ORDER = (
    *(f"left_{j}" for j in ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")),
    *(f"right_{j}" for j in ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")),
    *("waist_yaw", "waist_roll", "waist_pitch"),
    *(
        f"left_{j}"
        for j in ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
    ),
    *(
        f"right_{j}"
        for j in ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
    ),
)


@pytest.fixture(scope="module")
def robot():
    return g1_43dof()


@pytest.fixture(scope="module")
def library(robot, tmp_path_factory):
    folder = make_demo_library(tmp_path_factory.mktemp("demo"), motions=3, seed=1)
    cfg = MotionCfg(data=str(folder))
    return load_library(cfg, robot, device="cpu", need_object=False, need_table=False, readers=[GrailReader()])


def test_joint_order_is_that_of_the_layout(robot):
    assert tuple(robot.joint_names[i].removesuffix("_joint") for i in mujoco_joint_order(robot)) == MUJOCO_ORDER


def test_what_is_written_is_read_back(library, robot):
    assert library.keys == ("squat_wave__000", "squat_wave__001", "squat_wave__002")
    clip = squat_and_wave(robot, key="x")
    frames = torch.arange(len(clip.root_pos))
    read = library.window(torch.tensor([0]), frames.unsqueeze(0))
    np.testing.assert_allclose(read.root_pos[0], clip.root_pos, atol=1e-6)
    columns = [clip.joint_names.index(name) for name in robot.joint_names[:29]]
    np.testing.assert_allclose(read.joint_pos[0], clip.joint_pos[:, columns], atol=1e-6)


def test_the_same_seed_gives_the_same_files(tmp_path):
    for name in ("one", "two"):
        make_demo_library(tmp_path / name, motions=2, seed=7)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.pkl"))
    assert len(files) == 4
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)


def test_feet_stand_flat_and_joints_stay_within_their_limits(robot):
    """Checked on MuJoCo's own kinematics: the soles' corners stay within 5 mm of the ground and of their place."""
    model = build_robot(robot).compile()
    data = mujoco.MjData(model)
    clip = squat_and_wave(robot, key="x", depth=1.1)
    geoms = [i for i in range(model.ngeom) if model.body(model.geom_bodyid[i]).name.endswith("ankle_roll_link")]
    heights, places = [], []
    for frame in range(0, len(clip.root_pos), 10):
        data.qpos[:7] = [*clip.root_pos[frame], *clip.root_quat[frame]]
        for name, angle in zip(clip.joint_names, clip.joint_pos[frame], strict=True):
            data.joint(name).qpos = angle
            low, high = model.joint(name).range
            assert low <= angle <= high
        mujoco.mj_forward(model, data)
        for geom in geoms:
            corners = np.array([[x, y, -1.0] for x in (-1, 1) for y in (-1, 1)]) * model.geom_size[geom]
            world = corners @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom]
            heights.append(world[:, 2])
            places.append(world[:, :2])
    assert np.abs(heights).max() < 0.005
    assert np.ptp(np.array(places).reshape(-1, len(geoms), 4, 2), axis=0).max() < 0.005
