"""The values of pnp_table and pnp_ground against the release's, written down once more as literal tables."""

import pytest

from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.term_check import check_terms

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
WIDTHS = {"pnp_table": (996, 1113, 24), "pnp_ground": (984, 1101, 12)}

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
        "is_terminated": (-10.0, {}, None),
        "hand_table_contact_penalty": (-1.0, {"sensor": "table_right_hand", "max_force": 1.0}, None),
        "approach_velocity_penalty": (-15.0, {"hand": "right", "disable_after_contact": False}, None),
        "upright_penalty": (0.0, {"bodies": ("pelvis", "torso_link")}, None),
    },
    "pnp_ground": TRACKING
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
FINGERS = ("thumb_2", "index_1", "middle_1", "palm")
WHOLE_HAND = ("palm", "thumb_0", "thumb_1", "thumb_2", "index_0", "index_1", "middle_0", "middle_1")

tasks = pytest.mark.parametrize("task", ["pnp_table", "pnp_ground"])


@pytest.fixture(scope="module")
def registry():
    return GrailPluginManager().load().registry


@pytest.fixture
def cfg(registry, task):
    return registry.find("task", f"hoi:{task}").load()()


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
    assert (cfg.scene.object.dynamic, cfg.scene.object.mass, cfg.scene.object.density) == (True, 0.1, None)
    assert (cfg.scene.table.size if cfg.scene.table else None) == ((2.0, 0.6, 0.04) if task == "pnp_table" else None)
    assert (cfg.scene.env_spacing, cfg.scene.ground_friction) == (10.0, 1.0)
    assert (cfg.engine.physics_dt, cfg.engine.decimation, cfg.motion.target_fps) == (0.005, 4, 50.0)
    sensors = {name: (sensor.links, sensor.partner) for name, sensor in cfg.scene.contact_sensors.items()}
    body = ((r"(?!.*(ankle_roll|hand)).*",), "any")
    if task == "pnp_ground":
        fingers = {side: tuple(f"{side}_hand_{link}_link" for link in FINGERS) for side in ("right", "left")}
        assert sensors == {RIGHT: (fingers["right"], "object"), LEFT: (fingers["left"], "object"), "body": body}
        return
    hand = tuple(f"right_hand_{link}_link" for link in WHOLE_HAND)
    wrist = tuple(f"right_wrist_{axis}_link" for axis in ("roll", "pitch", "yaw"))
    assert sensors == {RIGHT: (hand, "object"), "table_right_hand": ((*wrist, *hand), "table"), "body": body}


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
    assert (cfg.action.func, cfg.action.params) == ("core:joint_residual", {"finger_primitive": "discrete"})
    assert (cfg.num_envs, cfg.iterations, cfg.project) == (4096, 20000, "GRAB_Tracking")
    assert cfg.config_path == "manager/universal_token/hoi"
    assert (cfg.events, cfg.curriculums) == ({}, {})
    assert cfg.safe_nan


@tasks
def test_algorithm_is_that_of_the_release(cfg, task):
    ppo = cfg.algorithm
    assert (ppo.num_steps_per_env, ppo.num_learning_epochs, ppo.num_mini_batches) == (24, 5, 4)
    assert (ppo.clip_param, ppo.gamma, ppo.lam, ppo.value_loss_coef, ppo.entropy_coef) == (0.2, 0.99, 0.95, 1.0, 0.01)
    assert (ppo.desired_kl, ppo.learning_rate, ppo.min_learning_rate, ppo.max_learning_rate) == (0.01, 2e-5, 1e-5, 2e-4)
    assert (ppo.max_grad_norm, ppo.init_noise_std, ppo.schedule, ppo.use_clipped_value_loss) == (0.1, 0.05, "adaptive", True)


def test_the_summary_says_what_is_left_out(registry):
    assert "full_latent_rate_l2 is left out" in registry.find("task", "hoi:pnp_table").load()().summary
