"""Pick up an object from a table with the right hand and put it down again, as the reference does.

Values of the GRAIL release's `pnp_table`.
"""

from __future__ import annotations

from grail_framework.config import (
    ActionCfg,
    CommandCfg,
    ContactGate,
    ContactSensorCfg,
    MotionCfg,
    NetworkCfg,
    ObjectCfg,
    PpoCfg,
    RewardTermCfg,
    RobotCfg,
    RunCfg,
    SceneCfg,
    TableCfg,
    TerminationTermCfg,
)
from grail_hoi.tasks import observations

RIGHT_HAND = (
    "right_hand_palm_link",
    "right_hand_thumb_0_link",
    "right_hand_thumb_1_link",
    "right_hand_thumb_2_link",
    "right_hand_index_0_link",
    "right_hand_index_1_link",
    "right_hand_middle_0_link",
    "right_hand_middle_1_link",
)
RIGHT_WRIST = ("right_wrist_roll_link", "right_wrist_pitch_link", "right_wrist_yaw_link")
FROM_NOTHING = ("~rewards.finger_primitive_limit",)
"""The hands follow the motion, so the term is -0.2 in every step whatever the policy does: together with the noise of a policy that
starts from nothing it makes living dearer than an early end (-0.2 once), and that is what would be learned."""


def pnp_table() -> RunCfg:
    """Return the task's configuration."""
    return RunCfg(
        task="hoi:pnp_table",
        summary="Pick up an object from a table and put it down again",
        project="GRAB_Tracking",
        config_path="manager/universal_token/hoi",
        num_envs=4096,
        iterations=20000,
        robot=RobotCfg(name="g1_43dof"),
        scene=SceneCfg(
            object=ObjectCfg(dynamic=True, mass=0.1),
            table=TableCfg(size=(2.0, 0.6, 0.04)),
            contact_sensors={
                "object_right_hand": ContactSensorCfg(links=RIGHT_HAND, partner="object"),
                "table_right_hand": ContactSensorCfg(links=(*RIGHT_WRIST, *RIGHT_HAND), partner="table"),
                # Everything but feet and hands, which are meant to touch.
                "body": ContactSensorCfg(links=(r"(?!.*(ankle_roll|hand)).*",), partner="any"),
            },
        ),
        motion=MotionCfg(shard_by_rank=True),
        command=CommandCfg(
            num_future_frames=10,
            dt_future_ref_frames=0.1,
            sample_from_n_initial_frames=30,  # has no effect while sample_before_contact is on, as in the release
            sample_before_contact=True,
            sample_before_contact_margin=10,
            use_motion_hand_actions=True,
        ),
        action=ActionCfg(
            func="hoi:latent_residual",
            params={
                "mode": "pre_quantization",
                "scale": 0.1,
                "finger_primitive": "discrete",
                "base_checkpoint": None,  # models/sonic_manipulation_base
                "base_config": None,
            },
        ),
        observations={
            "policy": observations.policy(width=996),
            "critic": observations.critic(width=1113),
            "policy_atm": observations.policy_atm(),
            "tokenizer": observations.tokenizer(),
        },
        rewards=_rewards(),
        terminations=_terminations(),
        network=NetworkCfg(
            func="core:mlp",
            params={
                "actor_hidden_dims": (512, 256, 128),
                "critic_hidden_dims": (512, 256, 128),
                "activation": "silu",
                "latent_l2_coef": 0.1,
                "latent_dim": 64,
            },
        ),
        algorithm=PpoCfg(),
        presets={"laptop": FROM_NOTHING, "scratch": FROM_NOTHING},
    )


def _rewards() -> dict[str, RewardTermCfg]:
    return {
        "tracking_anchor_pos": RewardTermCfg(func="core:tracking_anchor_pos", weight=0.5, params={"std": 0.3}),
        "tracking_anchor_ori": RewardTermCfg(func="core:tracking_anchor_ori", weight=2.5, params={"std": 0.4}),
        "tracking_relative_body_pos": RewardTermCfg(func="core:tracking_relative_body_pos", weight=1.0, params={"std": 0.3}),
        "tracking_relative_body_ori": RewardTermCfg(func="core:tracking_relative_body_ori", weight=5.0, params={"std": 0.4}),
        "tracking_body_linvel": RewardTermCfg(func="core:tracking_body_linvel", weight=1.0, params={"std": 1.0}),
        "tracking_body_angvel": RewardTermCfg(func="core:tracking_body_angvel", weight=1.0, params={"std": 3.14}),
        "undesired_contacts": RewardTermCfg(
            func="core:undesired_contacts", weight=-0.1, params={"sensor": "body", "threshold": 1.0}
        ),
        "grasp_right": RewardTermCfg(
            func="rewards:grasp",
            weight=40.0,
            params={"sensor": "object_right_hand", "force_threshold": 0.1, "min_contacts": 8},
            gate=ContactGate(hand="right", missing="error"),
        ),
        "finger_direction_right": RewardTermCfg(
            func="rewards:finger_direction",
            weight=10.0,
            params={"hand": "right", "use_contact_center": True},
            gate=ContactGate(hand="right", missing="ones"),
        ),
        "object_tracking": RewardTermCfg(
            func="rewards:object_tracking",
            weight=20.0,
            params={"sensor": "object_right_hand", "w_op": 0.5, "w_or": 0.0, "force_threshold": 1.0},
        ),
        "finger_primitive_limit": RewardTermCfg(func="rewards:finger_primitive_limit", weight=-10.0),
        "meta_action_rate_l2": RewardTermCfg(func="rewards:meta_action_rate_l2", weight=-0.1),
        "full_latent_rate_l2": RewardTermCfg(func="rewards:full_latent_rate_l2", weight=-0.01),
        "is_terminated": RewardTermCfg(func="core:is_terminated", weight=-10.0),
        "hand_table_contact_penalty": RewardTermCfg(
            func="rewards:hand_table_contact_penalty", weight=-1.0, params={"sensor": "table_right_hand", "max_force": 1.0}
        ),
        "approach_velocity_penalty": RewardTermCfg(
            func="rewards:approach_velocity_penalty", weight=-15.0, params={"hand": "right", "disable_after_contact": False}
        ),
        "upright_penalty": RewardTermCfg(
            func="rewards:upright_penalty", weight=0.0, params={"bodies": ("pelvis", "torso_link")}
        ),
    }


def _terminations() -> dict[str, TerminationTermCfg]:
    return {
        "anchor_pos": TerminationTermCfg(func="core:anchor_pos", params={"threshold": 0.25}),
        "anchor_ori": TerminationTermCfg(func="core:anchor_ori", params={"threshold": 1.0}),
        "ee_body_pos": TerminationTermCfg(func="core:ee_body_pos", params={"threshold": 0.25}),
        "object_pos_deviation": TerminationTermCfg(func="core:object_pos_deviation", params={"threshold": 0.1}),
        "hand_table_contact_termination": TerminationTermCfg(
            func="hoi:hand_table_contact_termination", params={"sensor": "table_right_hand", "threshold": 1.0}
        ),
        "tracking_time_out": TerminationTermCfg(func="core:tracking_time_out", time_out=True),
    }
