"""What the four tasks observe, in the order that released checkpoints depend on: plain values.

Policy and critic differ between the tasks by the width of `finger_tips_force` alone, 3 numbers per link of the sensor `object_right_hand`.
"""

from __future__ import annotations

from grail_framework.config import ObservationGroupCfg, ObservationTermCfg, UniformNoise


def _term(func: str, *, noise: float | None = None, history: int = 1, **params: object) -> ObservationTermCfg:
    bounds = None if noise is None else UniformNoise(low=-noise, high=noise)
    return ObservationTermCfg(func=func, params=dict(params), noise=bounds, history_length=history)


def policy(*, width: int) -> ObservationGroupCfg:
    """Return what the policy sees: 996 numbers where 8 links feel the object, 984 where 4 do."""
    return ObservationGroupCfg(
        width=width,
        terms={
            "command": _term("core:command"),
            "command_multi_future": _term("core:command_multi_future"),
            "motion_anchor_pos_b": _term("core:motion_anchor_pos_b", noise=0.25),
            "motion_anchor_ori_b_mf": _term("core:motion_anchor_ori_b_mf", noise=0.05),
            "motion_anchor_ori_b": _term("core:motion_anchor_ori_b", noise=0.05),
            "base_lin_vel": _term("core:base_lin_vel", noise=0.5),
            "base_ang_vel": _term("core:base_ang_vel", noise=0.2),
            "joint_pos": _term("core:joint_pos", noise=0.01),
            "joint_vel": _term("core:joint_vel", noise=0.5),
            "actions": _term("core:actions"),
            "target_object_pos": _term("core:target_object_pos"),
            "finger_tips_force": _term("hoi:finger_tips_force", sensor="object_right_hand"),
            "object_pos_delta_multi_future": _term("core:object_pos_delta_multi_future", noise=0.02),
            "object_ori_delta_multi_future_6d": _term("core:object_ori_delta_multi_future_6d", noise=0.02),
            "hand_object_transform_6d": _term("hoi:hand_object_transform_6d"),
            "object_pos_b": _term("core:object_pos_b"),
            "object_ori_b_6d": _term("core:object_ori_b_6d"),
            "table_pos_b": _term("core:table_pos_b"),
            "table_ori_b": _term("core:table_ori_b"),
            "object_bps": _term("core:object_bps"),
        },
    )


def critic(*, width: int) -> ObservationGroupCfg:
    """Return what the critic sees: 1113 numbers where 8 links feel the object, 1101 where 4 do."""
    return ObservationGroupCfg(
        width=width,
        terms={
            "command": _term("core:command"),
            "command_multi_future": _term("core:command_multi_future"),
            "motion_anchor_pos_b": _term("core:motion_anchor_pos_b"),
            "motion_anchor_ori_b": _term("core:motion_anchor_ori_b"),
            "motion_anchor_ori_b_mf": _term("core:motion_anchor_ori_b_mf"),
            "body_pos": _term("core:body_pos"),
            "body_ori": _term("core:body_ori"),
            "base_lin_vel": _term("core:base_lin_vel"),
            "base_ang_vel": _term("core:base_ang_vel"),
            "joint_pos": _term("core:joint_pos"),
            "joint_vel": _term("core:joint_vel"),
            "actions": _term("core:actions"),
            "target_object_pos": _term("core:target_object_pos"),
            "finger_tips_force": _term("hoi:finger_tips_force", sensor="object_right_hand"),
            "object_pos_delta_multi_future": _term("core:object_pos_delta_multi_future"),
            "object_ori_delta_multi_future_6d": _term("core:object_ori_delta_multi_future_6d"),
            "hand_object_transform_6d": _term("hoi:hand_object_transform_6d"),
            "object_pos_b": _term("core:object_pos_b"),
            "object_ori_b_6d": _term("core:object_ori_b_6d"),
            "table_pos_b": _term("core:table_pos_b"),
            "table_ori_b": _term("core:table_ori_b"),
            "grab_contact_flag": _term("hoi:grab_contact_flag"),
        },
    )


def policy_atm() -> ObservationGroupCfg:
    """Return what the decoder of the frozen base policy sees beside its tokens: 10 steps of body joints and gravity."""
    return ObservationGroupCfg(
        width=930,
        terms={
            "base_ang_vel": _term("core:base_ang_vel", history=10),
            "joint_pos_wo_hand": _term("core:joint_pos_wo_hand", history=10),
            "joint_vel_wo_hand": _term("core:joint_vel_wo_hand", history=10),
            "actions_wo_hand": _term("core:actions_wo_hand", history=10),
            "gravity_dir": _term("core:gravity_dir", history=10),
        },
    )


def tokenizer() -> ObservationGroupCfg:
    """Return what the encoders of the frozen base policy see; it slices the vector by the terms' names and widths."""
    return ObservationGroupCfg(
        width=1761,
        terms={
            "encoder_index": _term("core:encoder_index"),
            "command_multi_future_nonflat": _term("core:command_multi_future_nonflat"),
            "command_z_multi_future_nonflat": _term("core:command_z_multi_future_nonflat"),
            "command_z": _term("core:command_z"),
            "motion_anchor_ori_heading_mf_nonflat": _term("core:motion_anchor_ori_heading_mf_nonflat"),
            "motion_anchor_ori_heading": _term("core:motion_anchor_ori_heading"),
            "command_multi_future_lower_body": _term("core:command_multi_future_lower_body"),
            "vr_3point_local_target": _term("core:vr_3point_local_target"),
            "vr_3point_local_orn_target": _term("core:vr_3point_local_orn_target"),
            "smpl_joints_multi_future_local_nonflat": _term("core:smpl_joints_multi_future_local_nonflat"),
            "smpl_root_ori_heading_multi_future": _term("core:smpl_root_ori_heading_multi_future"),
            "joint_pos_multi_future_wrist_for_smpl": _term("core:joint_pos_multi_future_wrist_for_smpl"),
        },
    )
