"""Where an episode of a task with object and table begins, by hand."""

import attrs
import numpy as np
import pytest
import torch

from grail_framework.config import ActionCfg
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.motion.library import MotionLibrary
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_43dof
from grail_framework.testing.fakes import KinematicEngine, standing_clip

KNEE, ELBOW = "left_knee_joint", "right_elbow_joint"
CONTACT = 30  # first contact of the clips


@pytest.fixture(scope="module")
def robot():
    return g1_43dof()


def clip_with_table(robot, key, table_x):
    """The left knee is bent to its hard limit; the right elbow turns at 0.5 rad/s."""
    clip = standing_clip(robot, key=key, with_object=True)
    joint_pos = clip.joint_pos.copy()
    joint_pos[:, robot.joint_names.index(KNEE)] = robot.joints[robot.joint_names.index(KNEE)].upper
    joint_pos[:, robot.joint_names.index(ELBOW)] = 0.01 * np.arange(len(joint_pos))
    half = np.sqrt(0.5)
    return attrs.evolve(
        clip,
        joint_pos=joint_pos,
        table_pos=np.array([table_x, 0.0, 0.5], dtype=np.float32),
        table_quat=np.array([half, 0.0, 0.0, half], dtype=np.float32),
    )


@pytest.fixture
def build(robot, tmp_path):
    registry = GrailPluginManager().load().registry
    clips = [clip_with_table(robot, key, x) for key, x in (("a", 0.4), ("b", 0.6))]
    clips = [attrs.evolve(clip, object_usd=tmp_path / "object.usd") for clip in clips]

    def make(task="pnp_table", num_envs=3, **command):
        cfg = registry.find("task", f"hoi:{task}").load()()
        cfg = attrs.evolve(
            cfg,
            num_envs=num_envs,
            command=attrs.evolve(cfg.command, **command),
            action=ActionCfg(func="core:joint_residual"),
            rewards={name: term for name, term in cfg.rewards.items() if name != "full_latent_rate_l2"},
        )
        motions = MotionLibrary.build(clips, robot, device="cpu")
        return TrackingEnv(cfg, KinematicEngine(scene_spec(cfg, robot, motions, device="cpu")), motions, registry)

    return make


def joint(env, name):
    return env.state.joint_pos[:, env.robot.joint_names.index(name)], env.state.joint_vel[:, env.robot.joint_names.index(name)]


def test_everything_is_where_the_reference_says_and_the_object_is_at_rest(build, robot):
    env = build(object_init_z_offset=0.05)
    env.begin_evaluation()  # from frame 0
    env.reset()
    state = env.state
    height = robot.spawn_height
    torch.testing.assert_close(state.root_pos_w, torch.tensor([[0.0, 0.0, height]]).repeat(3, 1))
    torch.testing.assert_close(state.root_lin_vel_w, torch.tensor([[0.5, 0.0, 0.0]]).repeat(3, 1), atol=1e-3, rtol=0.0)
    torch.testing.assert_close(state.object_pos_w, torch.tensor([[0.4, 0.0, height + 0.05]]).repeat(3, 1))
    # The reference's object moves at 0.5 m/s.
    assert not state.object_lin_vel_w.any()
    assert not state.object_ang_vel_w.any()
    # Environment k follows motion k mod 2, and stands at that motion's table.
    torch.testing.assert_close(state.table_pos_w[:, 0], torch.tensor([0.4, 0.6, 0.4]))
    torch.testing.assert_close(state.table_quat_w[:, 3], torch.full((3,), 0.5**0.5))


def test_joints_are_within_soft_limits_and_hands_are_open(build, robot):
    env = build()
    env.begin_evaluation()
    env.reset()
    limits = robot.joints[robot.joint_names.index(KNEE)]
    middle, half = 0.5 * (limits.upper + limits.lower), 0.5 * (limits.upper - limits.lower)
    pos, _ = joint(env, KNEE)
    assert pos.tolist() == pytest.approx([middle + 0.9 * half] * 3, abs=1e-5)
    pos, vel = joint(env, ELBOW)
    assert (pos.tolist(), vel.tolist()) == (pytest.approx([0.0] * 3, abs=1e-6), pytest.approx([0.5] * 3, rel=1e-3))
    # An open hand is at 0, which is a hard limit of its fingers.
    for index, finger in enumerate(robot.joints[29:], start=29):
        middle, half = 0.5 * (finger.upper + finger.lower), 0.45 * (finger.upper - finger.lower)
        expected = min(max(0.0, middle - half), middle + half)
        assert env.state.joint_pos[:, index].tolist() == pytest.approx([expected] * 3, abs=1e-6)
    assert not env.state.joint_vel[:, 29:].any()


@pytest.mark.parametrize(
    ("task", "margin", "latest"), [("pnp_table", 10, 19), ("advanced_manip_ground", 10, 19), ("pnp_ground", 40, 0)]
)
def test_episodes_start_before_the_first_contact_less_a_margin(build, task, margin, latest):
    """Uniform on [0, first contact - margin); a margin that leaves nothing means frame 0."""
    env = build(task=task, num_envs=400, sample_before_contact_margin=margin)
    env.reset()
    start = env.command.start
    assert (int(start.min()), int(start.max())) == (0, latest)
    if latest:
        counts = torch.bincount(start, minlength=latest + 1)
        assert counts.min() >= 400 / (latest + 1) / 3
        assert (CONTACT - margin) == latest + 1
