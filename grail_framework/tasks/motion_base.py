"""Train one's own base policy: `motion_tracking` by a universal-token network, whose decoder then acts for hand-object tasks.

A run leaves `bundle/` in its run directory, for `action.params.base_checkpoint` of the tasks whose action is a latent residual. So the
groups `policy` and `tokenizer` and the action have the layout of the GRAIL release's frozen base: 29 joint actions about the default
pose, hands held open. Widths of the networks are the release's.
"""

from __future__ import annotations

import attrs

from grail_framework.config import (
    ActionCfg,
    NetworkCfg,
    ObservationGroupCfg,
    ObservationTermCfg,
    RunCfg,
    UniformNoise,
)
from grail_framework.tasks.motion_tracking import motion_tracking


def motion_base() -> RunCfg:
    """Return the task's configuration: scene, critic, rewards, terminations and PPO of `motion_tracking`."""
    tracking = motion_tracking()
    return attrs.evolve(
        tracking,
        task="core:motion_base",
        summary="Train a base policy of tokens, to be frozen under other tasks",
        config_path="manager/universal_token/motion_base",
        action=ActionCfg(func="core:joint_position"),
        observations={"policy": _policy(), "tokenizer": _tokenizer(), "critic": tracking.observations["critic"]},
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
                # Ours: a residual on a latent at the end of the quantiser's range would change nothing.
                "range_coef": 0.1,
            },
        ),
    )


def _term(func: str, *, noise: float | None = None, history: int = 1) -> ObservationTermCfg:
    bounds = None if noise is None else UniformNoise(low=-noise, high=noise)
    return ObservationTermCfg(func=f"core:{func}", noise=bounds, history_length=history)


def _policy() -> ObservationGroupCfg:
    return ObservationGroupCfg(
        width=930,
        terms={
            "base_ang_vel": _term("base_ang_vel", noise=0.2, history=10),
            "joint_pos_wo_hand": _term("joint_pos_wo_hand", noise=0.01, history=10),
            "joint_vel_wo_hand": _term("joint_vel_wo_hand", noise=0.5, history=10),
            "actions_wo_hand": _term("actions_wo_hand", history=10),
            "gravity_dir": _term("gravity_dir", history=10),
        },
    )


def _tokenizer() -> ObservationGroupCfg:
    return ObservationGroupCfg(
        width=1761,
        terms={
            "encoder_index": _term("encoder_index"),
            "command_multi_future_nonflat": _term("command_multi_future_nonflat"),
            "command_z_multi_future_nonflat": _term("command_z_multi_future_nonflat"),
            "command_z": _term("command_z"),
            "motion_anchor_ori_heading_mf_nonflat": _term("motion_anchor_ori_heading_mf_nonflat", noise=0.05),
            "motion_anchor_ori_heading": _term("motion_anchor_ori_heading", noise=0.05),
            "command_multi_future_lower_body": _term("command_multi_future_lower_body"),
            "vr_3point_local_target": _term("vr_3point_local_target"),
            "vr_3point_local_orn_target": _term("vr_3point_local_orn_target"),
            "smpl_joints_multi_future_local_nonflat": _term("smpl_joints_multi_future_local_nonflat"),
            "smpl_root_ori_heading_multi_future": _term("smpl_root_ori_heading_multi_future"),
            "joint_pos_multi_future_wrist_for_smpl": _term("joint_pos_multi_future_wrist_for_smpl"),
        },
    )
