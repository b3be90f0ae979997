"""Handle a heavier object that stands on a table, as the reference does. Values of the GRAIL release's `advanced_manip_table`.

The release reads a table's size from the motions only where it is given a single object, so with a folder of objects every table is
1.0 x 0.6 x 0.04 m, whatever the motions' own files say.
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

RIGHT_FINGERS = (
    "right_hand_thumb_2_link",
    "right_hand_index_1_link",
    "right_hand_middle_1_link",
    "right_hand_palm_link",
)
LEFT_FINGERS = tuple(name.replace("right", "left") for name in RIGHT_FINGERS)
RIGHT_HAND_AND_WRIST = (
    "right_wrist_roll_link",
    "right_wrist_pitch_link",
    "right_wrist_yaw_link",
    "right_hand_palm_link",
    "right_hand_thumb_0_link",
    "right_hand_thumb_1_link",
    "right_hand_thumb_2_link",
    "right_hand_index_0_link",
    "right_hand_index_1_link",
    "right_hand_middle_0_link",
    "right_hand_middle_1_link",
)


def advanced_manip_table() -> RunCfg:
    """Return the task's configuration."""
    return RunCfg(
        task="hoi:advanced_manip_table",
        summary="Lift, turn and set down a heavier object on a table",
        project="GRAB_Tracking",
        config_path="manager/universal_token/hoi",
        num_envs=4096,
        iterations=20000,
        robot=RobotCfg(name="g1_43dof"),
        scene=SceneCfg(
            object=ObjectCfg(dynamic=True, mass=None, density=300.0),
            table=TableCfg(size=(1.0, 0.6, 0.04)),
            contact_sensors={
                "object_right_hand": ContactSensorCfg(links=RIGHT_FINGERS, partner="object"),
                "object_left_hand": ContactSensorCfg(links=LEFT_FINGERS, partner="object"),
                "table_right_hand": ContactSensorCfg(links=RIGHT_HAND_AND_WRIST, partner="table"),
                # Everything but feet and hands, which are meant to touch.
                "body": ContactSensorCfg(links=(r"(?!.*(ankle_roll|hand)).*",), partner="any"),
            },
        ),
        motion=MotionCfg(shard_by_rank=True),
        command=CommandCfg(
            num_future_frames=10,
            dt_future_ref_frames=0.1,
            sample_before_contact=True,
            sample_before_contact_margin=10,
            use_motion_hand_actions=False,
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
            "policy": observations.policy(width=984),
            "critic": observations.critic(width=1101),
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
    )


def _rewards() -> dict[str, RewardTermCfg]:
    right, left = ContactGate(hand="right", missing="ones"), ContactGate(hand="left", missing="ones")
    return {
        "tracking_anchor_pos": RewardTermCfg(func="core:tracking_anchor_pos", weight=0.5, params={"std": 0.3}),
        "tracking_anchor_ori": RewardTermCfg(func="core:tracking_anchor_ori", weight=2.5, params={"std": 0.4}),
        "tracking_relative_body_pos": RewardTermCfg(func="core:tracking_relative_body_pos", weight=1.0, params={"std": 0.3}),
        "tracking_relative_body_ori_weighted": RewardTermCfg(
            func="core:tracking_relative_body_ori_weighted",
            weight=5.0,
            params={"std": 0.4, "body_weights": {"left_wrist_yaw_link": 1.0, "right_wrist_yaw_link": 1.0}},
        ),
        "tracking_body_linvel": RewardTermCfg(func="core:tracking_body_linvel", weight=1.0, params={"std": 1.0}),
        "tracking_body_angvel": RewardTermCfg(func="core:tracking_body_angvel", weight=1.0, params={"std": 3.14}),
        "undesired_contacts": RewardTermCfg(
            func="core:undesired_contacts", weight=-0.1, params={"sensor": "body", "threshold": 1.0}
        ),
        "grasp_right": RewardTermCfg(
            func="rewards:grasp",
            weight=40.0,
            params={"sensor": "object_right_hand", "force_threshold": 0.1, "min_contacts": 3},
        ),
        "grasp_left": RewardTermCfg(
            func="rewards:grasp",
            weight=20.0,
            params={"sensor": "object_left_hand", "force_threshold": 0.1, "min_contacts": 3},
        ),
        "finger_direction_right": RewardTermCfg(
            func="rewards:finger_direction", weight=10.0, params={"hand": "right", "use_contact_center": False}, gate=right
        ),
        "finger_direction_left": RewardTermCfg(
            func="rewards:finger_direction", weight=5.0, params={"hand": "left", "use_contact_center": False}, gate=left
        ),
        "contact_center_right": RewardTermCfg(func="rewards:contact_center", weight=0.1, params={"hand": "right"}, gate=right),
        "contact_center_left": RewardTermCfg(func="rewards:contact_center", weight=0.05, params={"hand": "left"}, gate=left),
        "object_tracking": RewardTermCfg(
            func="rewards:object_tracking",
            weight=20.0,
            params={"sensor": "object_right_hand", "w_op": 0.5, "w_or": 0.3, "force_threshold": 1.0},
        ),
        "finger_primitive_limit": RewardTermCfg(func="rewards:finger_primitive_limit", weight=-10.0),
        "hand_table_contact_penalty": RewardTermCfg(
            func="rewards:hand_table_contact_penalty", weight=-0.5, params={"sensor": "table_right_hand", "max_force": 1.0}
        ),
    }


def _terminations() -> dict[str, TerminationTermCfg]:
    return {
        "anchor_pos": TerminationTermCfg(func="core:anchor_pos", params={"threshold": 0.25}),
        "anchor_ori": TerminationTermCfg(func="core:anchor_ori", params={"threshold": 1.0}),
        "ee_body_pos": TerminationTermCfg(func="core:ee_body_pos", params={"threshold": 0.25}),
        "object_pos_deviation": TerminationTermCfg(func="core:object_pos_deviation", params={"threshold": 0.25}),
        "object_z_pos_deviation": TerminationTermCfg(func="core:object_z_pos_deviation", params={"threshold": 0.3}),
        "grasp_failure_after_contact": TerminationTermCfg(
            func="hoi:grasp_failure_after_contact",
            params={
                "sensor": "object_right_hand",
                "hand": "right",
                "force_threshold": 0.1,
                "min_contacts": 3,
                "grace_steps": 50,
            },
        ),
        "tracking_time_out": TerminationTermCfg(func="core:tracking_time_out", time_out=True),
    }
