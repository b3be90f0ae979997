from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from grail_framework.errors import ConfigError
from grail_framework.robots.builder import build_robot
from grail_framework.robots.g1 import g1_29dof, g1_43dof
from grail_framework.robots.kinematics import Kinematics

ROBOTS = {"29": g1_29dof, "43": g1_43dof}


@pytest.fixture(scope="module", params=ROBOTS)
def robot(request):
    """The G1 without fingers (29 joints) and with them (43)."""
    return ROBOTS[request.param]()


@pytest.fixture(scope="module")
def random_states(robot):
    """Random states of the G1, stepped to nowhere: MuJoCo's own link poses and velocities beside the state."""
    model = build_robot(robot).compile()
    data = mujoco.MjData(model)
    joints = [model.joint(name).id for name in robot.joint_names]
    bodies = [model.body(name).id for name in robot.body_names]
    rng = np.random.default_rng(7)
    rows: dict[str, list] = {}
    for _ in range(16):
        data.qpos[:3] = rng.normal(size=3)
        data.qpos[3:7] = rng.normal(size=4)
        data.qpos[3:7] /= np.linalg.norm(data.qpos[3:7])
        data.qpos[model.jnt_qposadr[joints]] = rng.uniform(*model.jnt_range[joints].T)
        data.qvel[:] = rng.normal(size=model.nv)
        mujoco.mj_forward(model, data)
        velocity = np.zeros((len(bodies), 6))
        for row, body in enumerate(bodies):
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_BODY, body, velocity[row], 0)
        rotation = data.xmat[bodies[0]].reshape(3, 3)
        state = {
            "root_pos": data.qpos[:3],
            "root_quat": data.qpos[3:7],
            "joint_pos": data.qpos[model.jnt_qposadr[joints]],
            "root_lin_vel": data.qvel[:3],
            "root_ang_vel": rotation @ data.qvel[3:6],  # MuJoCo keeps a free joint's rotation rate in the body frame
            "joint_vel": data.qvel[model.jnt_dofadr[joints]],
            "pos": data.xpos[bodies],
            "mat": data.xmat[bodies].reshape(-1, 3, 3),
            "com_lin_vel": velocity[:, 3:],
            "ang_vel": velocity[:, :3],
        }
        for key, value in state.items():
            rows.setdefault(key, []).append(np.array(value))
    return {key: torch.tensor(np.stack(value)) for key, value in rows.items()}


def matrices(quat: torch.Tensor) -> torch.Tensor:
    flat = quat.reshape(-1, 4).double().numpy()
    out = np.zeros((len(flat), 9))
    for row, value in enumerate(flat):
        mujoco.mju_quat2Mat(out[row], value)
    return torch.tensor(out).reshape(*quat.shape[:-1], 3, 3)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
def test_link_poses_are_mujoco_s(robot, random_states, dtype, tolerance):
    assert len(robot.bodies) >= 30
    kinematics = Kinematics(robot, dtype=dtype)
    state = {key: value.to(dtype) for key, value in random_states.items()}
    pos, quat = kinematics.forward(state["root_pos"], state["root_quat"], state["joint_pos"])
    torch.testing.assert_close(pos, state["pos"], atol=tolerance, rtol=0.0)
    torch.testing.assert_close(matrices(quat), state["mat"].double(), atol=tolerance, rtol=0.0)
    torch.testing.assert_close(quat.norm(dim=-1), torch.ones_like(quat[..., 0]), atol=tolerance, rtol=0.0)


def test_link_velocities_are_mujoco_s(robot, random_states):
    kinematics = Kinematics(robot, dtype=torch.float64)
    pos, quat = kinematics.forward(random_states["root_pos"], random_states["root_quat"], random_states["joint_pos"])
    lin, ang = kinematics.velocities(
        pos, quat, random_states["root_lin_vel"], random_states["root_ang_vel"], random_states["joint_vel"]
    )
    torch.testing.assert_close(ang, random_states["ang_vel"], atol=1e-9, rtol=0.0)
    torch.testing.assert_close(lin, random_states["com_lin_vel"], atol=1e-9, rtol=0.0)


def test_any_leading_shape_gives_the_same_poses(robot, random_states):
    kinematics = Kinematics(robot)
    root_pos, root_quat, joint_pos = (random_states[key].float() for key in ("root_pos", "root_quat", "joint_pos"))
    flat_pos, flat_quat = kinematics.forward(root_pos, root_quat, joint_pos)
    pos, quat = kinematics.forward(root_pos.reshape(2, 8, 3), root_quat.reshape(2, 8, 4), joint_pos.reshape(2, 8, -1))
    torch.testing.assert_close(pos.reshape(flat_pos.shape), flat_pos)
    torch.testing.assert_close(quat.reshape(flat_quat.shape), flat_quat)
    one_pos, _ = kinematics.forward(root_pos[0], root_quat[0], joint_pos[0])
    torch.testing.assert_close(one_pos, flat_pos[0])


def test_chosen_bodies_are_where_all_bodies_are(robot, random_states):
    state = [random_states[key] for key in ("root_pos", "root_quat", "joint_pos")]
    pos, quat = Kinematics(robot, dtype=torch.float64).forward(*state)
    chosen = ("left_knee_link", robot.bodies[0].name, "right_wrist_yaw_link", "torso_link")
    some_pos, some_quat = Kinematics(robot, dtype=torch.float64, bodies=chosen).forward(*state)
    ids = robot.body_ids(chosen)
    torch.testing.assert_close(some_pos, pos[:, ids], atol=1e-12, rtol=0.0)
    torch.testing.assert_close(some_quat, quat[:, ids], atol=1e-12, rtol=0.0)


def test_chosen_bodies_must_exist_and_have_no_velocities(robot, random_states):
    with pytest.raises(ConfigError, match="did you mean 'left_knee_link'"):
        Kinematics(robot, bodies=["left_knee"])
    kinematics = Kinematics(robot, bodies=["left_knee_link"])
    with pytest.raises(ValueError, match="without `bodies`"):
        kinematics.velocities(*(random_states[key] for key in ("pos", "pos", "root_pos", "root_pos", "joint_pos")))


def test_many_states_are_the_few_repeated(robot, random_states):
    state = [random_states[key].float() for key in ("root_pos", "root_quat", "joint_pos")]
    kinematics = Kinematics(robot)
    pos, _ = kinematics.forward(*state)
    many, _ = kinematics.forward(*(value.repeat(300, 1) for value in state))
    torch.testing.assert_close(many, pos.repeat(300, 1, 1), atol=2e-6, rtol=0.0)


def test_no_states_give_no_poses(robot):
    pos, quat = Kinematics(robot).forward(torch.zeros(0, 3), torch.zeros(0, 4), torch.zeros(0, robot.num_joints))
    assert pos.shape == (0, len(robot.bodies), 3)
    assert quat.shape == (0, len(robot.bodies), 4)
