"""Tracking terms against values computed with scipy and by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from grail_framework.envs.view import TrackingView
from grail_framework.mdp import observations, rewards, terminations

N, K = 3, 4


def wxyz(rotation):
    return torch.tensor(rotation.as_quat(scalar_first=True), dtype=torch.float32)


@pytest.fixture
def scene():
    """Random robot and reference poses of four bodies, the first one the anchor."""
    rng = np.random.default_rng(7)
    robot_rot, ref_rot = Rotation.random(N * K, random_state=1), Rotation.random(N * K, random_state=2)
    robot_pos, ref_pos = rng.normal(size=(N, K, 3)), rng.normal(size=(N, K, 3))
    velocities = rng.normal(size=(4, N, K, 3))
    state = SimpleNamespace(
        body_pos_w=torch.tensor(robot_pos, dtype=torch.float32),
        body_quat_w=wxyz(robot_rot).view(N, K, 4),
        body_lin_vel_w=torch.tensor(velocities[0], dtype=torch.float32),
        body_ang_vel_w=torch.tensor(velocities[1], dtype=torch.float32),
    )
    reference = SimpleNamespace(
        body_pos_w=torch.tensor(ref_pos, dtype=torch.float32),
        body_quat_w=wxyz(ref_rot).view(N, K, 4),
        body_lin_vel_w=torch.tensor(velocities[2], dtype=torch.float32),
        body_ang_vel_w=torch.tensor(velocities[3], dtype=torch.float32),
    )
    robot = SimpleNamespace(tracked_bodies=("a", "b", "c", "d"), end_effectors=("b", "d"))
    env = SimpleNamespace(
        state=state,
        reference=reference,
        robot=robot,
        num_envs=N,
        device=torch.device("cpu"),
        tracked_ids=torch.arange(K),
        anchor_id=0,
        tracked_body_ids=lambda names: torch.tensor([robot.tracked_bodies.index(name) for name in names]),
    )
    env.view = TrackingView(env)
    return SimpleNamespace(
        env=env, robot_rot=robot_rot, ref_rot=ref_rot, robot_pos=robot_pos, ref_pos=ref_pos, velocities=velocities
    )


def at(rotations, env, body):
    return rotations[env * K + body]


def heading(rotation):
    """Rotation about z that carries the x and y components of a quaternion dropped, as the recipe defines a heading."""
    w, _, _, z = rotation.as_quat(scalar_first=True)
    return Rotation.from_quat(np.array([w, 0.0, 0.0, z]) / np.hypot(w, z), scalar_first=True)


def relative(scene, env):
    """Re-anchored reference of one environment: positions (K, 3) and rotations."""
    anchor = scene.robot_pos[env, 0]
    origin = np.array([anchor[0], anchor[1], scene.ref_pos[env, 0, 2]])
    turn = heading(at(scene.robot_rot, env, 0) * at(scene.ref_rot, env, 0).inv())
    pos = origin + turn.apply(scene.ref_pos[env] - scene.ref_pos[env, 0])
    return pos, [turn * at(scene.ref_rot, env, body) for body in range(K)]


def angle(a, b):
    return (a.inv() * b).magnitude()


def test_anchor_terms(scene):
    pos = rewards.tracking_anchor_pos(scene.env, std=0.9)
    ori = rewards.tracking_anchor_ori(scene.env, std=0.8)
    for env in range(N):
        error = np.linalg.norm(scene.ref_pos[env, 0] - scene.robot_pos[env, 0])
        assert pos[env].item() == pytest.approx(np.exp(-(error**2) / 0.81), rel=1e-4)
        theta = angle(at(scene.ref_rot, env, 0), at(scene.robot_rot, env, 0))
        assert ori[env].item() == pytest.approx(np.exp(-(theta**2) / 0.64), rel=1e-4)


def test_relative_body_terms(scene):
    pos = rewards.tracking_relative_body_pos(scene.env, std=1.5)
    ori = rewards.tracking_relative_body_ori(scene.env, std=1.5)
    weighted = rewards.tracking_relative_body_ori_weighted(scene.env, std=1.5, body_weights={"b": 3.0})(scene.env)
    for env in range(N):
        want_pos, want_rot = relative(scene, env)
        error = ((want_pos - scene.robot_pos[env]) ** 2).sum(axis=1).mean()
        assert pos[env].item() == pytest.approx(np.exp(-error / 2.25), rel=1e-3)
        squared = np.array([angle(want_rot[body], at(scene.robot_rot, env, body)) ** 2 for body in range(K)])
        assert ori[env].item() == pytest.approx(np.exp(-squared.mean() / 2.25), rel=1e-3)
        mean = (squared * np.array([1, 3, 1, 1])).sum() / 6
        assert weighted[env].item() == pytest.approx(np.exp(-mean / 2.25), rel=1e-3)


def test_velocity_terms(scene):
    lin = rewards.tracking_body_linvel(scene.env, std=2.0)
    ang = rewards.tracking_body_angvel(scene.env, std=3.14)
    for env in range(N):
        error = ((scene.velocities[2, env] - scene.velocities[0, env]) ** 2).sum(axis=1).mean()
        assert lin[env].item() == pytest.approx(np.exp(-error / 4.0), rel=1e-4)
        error = ((scene.velocities[3, env] - scene.velocities[1, env]) ** 2).sum(axis=1).mean()
        assert ang[env].item() == pytest.approx(np.exp(-error / 3.14**2), rel=1e-4)


def test_terminations(scene):
    z_error = np.abs(scene.ref_pos[:, 0, 2] - scene.robot_pos[:, 0, 2])
    limit = float(np.median(z_error))
    assert terminations.anchor_pos(scene.env, threshold=limit).tolist() == (z_error > limit).tolist()
    squared = np.array([angle(at(scene.ref_rot, e, 0), at(scene.robot_rot, e, 0)) ** 2 for e in range(N)])
    limit = float(squared.mean())
    assert terminations.anchor_ori(scene.env, threshold=limit).tolist() == (squared > limit).tolist()
    worst = np.array([np.abs(relative(scene, e)[0][[1, 3], 2] - scene.robot_pos[e, [1, 3], 2]).max() for e in range(N)])
    limit = float(np.median(worst)) + 1e-5
    assert terminations.ee_body_pos(scene.env, threshold=limit).tolist() == (worst > limit).tolist()


def test_anchor_observations(scene):
    pos = observations.motion_anchor_pos_b(scene.env)
    ori = observations.motion_anchor_ori_b(scene.env)
    body_pos, body_ori = observations.body_pos(scene.env), observations.body_ori(scene.env)
    for env in range(N):
        to_body = at(scene.robot_rot, env, 0).inv()
        np.testing.assert_allclose(pos[env], to_body.apply(scene.ref_pos[env, 0] - scene.robot_pos[env, 0]), atol=1e-5)
        matrix = (to_body * at(scene.ref_rot, env, 0)).as_matrix()
        np.testing.assert_allclose(ori[env], matrix[:, :2].reshape(-1), atol=1e-5)
        np.testing.assert_allclose(
            body_pos[env].view(K, 3), to_body.apply(scene.robot_pos[env] - scene.robot_pos[env, 0]), atol=1e-5
        )
        matrix = (to_body * at(scene.robot_rot, env, 2)).as_matrix()
        np.testing.assert_allclose(body_ori[env].view(K, 6)[2], matrix[:, :2].reshape(-1), atol=1e-5)


def test_gravity_direction(scene):
    scene.env.state.root_quat_w = scene.env.state.body_quat_w[:, 0]
    down = observations.gravity_dir(scene.env)
    for env in range(N):
        np.testing.assert_allclose(down[env], at(scene.robot_rot, env, 0).inv().apply([0, 0, -1]), atol=1e-5)


def test_undesired_contacts_count_links_above_the_threshold(scene):
    forces = torch.zeros(N, 5, 3)
    forces[0, 1] = torch.tensor([0.6, 0.0, 0.8])  # exactly 1 N: not above
    forces[1, 2] = torch.tensor([0.0, 0.0, 1.1])
    forces[1, 3] = torch.tensor([0.0, -5.0, 0.0])
    scene.env.state.contact_forces = {"body": forces}
    assert rewards.undesired_contacts(scene.env, sensor="body", threshold=1.0).tolist() == [0.0, 2.0, 0.0]
