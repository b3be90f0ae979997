"""Follow a motion over the terrain it was made for: stairs, curbs, slopes, chairs. Values of the GRAIL release's `terrain_tracking`.

The terrain is the scene's object, which stands still. The actor is the universal-token network, trained whole; its encoder sees the
ground ahead in a height map. The release also mixes upper bodies of other motions into those whose names begin with a listed prefix;
that is not here, and no motion of stairs, curbs, slopes or chairs has such a name.
"""

from __future__ import annotations

from grail_framework.config import (
    ActionCfg,
    CommandCfg,
    ContactSensorCfg,
    NetworkCfg,
    ObjectCfg,
    ObservationGroupCfg,
    ObservationTermCfg,
    PpoCfg,
    RewardTermCfg,
    RobotCfg,
    RunCfg,
    SceneCfg,
    TerminationTermCfg,
    UniformNoise,
)
from grail_terrain.config import TerrainCfg


def terrain_tracking() -> RunCfg:
    """Return the task's configuration."""
    return RunCfg(
        task="terrain:terrain_tracking",
        summary="Walk over stairs, curbs and slopes as the reference does",
        project="TRL_G1_Track",
        config_path="manager/universal_token/scene",
        num_envs=4096,
        iterations=30000,
        robot=RobotCfg(name="g1_29dof"),
        scene=SceneCfg(
            object=ObjectCfg(dynamic=False),
            contact_sensors={
                # Everything but feet and forearms, which are meant to touch.
                "body": ContactSensorCfg(links=(r"(?!.*(ankle_roll|wrist_yaw|elbow)).*",), partner="any"),
            },
        ),
        command=CommandCfg(num_future_frames=10, dt_future_ref_frames=0.1, init_z_offset=0.05),
        action=ActionCfg(func="core:joint_position"),
        observations={"policy": _policy(), "critic": _critic(), "tokenizer": _tokenizer()},
        rewards=_rewards(),
        terminations=_terminations(),
        network=NetworkCfg(
            func="core:universal_token",
            params={
                "encoders": ("g1",),
                "encoder_hidden_dims": (2048, 1024, 512, 512),
                "dyn_hidden_dims": (2048, 2048, 1024, 1024, 512, 512),
                "kin_hidden_dims": (2048, 1024, 512, 512),
                "critic_hidden_dims": (2048, 2048, 1024, 1024, 512, 512),
                "activation": "silu",
                "normalize_critic": True,
                "recon_coef": 0.01,
            },
        ),
        algorithm=PpoCfg(),
        extra={"terrain": TerrainCfg()},
    )


def _term(func: str, *, noise: float | None = None, history: int = 1, **params: object) -> ObservationTermCfg:
    bounds = None if noise is None else UniformNoise(low=-noise, high=noise)
    return ObservationTermCfg(func=func, params=dict(params), noise=bounds, history_length=history)


def _policy() -> ObservationGroupCfg:
    return ObservationGroupCfg(
        width=1029,
        terms={
            "base_ang_vel": _term("core:base_ang_vel", noise=0.2, history=10),
            "joint_pos": _term("core:joint_pos", noise=0.01, history=10),
            "joint_vel": _term("core:joint_vel", noise=0.5, history=10),
            "actions": _term("core:actions", history=10),
            "gravity_dir": _term("core:gravity_dir", history=10),
            "object_pos_delta_multi_future": _term("core:object_pos_delta_multi_future", noise=0.02),
            "object_ori_delta_multi_future_6d": _term("core:object_ori_delta_multi_future_6d", noise=0.02),
            "object_pos_b": _term("core:object_pos_b"),
            "object_ori_b_6d": _term("core:object_ori_b_6d"),
        },
    )


def _critic() -> ObservationGroupCfg:
    return ObservationGroupCfg(
        width=1744,
        terms={
            "command_multi_future": _term("core:command_multi_future"),
            "motion_anchor_pos_b": _term("core:motion_anchor_pos_b"),
            "motion_anchor_ori_b": _term("core:motion_anchor_ori_b"),
            "body_pos": _term("core:body_pos"),
            "body_ori": _term("core:body_ori"),
            "base_lin_vel": _term("core:base_lin_vel", history=10),
            "base_ang_vel": _term("core:base_ang_vel", history=10),
            "joint_pos": _term("core:joint_pos", history=10),
            "joint_vel": _term("core:joint_vel", history=10),
            "actions": _term("core:actions", history=10),
            "object_pos_delta_multi_future": _term("core:object_pos_delta_multi_future"),
            "object_ori_delta_multi_future_6d": _term("core:object_ori_delta_multi_future_6d"),
            "object_pos_b": _term("core:object_pos_b"),
            "object_ori_b_6d": _term("core:object_ori_b_6d"),
        },
    )


def _tokenizer() -> ObservationGroupCfg:
    return ObservationGroupCfg(
        width=774,
        terms={
            # Drawn as in the release, and without effect as there: the network has the first encoder alone.
            "encoder_index": _term("core:encoder_index", probabilities=(1.0, 1.0, 1.0)),
            "command_multi_future_nonflat": _term("core:command_multi_future_nonflat"),
            "command_z_multi_future": _term("core:command_z_multi_future"),
            "motion_anchor_ori_b_mf_nonflat": _term("core:motion_anchor_ori_b_mf_nonflat", noise=0.05),
            "height_map_z_flat": _term("terrain:height_map_z_flat", size=1.5, resolution=0.15, max_distance=5.0),
        },
    )


def _rewards() -> dict[str, RewardTermCfg]:
    return {
        "tracking_anchor_pos": RewardTermCfg(func="core:tracking_anchor_pos", weight=0.5, params={"std": 0.3}),
        "tracking_anchor_ori": RewardTermCfg(func="core:tracking_anchor_ori", weight=0.5, params={"std": 0.4}),
        "tracking_relative_body_pos": RewardTermCfg(func="core:tracking_relative_body_pos", weight=1.0, params={"std": 0.3}),
        "tracking_relative_body_ori": RewardTermCfg(func="core:tracking_relative_body_ori", weight=1.0, params={"std": 0.4}),
        "tracking_body_linvel": RewardTermCfg(func="core:tracking_body_linvel", weight=1.0, params={"std": 1.0}),
        "tracking_body_angvel": RewardTermCfg(func="core:tracking_body_angvel", weight=1.0, params={"std": 3.14}),
        "undesired_contacts": RewardTermCfg(
            func="core:undesired_contacts", weight=-0.1, params={"sensor": "body", "threshold": 1.0}
        ),
        "action_rate_l2": RewardTermCfg(func="rewards:action_rate_l2", weight=-0.1),
        "joint_limit": RewardTermCfg(func="rewards:joint_limit", weight=-10.0),
        "anti_shake_ang_vel": RewardTermCfg(
            func="rewards:anti_shake_ang_vel",
            weight=-5e-3,
            params={"bodies": ("left_wrist_yaw_link", "right_wrist_yaw_link"), "threshold": 1.5},
        ),
        "tracking_vr_5point_local": RewardTermCfg(func="rewards:tracking_vr_5point_local", weight=2.0, params={"std": 0.1}),
        "feet_acc": RewardTermCfg(func="rewards:feet_acc", weight=-2.5e-7),
    }


def _terminations() -> dict[str, TerminationTermCfg]:
    low = {"down_threshold": 0.75, "root_height_threshold": 0.5}
    return {
        "anchor_pos": TerminationTermCfg(func="core:anchor_pos_adaptive", params={"threshold": 0.15, **low}),
        "anchor_ori": TerminationTermCfg(func="core:anchor_ori", params={"threshold": 0.2}),
        "ee_body_pos": TerminationTermCfg(func="core:ee_body_pos_adaptive", params={"threshold": 0.15, **low}),
        "foot_pos_xyz": TerminationTermCfg(func="core:foot_pos_xyz", params={"threshold": 0.2}),
        "tracking_time_out": TerminationTermCfg(func="core:tracking_time_out", time_out=True),
    }
