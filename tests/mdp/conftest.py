"""A pnp_table environment without physics, its state and reference random: terms are compared with scipy on the same numbers."""

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.envs.view import TrackingView
from grail_framework.motion.clip import MotionClip, ObjectTrack
from grail_framework.motion.library import MotionLibrary
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_43dof
from grail_framework.testing.bases import without_base
from grail_framework.testing.fakes import KinematicEngine

N = 3
FRAMES = 80


def wxyz(rotation):
    return rotation.as_quat(scalar_first=True).astype(np.float32)


def random_clip(robot, key, seed):
    """A motion without sense: every pose drawn anew, joints within their limits."""
    rng = np.random.default_rng(seed)
    joints = robot.joints[: robot.num_motion_joints]
    low, high = np.array([j.lower for j in joints]), np.array([j.upper for j in joints])
    points = {frame: rng.normal(scale=0.05, size=(4, 3)).astype(np.float32) for frame in range(20, FRAMES)}
    return MotionClip(
        key=key,
        path=Path(f"{key}.pkl"),
        fps=50.0,
        joint_names=robot.joint_names[: robot.num_motion_joints],
        root_pos=rng.normal(size=(FRAMES, 3)).astype(np.float32),
        root_quat=wxyz(Rotation.random(FRAMES, random_state=seed)),
        joint_pos=rng.uniform(low, high, size=(FRAMES, len(joints))).astype(np.float32),
        object=ObjectTrack(
            pos=rng.normal(size=(FRAMES, 3)).astype(np.float32),
            quat=wxyz(Rotation.random(FRAMES, random_state=seed + 1)),
            fps=50.0,
            contact_points={"left": points, "right": points},
        ),
        object_usd=Path("object.usd"),
        hand_action=np.ones((FRAMES, 2), dtype=np.float32),
        table_pos=np.array([0.5, 0.1, 0.7], dtype=np.float32),
        table_quat=wxyz(Rotation.from_euler("z", 0.3)),
        bps=rng.uniform(size=10).astype(np.float32),
    )


@pytest.fixture(scope="session")
def robot():
    return g1_43dof()


@pytest.fixture(scope="session")
def manager():
    return GrailPluginManager().load()


@pytest.fixture(scope="session")
def registry(manager):
    return manager.registry


@pytest.fixture(scope="session")
def library(robot):
    return MotionLibrary.build([random_clip(robot, f"clip_{i}", 10 * i) for i in range(2)], robot, device="cpu")


@pytest.fixture
def cfg(manager):
    cfg = attrs.evolve(without_base(manager.registry.find("task", "hoi:pnp_table").load()(), manager), num_envs=N)
    return attrs.evolve(cfg, command=attrs.evolve(cfg.command, use_motion_hand_actions=False))


@pytest.fixture
def env(cfg, robot, registry, library):
    env = TrackingEnv(cfg, KinematicEngine(scene_spec(cfg, robot, library, device="cpu")), library, registry)
    env.reset()
    env.command.frame[:] = torch.tensor([5, 40, 70])
    env.command.gather()
    scatter(env, seed=3)
    return env


def scatter(env, seed):
    """Give every quantity of the state a random value."""
    rng, state = np.random.default_rng(seed), env.state
    for field in attrs.fields(type(state)):
        value = getattr(state, field.name)
        tensors = value.values() if isinstance(value, dict) else [value]
        for tensor in tensors:
            drawn = rng.normal(size=tuple(tensor.shape))
            if "quat" in field.name:
                drawn /= np.linalg.norm(drawn, axis=-1, keepdims=True)
            tensor.copy_(torch.from_numpy(drawn))
    env.view = TrackingView(env)


@pytest.fixture
def rot():
    """Turn unit quaternions wxyz, tensor or array, into scipy rotations."""
    return lambda quat: Rotation.from_quat(np.asarray(quat, dtype=np.float64), scalar_first=True)
