"""The values of terrain_tracking against the release's, written down once more as a literal table; its layouts, from an environment."""

import attrs
import numpy as np
import pytest
import torch

from grail_framework.assets.usd_writer import write_box_usd
from grail_framework.config.compose import compose
from grail_framework.config.presets import PRESETS
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.motion.library import MotionLibrary
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.robots.g1 import g1_29dof
from grail_framework.runs.assembly import RunParts, build_network
from grail_framework.runs.term_check import check_terms
from grail_framework.testing.fakes import KinematicEngine, standing_clip

# Name, width of all frames together, steps of history. In the order of the vector.
POLICY = {
    "base_ang_vel": (30, 10),
    "joint_pos": (290, 10),
    "joint_vel": (290, 10),
    "actions": (290, 10),
    "gravity_dir": (30, 10),
    "object_pos_delta_multi_future": (30, 1),
    "object_ori_delta_multi_future_6d": (60, 1),
    "object_pos_b": (3, 1),
    "object_ori_b_6d": (6, 1),
}
CRITIC = {
    "command_multi_future": (580, 1),
    "motion_anchor_pos_b": (3, 1),
    "motion_anchor_ori_b": (6, 1),
    "body_pos": (42, 1),
    "body_ori": (84, 1),
    "base_lin_vel": (30, 10),
    "base_ang_vel": (30, 10),
    "joint_pos": (290, 10),
    "joint_vel": (290, 10),
    "actions": (290, 10),
    "object_pos_delta_multi_future": (30, 1),
    "object_ori_delta_multi_future_6d": (60, 1),
    "object_pos_b": (3, 1),
    "object_ori_b_6d": (6, 1),
}
TOKENIZER = {
    "encoder_index": (3, 1),
    "command_multi_future_nonflat": (580, 1),
    "command_z_multi_future": (10, 1),
    "motion_anchor_ori_b_mf_nonflat": (60, 1),
    "height_map_z_flat": (121, 1),
}
GROUPS = {"policy": (1029, POLICY), "critic": (1744, CRITIC), "tokenizer": (774, TOKENIZER)}
# Name: (weight before step_dt, parameters).
REWARDS = {
    "tracking_anchor_pos": (0.5, {"std": 0.3}),
    "tracking_anchor_ori": (0.5, {"std": 0.4}),
    "tracking_relative_body_pos": (1.0, {"std": 0.3}),
    "tracking_relative_body_ori": (1.0, {"std": 0.4}),
    "tracking_body_linvel": (1.0, {"std": 1.0}),
    "tracking_body_angvel": (1.0, {"std": 3.14}),
    "undesired_contacts": (-0.1, {"sensor": "body", "threshold": 1.0}),
    "action_rate_l2": (-0.1, {}),
    "joint_limit": (-10.0, {}),
    "anti_shake_ang_vel": (-0.005, {"bodies": ("left_wrist_yaw_link", "right_wrist_yaw_link"), "threshold": 1.5}),
    "tracking_vr_5point_local": (2.0, {"std": 0.1}),
    "feet_acc": (-2.5e-7, {}),
}
LOW = {"down_threshold": 0.75, "root_height_threshold": 0.5}
TERMINATIONS = {
    "anchor_pos": ("core:anchor_pos_adaptive", {"threshold": 0.15, **LOW}, False),
    "anchor_ori": ("core:anchor_ori", {"threshold": 0.2}, False),
    "ee_body_pos": ("core:ee_body_pos_adaptive", {"threshold": 0.15, **LOW}, False),
    "foot_pos_xyz": ("core:foot_pos_xyz", {"threshold": 0.2}, False),
    "tracking_time_out": ("core:tracking_time_out", {}, True),
}
WIDE = (2048, 2048, 1024, 1024, 512, 512)
FRAMES = 70


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture(scope="module")
def registry(manager):
    return manager.registry


@pytest.fixture
def cfg(registry):
    return compose(registry, task="terrain_tracking", overrides=["num_envs=4096"]).cfg


def test_observations(cfg):
    assert set(cfg.observations) == set(GROUPS)
    for name, (width, terms) in GROUPS.items():
        group = cfg.observations[name]
        assert group.width == width == sum(wide for wide, _ in terms.values())
        assert list(group.terms) == list(terms)
        assert {term: found.history_length for term, found in group.terms.items()} == {t: h for t, (_, h) in terms.items()}
        assert {term.func.rpartition(":")[2] for term in group.terms.values()} == set(terms)
        assert not group.enable_corruption
    tokenizer = cfg.observations["tokenizer"].terms
    assert tokenizer["encoder_index"].params == {"probabilities": (1.0, 1.0, 1.0)}
    assert tokenizer["height_map_z_flat"].params == {"size": 1.5, "resolution": 0.15, "max_distance": 5.0}
    assert {name: term.noise.high for name, term in tokenizer.items() if term.noise} == {"motion_anchor_ori_b_mf_nonflat": 0.05}


def test_rewards_and_terminations(cfg, registry):
    assert {name: (term.weight, term.params) for name, term in cfg.rewards.items()} == REWARDS
    assert all(term.gate is None and term.func.rpartition(":")[2] == name for name, term in cfg.rewards.items())
    assert {n: (term.func, term.params, term.time_out) for n, term in cfg.terminations.items()} == TERMINATIONS
    check_terms(cfg, registry)


def test_scene_command_and_action(cfg):
    assert (cfg.robot.name, cfg.robot.asset) == ("g1_29dof", None)
    assert (cfg.scene.object.dynamic, cfg.scene.table) == (False, None)
    links = g1_29dof().match_bodies(cfg.scene.contact_sensors["body"].links)
    free = {f"{side}_{link}_link" for side in ("left", "right") for link in ("ankle_roll", "wrist_yaw", "elbow")}
    assert set(links) == set(g1_29dof().body_names) - free
    assert list(cfg.scene.contact_sensors) == ["body"]
    assert cfg.scene.contact_sensors["body"].partner == "any"
    assert (cfg.engine.physics_dt, cfg.engine.decimation, cfg.motion.target_fps) == (0.005, 4, 50.0)
    command = cfg.command
    assert (command.num_future_frames, command.dt_future_ref_frames, command.init_z_offset) == (10, 0.1, 0.05)
    assert (command.object_init_z_offset, command.start_from_first_frame) == (0.0, False)
    assert (command.sample_before_contact, command.sample_from_n_initial_frames) == (False, None)
    assert not command.use_motion_hand_actions
    assert (cfg.action.func, cfg.action.params) == ("core:joint_position", {})
    assert (cfg.events, cfg.curriculums, cfg.safe_nan) == ({}, {}, True)


def test_run_network_and_algorithm(cfg):
    assert (cfg.num_envs, cfg.iterations, cfg.project) == (4096, 30000, "TRL_G1_Track")
    assert cfg.config_path == "manager/universal_token/scene"
    assert not cfg.motion.shard_by_rank  # the plan deals motions to processes
    assert cfg.extra["terrain"].flat_to_terrain_ratio == 0
    assert cfg.network.func == "core:universal_token"
    assert cfg.network.params == {
        "encoders": ("g1",),
        "encoder_hidden_dims": (2048, 1024, 512, 512),
        "dyn_hidden_dims": WIDE,
        "kin_hidden_dims": (2048, 1024, 512, 512),
        "critic_hidden_dims": WIDE,
        "activation": "silu",
        "normalize_critic": True,
        "recon_coef": 0.01,
    }
    ppo = cfg.algorithm
    assert (ppo.num_steps_per_env, ppo.num_learning_epochs, ppo.num_mini_batches) == (24, 5, 4)
    assert (ppo.clip_param, ppo.gamma, ppo.lam, ppo.value_loss_coef, ppo.entropy_coef) == (0.2, 0.99, 0.95, 1.0, 0.01)
    assert (ppo.desired_kl, ppo.learning_rate, ppo.min_learning_rate, ppo.max_learning_rate) == (0.01, 2e-5, 1e-5, 2e-4)
    assert (ppo.max_grad_norm, ppo.init_noise_std, ppo.schedule, ppo.use_clipped_value_loss) == (0.1, 0.05, "adaptive", True)
    assert (ppo.critic_learning_rate, ppo.min_noise_std, ppo.max_noise_std) == (None, 0.001, 0.5)


def test_the_releases_name_of_the_experiment(registry):
    run = compose(registry, overrides=["+exp=manager/universal_token/scene/terrain_tracking"])
    assert run.cfg.task == "terrain:terrain_tracking"


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_keep_what_the_actor_sees_and_is_asked_for(registry, preset):
    own, small = (compose(registry, task="terrain_tracking", preset=name).cfg for name in (None, preset))
    for section in ("scene", "command", "rewards", "terminations", "action", "robot", "extra"):
        assert getattr(own, section) == getattr(small, section)
    for group in ("policy", "tokenizer"):
        assert own.observations[group] == small.observations[group]
    params = small.network.params
    assert (params["imitated_rollouts"], params["normalize_critic"]) == (5, True)
    assert max(params["encoder_hidden_dims"] + params["dyn_hidden_dims"] + params["critic_hidden_dims"]) <= 512


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Every joint at another place in every frame, and a box that travels 0.4 m ahead of the root and half a metre below it."""
    still = standing_clip(g1_29dof(), frames=FRAMES, with_object=True)
    rng = np.random.default_rng(0)
    asset = write_box_usd(tmp_path_factory.mktemp("assets") / "box.usd", (0.4, 0.4, 0.2))
    joint_pos = rng.uniform(-0.1, 0.1, still.joint_pos.shape).astype(np.float32)
    box = attrs.evolve(still.object, pos=still.object.pos - np.array([0.0, 0.0, 0.5], dtype=np.float32))
    return attrs.evolve(still, joint_pos=joint_pos, object=box, object_usd=asset, hand_action=None)


@pytest.fixture(scope="module")
def parts(clip, manager):
    robot = g1_29dof()
    cfg = attrs.evolve(manager.registry.find("task", "terrain_tracking").load()(), num_envs=2)
    motions = MotionLibrary.build([clip], robot, device="cpu")
    return RunParts(cfg=cfg, manager=manager, robot=robot, motions=motions, device="cpu", rank=0)


@pytest.fixture(scope="module")
def env(parts):
    engine = KinematicEngine(scene_spec(parts.cfg, parts.robot, parts.motions, device="cpu"))
    env = TrackingEnv(parts.cfg, engine, parts.motions, parts.manager.registry)
    env.begin_evaluation()
    env.reset()
    return env


def test_names_order_and_widths(env):
    for name, (width, terms) in GROUPS.items():
        assert list(env.groups[name].layout.items()) == [(term, wide) for term, (wide, _) in terms.items()]
        assert env.observations[name].shape == (2, width)
    assert env.num_actions == 29


def test_what_is_where(env, clip):
    """Histories begin full of what is observed first; the window is all positions and then all velocities."""
    policy, tokens, critic = (env.observations[name][0].numpy() for name in ("policy", "tokenizer", "critic"))
    default = np.array([joint.default_pos for joint in g1_29dof().joints], dtype=np.float32)
    np.testing.assert_allclose(policy[30:320], np.tile(clip.joint_pos[0] - default, 10), atol=1e-4)
    np.testing.assert_array_equal(policy[610:900], 0.0)  # no action yet
    np.testing.assert_allclose(policy[900:930], np.tile((0.0, 0.0, -1.0), 10), atol=1e-5)
    frames = 5 * np.arange(10)
    pos, vel = clip.joint_pos[frames], 50.0 * (clip.joint_pos[frames + 1] - clip.joint_pos[frames])
    window = np.concatenate((pos.ravel(), vel.ravel()))
    np.testing.assert_allclose(tokens[3:583], window, atol=2e-3)
    np.testing.assert_allclose(critic[:580], window, atol=2e-3)
    np.testing.assert_allclose(tokens[583:593], clip.root_pos[frames, 2], atol=1e-5)
    np.testing.assert_allclose(tokens[593:653], np.tile((1.0, 0.0, 0.0, 1.0, 0.0, 0.0), 10), atol=1e-5)
    # The robot starts 5 cm above the reference. The box' top is 0.4 m below that, the ground 0.76 m.
    height = clip.root_pos[0, 2] + 0.05
    heights = tokens[653:774].reshape(11, 11)
    assert heights[0, 5] == pytest.approx(-height, abs=1e-5)
    assert heights[10, 5] == pytest.approx(-0.45, abs=1e-5)
    np.testing.assert_allclose(policy[1020:1023], (0.4, 0.0, -0.55), atol=1e-5)
    np.testing.assert_allclose(policy[1023:1029], (1.0, 0.0, 0.0, 1.0, 0.0, 0.0), atol=1e-5)
    drift = clip.root_pos[frames] - clip.root_pos[0]
    np.testing.assert_allclose(policy[930:960], drift.ravel(), atol=1e-5)


def test_the_network_reads_them_at_the_releases_widths(env, parts):
    """1920 into the encoder: 10 frames of 58 joint numbers, 6 of the root and 128 of the height map's embedding."""
    with torch.device("meta"):
        network = build_network(parts.cfg, parts.manager, env)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes["actor_module.encoders.g1.module.0.weight"] == (2048, 1920)
    assert shapes["actor_module.decoders.g1_dyn.module.0.weight"] == (2048, 1093)
    assert shapes["actor_module.decoders.g1_dyn.module.12.weight"] == (29, 512)
    assert shapes["actor_module.decoders.g1_kin.module.8.weight"] == (640, 512)
    assert shapes["actor_module.encoder_input_projectors.g1.height_map_z_flat.conv_layers.0.weight"] == (16, 1, 3, 3)
    assert shapes["critic_module.module.0.weight"] == (2048, 1744)
    assert shapes["critic_module.running_mean_std.running_mean"] == (1744,)


def test_the_map_reaches_the_actions_through_the_projector(env, parts):
    torch.manual_seed(0)
    small = dict.fromkeys(("encoder_hidden_dims", "dyn_hidden_dims", "kin_hidden_dims", "critic_hidden_dims"), (32,))
    network = build_network(
        attrs.evolve(parts.cfg, network=attrs.evolve(parts.cfg.network, params=parts.cfg.network.params | small)),
        parts.manager,
        env,
    )
    observed = {name: value.clone() for name, value in env.observations.items()}
    for name, sees in (("encoder_index", False), ("command_z_multi_future", False), ("height_map_z_flat", True)):
        changed = {group: value.clone() for group, value in observed.items()}
        start = sum(
            width for term, (width, _) in TOKENIZER.items() if list(TOKENIZER).index(term) < list(TOKENIZER).index(name)
        )
        changed["tokenizer"][:, start : start + TOKENIZER[name][0]] += 3.0 * torch.randn(TOKENIZER[name][0])
        assert torch.equal(network.action_mean(changed), network.action_mean(observed)) is not sees
    losses = network(observed, torch.zeros(2, 29)).aux_losses
    assert list(losses) == ["g1_recon"]
