"""The values of the four tasks against the release's, written down once more as literal tables."""

import pytest

from grail_framework.config.compose import compose
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.term_check import check_terms

TASKS = ("pnp_table", "pnp_ground", "advanced_manip_table", "advanced_manip_ground")
ROBOT_TERMS = {
    "command": 58,
    "command_multi_future": 580,
    "motion_anchor_pos_b": 3,
    "motion_anchor_ori_b_mf": 60,
    "motion_anchor_ori_b": 6,
    "base_lin_vel": 3,
    "base_ang_vel": 3,
    "joint_pos": 43,
    "joint_vel": 43,
    "actions": 43,
}
OBJECT_TERMS = {
    "target_object_pos": 3,
    "finger_tips_force": None,
    "object_pos_delta_multi_future": 30,
    "object_ori_delta_multi_future_6d": 60,
    "hand_object_transform_6d": 9,
    "object_pos_b": 3,
    "object_ori_b_6d": 6,
    "table_pos_b": 3,
    "table_ori_b": 6,
}
POLICY = {**ROBOT_TERMS, **OBJECT_TERMS, "object_bps": 10}
CRITIC_ROBOT = {
    "command": 58,
    "command_multi_future": 580,
    "motion_anchor_pos_b": 3,
    "motion_anchor_ori_b": 6,
    "motion_anchor_ori_b_mf": 60,
    "body_pos": 42,
    "body_ori": 84,
    "base_lin_vel": 3,
    "base_ang_vel": 3,
    "joint_pos": 43,
    "joint_vel": 43,
    "actions": 43,
}
CRITIC = {**CRITIC_ROBOT, **OBJECT_TERMS, "grab_contact_flag": 1}
NOISE = {
    "motion_anchor_pos_b": 0.25,
    "motion_anchor_ori_b_mf": 0.05,
    "motion_anchor_ori_b": 0.05,
    "base_lin_vel": 0.5,
    "base_ang_vel": 0.2,
    "joint_pos": 0.01,
    "joint_vel": 0.5,
    "object_pos_delta_multi_future": 0.02,
    "object_ori_delta_multi_future_6d": 0.02,
}
WIDTHS = {"pnp_table": (996, 1113, 24), **dict.fromkeys(TASKS[1:], (984, 1101, 12))}
# Of the frozen base: what its decoder sees with its history, and what its encoders see. Widths of all frames together.
POLICY_ATM = {
    "base_ang_vel": 30,
    "joint_pos_wo_hand": 290,
    "joint_vel_wo_hand": 290,
    "actions_wo_hand": 290,
    "gravity_dir": 30,
}
TOKENIZER = {
    "encoder_index": 3,
    "command_multi_future_nonflat": 580,
    "command_z_multi_future_nonflat": 10,
    "command_z": 1,
    "motion_anchor_ori_heading_mf_nonflat": 60,
    "motion_anchor_ori_heading": 6,
    "command_multi_future_lower_body": 240,
    "vr_3point_local_target": 9,
    "vr_3point_local_orn_target": 12,
    "smpl_joints_multi_future_local_nonflat": 720,
    "smpl_root_ori_heading_multi_future": 60,
    "joint_pos_multi_future_wrist_for_smpl": 60,
}

# Name: (weight before step_dt, parameters, hand of the gate and what a clip without labels means).
TRACKING = {
    "tracking_anchor_pos": (0.5, {"std": 0.3}, None),
    "tracking_anchor_ori": (2.5, {"std": 0.4}, None),
    "tracking_relative_body_pos": (1.0, {"std": 0.3}, None),
    "tracking_body_linvel": (1.0, {"std": 1.0}, None),
    "tracking_body_angvel": (1.0, {"std": 3.14}, None),
    "undesired_contacts": (-0.1, {"sensor": "body", "threshold": 1.0}, None),
    "finger_primitive_limit": (-10.0, {}, None),
}
RIGHT, LEFT = "object_right_hand", "object_left_hand"
WRISTS = {"left_wrist_yaw_link": 1.0, "right_wrist_yaw_link": 1.0}
REWARDS = {
    "pnp_table": TRACKING
    | {
        "tracking_relative_body_ori": (5.0, {"std": 0.4}, None),
        "grasp_right": (40.0, {"sensor": RIGHT, "force_threshold": 0.1, "min_contacts": 8}, ("right", "error")),
        "finger_direction_right": (10.0, {"hand": "right", "use_contact_center": True}, ("right", "ones")),
        "object_tracking": (20.0, {"sensor": RIGHT, "w_op": 0.5, "w_or": 0.0, "force_threshold": 1.0}, None),
        "meta_action_rate_l2": (-0.1, {}, None),
        "full_latent_rate_l2": (-0.01, {}, None),
        "is_terminated": (-10.0, {}, None),
        "hand_table_contact_penalty": (-1.0, {"sensor": "table_right_hand", "max_force": 1.0}, None),
        "approach_velocity_penalty": (-15.0, {"hand": "right", "disable_after_contact": False}, None),
        "upright_penalty": (0.0, {"bodies": ("pelvis", "torso_link")}, None),
    },
    "contact_lr": TRACKING
    | {
        "tracking_relative_body_ori_weighted": (5.0, {"std": 0.4, "body_weights": WRISTS}, None),
        "grasp_right": (40.0, {"sensor": RIGHT, "force_threshold": 0.1, "min_contacts": 3}, None),
        "grasp_left": (20.0, {"sensor": LEFT, "force_threshold": 0.1, "min_contacts": 3}, None),
        "finger_direction_right": (10.0, {"hand": "right", "use_contact_center": False}, ("right", "ones")),
        "finger_direction_left": (5.0, {"hand": "left", "use_contact_center": False}, ("left", "ones")),
        "contact_center_right": (0.1, {"hand": "right"}, ("right", "ones")),
        "contact_center_left": (0.05, {"hand": "left"}, ("left", "ones")),
        "object_tracking": (20.0, {"sensor": RIGHT, "w_op": 0.5, "w_or": 0.3, "force_threshold": 1.0}, None),
    },
}
REWARDS["pnp_ground"] = REWARDS["advanced_manip_ground"] = REWARDS.pop("contact_lr")
REWARDS["advanced_manip_table"] = REWARDS["pnp_ground"] | {
    "hand_table_contact_penalty": (-0.5, {"sensor": "table_right_hand", "max_force": 1.0}, None),
}

BODY = {
    "anchor_pos": ({"threshold": 0.25}, False),
    "anchor_ori": ({"threshold": 1.0}, False),
    "ee_body_pos": ({"threshold": 0.25}, False),
    "tracking_time_out": ({}, True),
}
GRASP = {"sensor": RIGHT, "hand": "right", "force_threshold": 0.1, "min_contacts": 3, "grace_steps": 50}
TERMINATIONS = {
    "pnp_table": BODY
    | {
        "object_pos_deviation": ({"threshold": 0.1}, False),
        "hand_table_contact_termination": ({"sensor": "table_right_hand", "threshold": 1.0}, False),
    },
    "pnp_ground": BODY
    | {
        "object_pos_deviation": ({"threshold": 0.25}, False),
        "object_z_pos_deviation": ({"threshold": 0.3}, False),
        "grasp_failure_after_contact": (GRASP, False),
    },
}
TERMINATIONS["advanced_manip_table"] = TERMINATIONS["advanced_manip_ground"] = TERMINATIONS["pnp_ground"]
# Mass [kg], density [kg/m^3], and the table's size [m].
SCENES = {
    "pnp_table": (0.1, None, (2.0, 0.6, 0.04)),
    "pnp_ground": (0.1, None, None),
    "advanced_manip_table": (None, 300.0, (1.0, 0.6, 0.04)),
    "advanced_manip_ground": (None, 300.0, None),
}
FINGERS = ("thumb_2", "index_1", "middle_1", "palm")
WHOLE_HAND = ("palm", "thumb_0", "thumb_1", "thumb_2", "index_0", "index_1", "middle_0", "middle_1")

tasks = pytest.mark.parametrize("task", TASKS)


@pytest.fixture(scope="module")
def registry():
    return GrailPluginManager().load().registry


@pytest.fixture
def cfg(registry, task):
    """The resolved task, before plugins look for a base policy."""
    return compose(registry, task=f"hoi:{task}", overrides=["num_envs=4096"]).cfg


@tasks
def test_order_and_widths_of_the_observations(cfg, task):
    policy, critic, force = WIDTHS[task]
    for group, order, width in (("policy", POLICY, policy), ("critic", CRITIC, critic)):
        assert list(cfg.observations[group].terms) == list(order)
        assert cfg.observations[group].width == width
        assert sum(force if value is None else value for value in order.values()) == width
        assert not cfg.observations[group].enable_corruption
        assert all(term.history_length == 1 for term in cfg.observations[group].terms.values())
        assert all(term.func.rpartition(":")[2] == name for name, term in cfg.observations[group].terms.items())


@tasks
def test_order_and_widths_of_what_the_frozen_base_sees(cfg, task):
    assert list(cfg.observations) == ["policy", "critic", "policy_atm", "tokenizer"]
    for group, order, width, history in (("policy_atm", POLICY_ATM, 930, 10), ("tokenizer", TOKENIZER, 1761, 1)):
        found = cfg.observations[group]
        assert list(found.terms) == list(order)
        assert found.width == width == sum(order.values())
        assert not found.enable_corruption
        assert {term.history_length for term in found.terms.values()} == {history}
        assert {name: (term.func, term.params, term.noise) for name, term in found.terms.items()} == {
            name: (f"core:{name}", {}, None) for name in order
        }


@tasks
def test_noise_of_the_policy_alone(cfg, task):
    noise = {name: term.noise for name, term in cfg.observations["policy"].terms.items() if term.noise is not None}
    assert {name: (value.low, value.high) for name, value in noise.items()} == {n: (-v, v) for n, v in NOISE.items()}
    assert all(term.noise is None for term in cfg.observations["critic"].terms.values())


@tasks
def test_rewards(cfg, task):
    found = {
        name: (term.weight, term.params, None if term.gate is None else (term.gate.hand, term.gate.missing))
        for name, term in cfg.rewards.items()
    }
    assert found == REWARDS[task]
    assert all(term.gate is None or term.gate.anti_contact_factor is None for term in cfg.rewards.values())


@tasks
def test_terminations(cfg, task):
    assert {name: (term.params, term.time_out) for name, term in cfg.terminations.items()} == TERMINATIONS[task]


@tasks
def test_names_are_those_of_registered_terms(cfg, registry, task):
    check_terms(cfg, registry)
    for name, term in cfg.rewards.items():
        assert name.removesuffix("_right").removesuffix("_left") == term.func.rpartition(":")[2]
    for name, term in cfg.terminations.items():
        assert name == term.func.rpartition(":")[2]


@tasks
def test_scene(cfg, task):
    mass, density, table = SCENES[task]
    assert (cfg.scene.object.dynamic, cfg.scene.object.mass, cfg.scene.object.density) == (True, mass, density)
    assert (cfg.scene.table.size if cfg.scene.table else None) == table
    assert (cfg.scene.env_spacing, cfg.scene.ground_friction) == (10.0, 1.0)
    assert (cfg.engine.physics_dt, cfg.engine.decimation, cfg.motion.target_fps) == (0.005, 4, 50.0)
    assert (cfg.robot.name, cfg.robot.asset) == ("g1_43dof", None)


@tasks
def test_contact_sensors(cfg, task):
    sensors = {name: (sensor.links, sensor.partner) for name, sensor in cfg.scene.contact_sensors.items()}
    fingers = {side: tuple(f"{side}_hand_{link}_link" for link in FINGERS) for side in ("right", "left")}
    whole = tuple(f"right_hand_{link}_link" for link in WHOLE_HAND)
    wrist = tuple(f"right_wrist_{axis}_link" for axis in ("roll", "pitch", "yaw"))
    expected = {"body": ((r"(?!.*(ankle_roll|hand)).*",), "any")}
    if task == "pnp_table":
        expected[RIGHT] = (whole, "object")
    else:
        expected |= {RIGHT: (fingers["right"], "object"), LEFT: (fingers["left"], "object")}
    if "table" in task:
        expected["table_right_hand"] = ((*wrist, *whole), "table")
    assert sensors == expected


@tasks
def test_command_action_and_run(cfg, task):
    table = task == "pnp_table"
    command = cfg.command
    assert (command.num_future_frames, command.dt_future_ref_frames) == (10, 0.1)
    assert (command.sample_before_contact, command.sample_before_contact_margin) == (True, 10)
    assert command.sample_from_n_initial_frames == (30 if table else None)
    assert command.use_motion_hand_actions is table
    assert not command.start_from_first_frame
    assert (command.init_z_offset, command.object_init_z_offset) == (0.0, 0.0)
    assert cfg.action.func == "hoi:latent_residual"
    assert cfg.action.params == {
        "mode": "pre_quantization",
        "scale": 0.1,
        "finger_primitive": "discrete",
        "base_checkpoint": None,
        "base_config": None,
    }
    assert cfg.motion.shard_by_rank
    assert (cfg.num_envs, cfg.iterations, cfg.project) == (4096, 20000, "GRAB_Tracking")
    assert cfg.config_path == "manager/universal_token/hoi"
    assert (cfg.events, cfg.curriculums) == ({}, {})
    assert cfg.safe_nan


@tasks
def test_network(cfg, task):
    assert cfg.network.func == "core:mlp"
    assert cfg.network.params == {
        "actor_hidden_dims": (512, 256, 128),
        "critic_hidden_dims": (512, 256, 128),
        "activation": "silu",
        "latent_l2_coef": 0.1,
        "latent_dim": 64,
    }


@tasks
def test_algorithm_is_that_of_the_release(cfg, task):
    ppo = cfg.algorithm
    assert (ppo.num_steps_per_env, ppo.num_learning_epochs, ppo.num_mini_batches) == (24, 5, 4)
    assert (ppo.clip_param, ppo.gamma, ppo.lam, ppo.value_loss_coef, ppo.entropy_coef) == (0.2, 0.99, 0.95, 1.0, 0.01)
    assert (ppo.desired_kl, ppo.learning_rate, ppo.min_learning_rate, ppo.max_learning_rate) == (0.01, 2e-5, 1e-5, 2e-4)
    assert (ppo.max_grad_norm, ppo.init_noise_std, ppo.schedule, ppo.use_clipped_value_loss) == (0.1, 0.05, "adaptive", True)
    assert (ppo.critic_learning_rate, ppo.min_noise_std, ppo.max_noise_std) == (None, 0.001, 0.5)
    assert (ppo.weight_decay, ppo.aux_loss_scale, ppo.shuffle_every_epoch) == (0.0, 1.0, True)


@tasks
def test_without_a_base_policy_it_acts_by_joint_residuals(registry, cfg, task, tmp_path, monkeypatch):
    """All that is about the latent goes, and everything else stays."""
    monkeypatch.chdir(tmp_path)
    manager = GrailPluginManager().load()
    run = compose(registry, task=task, overrides=["num_envs=4096"], settle=manager.settle_run)
    (warning,) = run.warnings
    assert "models/sonic_manipulation_base" in warning
    assert "`grail checkpoints download --only sonic`" in warning
    assert "`grail run --task motion_base`" in warning
    assert (run.cfg.action.func, run.cfg.action.params) == ("core:joint_residual", {"finger_primitive": "discrete"})
    assert run.cfg.observations == {name: cfg.observations[name] for name in ("policy", "critic")}
    assert run.cfg.rewards == {name: term for name, term in cfg.rewards.items() if name != "full_latent_rate_l2"}
    assert run.cfg.network.params == {k: v for k, v in cfg.network.params.items() if not k.startswith("latent")}
    same = ("scene", "robot", "command", "motion", "terminations", "algorithm", "events", "num_envs", "iterations")
    assert {name: getattr(run.cfg, name) for name in same} == {name: getattr(cfg, name) for name in same}
    check_terms(run.cfg, registry)
