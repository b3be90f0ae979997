"""The core's observation terms, by name: what each one gives."""

from __future__ import annotations

from typing import Final

OBSERVATIONS: Final[dict[str, tuple[str, str]]] = {
    "command": ("grail_framework.mdp.observations:command", "Current reference joint positions and velocities"),
    "command_multi_future": ("grail_framework.mdp.observations:command_multi_future", "Window's reference joints"),
    "command_z": ("grail_framework.mdp.observations:command_z", "Reference height of the root in the motion's world"),
    "motion_anchor_pos_b": (
        "grail_framework.mdp.observations:motion_anchor_pos_b",
        "Reference anchor position in the robot's anchor frame",
    ),
    "motion_anchor_ori_b": (
        "grail_framework.mdp.observations:motion_anchor_ori_b",
        "Reference anchor orientation in the robot's anchor frame",
    ),
    "motion_anchor_ori_b_mf": (
        "grail_framework.mdp.observations:motion_anchor_ori_b_mf",
        "Window's root orientations in the robot's anchor frame",
    ),
    "body_pos": ("grail_framework.mdp.observations:body_pos", "Tracked bodies' positions in the robot's anchor frame"),
    "body_ori": (
        "grail_framework.mdp.observations:body_ori",
        "Tracked bodies' orientations in the robot's anchor frame",
    ),
    "base_lin_vel": (
        "grail_framework.mdp.observations:base_lin_vel",
        "Linear velocity of the root's centre of mass in the root frame",
    ),
    "base_ang_vel": ("grail_framework.mdp.observations:base_ang_vel", "Root's angular velocity in the root frame"),
    "gravity_dir": ("grail_framework.mdp.observations:gravity_dir", "Direction of gravity in the root frame"),
    "joint_pos": ("grail_framework.mdp.observations:joint_pos", "Joint positions minus their default"),
    "joint_vel": ("grail_framework.mdp.observations:joint_vel", "Joint velocities"),
    "actions": ("grail_framework.mdp.observations:actions", "Last joint action"),
    "joint_pos_wo_hand": (
        "grail_framework.mdp.token_observations:joint_pos_wo_hand",
        "Joint positions minus their default, hands left out",
    ),
    "joint_vel_wo_hand": ("grail_framework.mdp.token_observations:joint_vel_wo_hand", "Joint velocities, hands left out"),
    "actions_wo_hand": ("grail_framework.mdp.token_observations:actions_wo_hand", "Last joint action, hands left out"),
    "encoder_index": (
        "grail_framework.mdp.token_observations:encoder_index",
        "Which encoder an environment's tokens come from, one-hot",
    ),
    "command_multi_future_nonflat": (
        "grail_framework.mdp.token_observations:command_multi_future_nonflat",
        "Window's reference joints, for one row per frame",
    ),
    "command_multi_future_lower_body": (
        "grail_framework.mdp.token_observations:command_multi_future_lower_body",
        "Window's reference legs",
    ),
    "command_z_multi_future": (
        "grail_framework.mdp.token_observations:command_z_multi_future",
        "Window's reference heights of the root",
    ),
    "command_z_multi_future_nonflat": (
        "grail_framework.mdp.token_observations:command_z_multi_future_nonflat",
        "Window's reference heights of the root, for one row per frame",
    ),
    "motion_anchor_ori_heading": (
        "grail_framework.mdp.token_observations:motion_anchor_ori_heading",
        "Reference anchor orientation in the robot's heading frame",
    ),
    "motion_anchor_ori_heading_mf_nonflat": (
        "grail_framework.mdp.token_observations:motion_anchor_ori_heading_mf_nonflat",
        "Window's root orientations in the robot's heading frame",
    ),
    "motion_anchor_ori_b_mf_nonflat": (
        "grail_framework.mdp.token_observations:motion_anchor_ori_b_mf_nonflat",
        "Window's root orientations in the robot's anchor frame, for one row per frame",
    ),
    "vr_3point_local_target": (
        "grail_framework.mdp.token_observations:vr_3point_local_target",
        "Reference's wrist and torso points in the reference anchor's frame",
    ),
    "vr_3point_local_orn_target": (
        "grail_framework.mdp.token_observations:vr_3point_local_orn_target",
        "Orientations of the links of the three points in the reference anchor's frame",
    ),
    "smpl_joints_multi_future_local_nonflat": (
        "grail_framework.mdp.token_observations:smpl_joints_multi_future_local_nonflat",
        "Human model's joints in the window: zeros",
    ),
    "smpl_root_ori_heading_multi_future": (
        "grail_framework.mdp.token_observations:smpl_root_ori_heading_multi_future",
        "Human model's root orientations in the window: zeros",
    ),
    "joint_pos_multi_future_wrist_for_smpl": (
        "grail_framework.mdp.token_observations:joint_pos_multi_future_wrist_for_smpl",
        "Reference wrists of successive control steps",
    ),
    "target_object_pos": (
        "grail_framework.mdp.object_observations:target_object_pos",
        "Simulated object's position in the robot frame",
    ),
    "object_pos_delta_multi_future": (
        "grail_framework.mdp.object_observations:object_pos_delta_multi_future",
        "Window's reference object positions minus the simulated one, in the robot frame",
    ),
    "object_ori_delta_multi_future_6d": (
        "grail_framework.mdp.object_observations:object_ori_delta_multi_future_6d",
        "Window's reference object orientations in the simulated object's frame",
    ),
    "object_pos_b": (
        "grail_framework.mdp.object_observations:object_pos_b",
        "Reference object position in the robot frame",
    ),
    "object_ori_b_6d": (
        "grail_framework.mdp.object_observations:object_ori_b_6d",
        "Reference object orientation in the robot frame",
    ),
    "table_pos_b": ("grail_framework.mdp.object_observations:table_pos_b", "Table's position in the robot frame"),
    "table_ori_b": ("grail_framework.mdp.object_observations:table_ori_b", "Table's orientation in the robot frame"),
    "object_bps": ("grail_framework.mdp.object_observations:object_bps", "Object's basis point set code"),
}
"""Name -> (target, summary)."""
