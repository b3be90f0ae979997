"""Layouts that released checkpoints depend on, from environments as they are built: names, order, widths, and what is at which place."""

import attrs
import numpy as np
import pytest

from grail_framework.config import ActionCfg
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.motion.library import MotionLibrary
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_43dof
from grail_framework.testing.fakes import KinematicEngine, standing_clip

FRAMES, SPACING = 60, 5
ISAAC_LAB = (
    *("left_hip_pitch", "right_hip_pitch", "waist_yaw", "left_hip_roll", "right_hip_roll", "waist_roll", "left_hip_yaw"),
    *("right_hip_yaw", "waist_pitch", "left_knee", "right_knee", "left_shoulder_pitch", "right_shoulder_pitch"),
    *("left_ankle_pitch", "right_ankle_pitch", "left_shoulder_roll", "right_shoulder_roll", "left_ankle_roll"),
    *("right_ankle_roll", "left_shoulder_yaw", "right_shoulder_yaw", "left_elbow", "right_elbow", "left_wrist_roll"),
    *("right_wrist_roll", "left_wrist_pitch", "right_wrist_pitch", "left_wrist_yaw", "right_wrist_yaw"),
)
# The release's gather list from its Isaac Lab order to the legs in MuJoCo's.
LEGS = [0, 3, 6, 9, 13, 17, 1, 4, 7, 10, 14, 18]
WRISTS = [23, 24, 25, 26, 27, 28]


def group(*terms):
    """List terms written as `name width`."""
    return {name: int(width) for name, _, width in (term.partition(" ") for term in terms)}


def policy(force):
    return group(
        *("command 58", "command_multi_future 580", "motion_anchor_pos_b 3", "motion_anchor_ori_b_mf 60"),
        *("motion_anchor_ori_b 6", "base_lin_vel 3", "base_ang_vel 3", "joint_pos 43", "joint_vel 43", "actions 43"),
        *("target_object_pos 3", f"finger_tips_force {force}", "object_pos_delta_multi_future 30"),
        *("object_ori_delta_multi_future_6d 60", "hand_object_transform_6d 9", "object_pos_b 3", "object_ori_b_6d 6"),
        *("table_pos_b 3", "table_ori_b 6", "object_bps 10"),
    )


def critic(force):
    return group(
        *("command 58", "command_multi_future 580", "motion_anchor_pos_b 3", "motion_anchor_ori_b 6"),
        *("motion_anchor_ori_b_mf 60", "body_pos 42", "body_ori 84", "base_lin_vel 3", "base_ang_vel 3", "joint_pos 43"),
        *("joint_vel 43", "actions 43", "target_object_pos 3", f"finger_tips_force {force}"),
        *("object_pos_delta_multi_future 30", "object_ori_delta_multi_future_6d 60", "hand_object_transform_6d 9"),
        *("object_pos_b 3", "object_ori_b_6d 6", "table_pos_b 3", "table_ori_b 6", "grab_contact_flag 1"),
    )


POLICY_ATM = group(
    *("base_ang_vel 30", "joint_pos_wo_hand 290", "joint_vel_wo_hand 290", "actions_wo_hand 290", "gravity_dir 30"),
)
TOKENIZER = group(
    *("encoder_index 3", "command_multi_future_nonflat 580", "command_z_multi_future_nonflat 10", "command_z 1"),
    *("motion_anchor_ori_heading_mf_nonflat 60", "motion_anchor_ori_heading 6", "command_multi_future_lower_body 240"),
    *("vr_3point_local_target 9", "vr_3point_local_orn_target 12", "smpl_joints_multi_future_local_nonflat 720"),
    *("smpl_root_ori_heading_multi_future 60", "joint_pos_multi_future_wrist_for_smpl 60"),
)
WIDTHS = {
    "pnp_table": (996, 1113, 24),
    "pnp_ground": (984, 1101, 12),
    "advanced_manip_table": (984, 1101, 12),
    "advanced_manip_ground": (984, 1101, 12),
}


@pytest.fixture(scope="module")
def robot():
    return g1_43dof()


@pytest.fixture(scope="module")
def registry():
    return GrailPluginManager().load().registry


@pytest.fixture(scope="module")
def clip(robot):
    """Every joint at another place in every frame; the reference's pelvis rises by a centimetre per frame."""
    rng = np.random.default_rng(0)
    still = standing_clip(robot, frames=FRAMES, with_object=True)
    root_pos = still.root_pos + np.arange(FRAMES, dtype=np.float32)[:, None] * (0.0, 0.0, 0.01)
    return attrs.evolve(
        still,
        joint_pos=rng.uniform(-0.1, 0.1, still.joint_pos.shape).astype(np.float32),
        root_pos=root_pos.astype(np.float32),
        table_pos=np.array([0.5, 0.0, 0.4], dtype=np.float32),
        table_quat=np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float32),
    )


@pytest.fixture(scope="module")
def build(robot, registry, clip, tmp_path_factory):
    """Build the environment of a task at frame 0; its groups do not depend on the action transform, which needs no base policy here."""
    asset = tmp_path_factory.mktemp("assets") / "object.usd"

    def make(task):
        cfg = registry.find("task", f"hoi:{task}").load()()
        rewards = {name: term for name, term in cfg.rewards.items() if name != "full_latent_rate_l2"}
        cfg = attrs.evolve(cfg, num_envs=2, rewards=rewards, action=ActionCfg(func="core:joint_residual"))
        motions = MotionLibrary.build([attrs.evolve(clip, object_usd=asset)], robot, device="cpu")
        env = TrackingEnv(cfg, KinematicEngine(scene_spec(cfg, robot, motions, device="cpu")), motions, registry)
        env.begin_evaluation()
        env.reset()
        return env

    return make


@pytest.mark.parametrize("task", WIDTHS)
def test_names_order_and_widths(build, task):
    wide, wide_critic, force = WIDTHS[task]
    env = build(task)
    expected = {"policy": policy(force), "critic": critic(force), "policy_atm": POLICY_ATM, "tokenizer": TOKENIZER}
    assert {name: list(observed.layout.items()) for name, observed in env.groups.items()} == {
        name: list(layout.items()) for name, layout in expected.items()
    }
    assert env.observation_dims == {"policy": wide, "critic": wide_critic, "policy_atm": 930, "tokenizer": 1761}
    assert {name: tuple(value.shape) for name, value in env.observations.items()} == {
        name: (2, width) for name, width in env.observation_dims.items()
    }


def test_the_joints_are_in_the_releases_order(robot):
    assert tuple(name.removesuffix("_joint") for name in robot.joint_names[:29]) == ISAAC_LAB


def test_the_window_of_joints_is_all_positions_and_then_all_velocities(build, clip):
    """In the nonflat form too: its rows of 58 are not a frame's positions and velocities, and checkpoints depend on that."""
    env = build("pnp_ground")
    frames = np.arange(10) * SPACING
    pos = clip.joint_pos[frames]
    vel = (clip.joint_pos[frames + 1] - clip.joint_pos[frames]) * 50.0
    wanted = np.concatenate((pos.ravel(), vel.ravel()))
    observed, tokens = env.observations["policy"][0].numpy(), env.observations["tokenizer"][0].numpy()
    np.testing.assert_allclose(observed[:58], np.concatenate((pos[0], vel[0])), atol=2e-4)
    np.testing.assert_allclose(observed[58:638], wanted, atol=2e-4)
    np.testing.assert_allclose(tokens[3:583], wanted, atol=2e-4)
    second_row = tokens[3:583].reshape(10, 58)[1]
    np.testing.assert_allclose(second_row, np.concatenate((pos[2], pos[3])), atol=2e-4)


def test_what_is_where_in_the_tokenizer_group(build, clip):
    tokens = build("pnp_ground").observations["tokenizer"][0].numpy()
    frames = np.arange(10) * SPACING
    np.testing.assert_array_equal(tokens[:3], (1.0, 0.0, 0.0))
    np.testing.assert_allclose(tokens[583:593], clip.root_pos[frames, 2], atol=1e-5)
    assert tokens[593] == pytest.approx(clip.root_pos[0, 2], abs=1e-5)
    # Upright and without yaw: the first two columns of the identity, row by row.
    np.testing.assert_allclose(tokens[594:660], np.tile((1.0, 0.0, 0.0, 1.0, 0.0, 0.0), 11), atol=1e-5)
    legs = clip.joint_pos[frames][:, LEGS].ravel()
    np.testing.assert_allclose(tokens[660:780], legs, atol=2e-4)
    np.testing.assert_array_equal(tokens[921:1641], 0.0)  # no body model's joints
    np.testing.assert_allclose(tokens[1701:1761], clip.joint_pos[:10][:, WRISTS].ravel(), atol=2e-4)


def test_what_is_where_in_the_decoders_group(build, clip, robot):
    observed = build("pnp_ground").observations["policy_atm"][0].numpy()
    default = np.array([joint.default_pos for joint in robot.joints[:29]], dtype=np.float32)
    start = clip.joint_pos[0] - default
    np.testing.assert_allclose(observed[30:320], np.tile(start, 10), atol=1e-4)  # a history begins with what is observed first
    np.testing.assert_array_equal(observed[610:900], 0.0)  # no action yet
    np.testing.assert_allclose(observed[900:930], np.tile((0.0, 0.0, -1.0), 10), atol=1e-5)
