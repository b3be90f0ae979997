"""Follow a robot motion: locomotion, gestures, and the way to train one's own base policy. No object."""

from __future__ import annotations

from grail_framework.config import (
    ActionCfg,
    CommandCfg,
    ContactSensorCfg,
    NetworkCfg,
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


def _term(func: str, *, noise: float | None = None) -> ObservationTermCfg:
    bounds = None if noise is None else UniformNoise(low=-noise, high=noise)
    return ObservationTermCfg(func=f"core:{func}", noise=bounds)


def motion_tracking() -> RunCfg:
    """Return the task's configuration: tracking terms of the GRAIL release, joint residuals about the reference."""
    return RunCfg(
        task="core:motion_tracking",
        summary="Follow a robot motion, without any object",
        project="GRAIL",
        config_path="manager/motion_tracking",
        num_envs=4096,
        iterations=20000,
        robot=RobotCfg(name="g1_43dof"),
        scene=SceneCfg(
            contact_sensors={"body": ContactSensorCfg(links=(r"(?!.*(ankle_roll|hand)).*",), partner="any")},
        ),
        command=CommandCfg(num_future_frames=10, dt_future_ref_frames=0.1),
        action=ActionCfg(func="core:joint_residual"),
        observations={"policy": _policy(), "critic": _critic()},
        rewards={
            "tracking_anchor_pos": RewardTermCfg(func="core:tracking_anchor_pos", weight=0.5, params={"std": 0.3}),
            "tracking_anchor_ori": RewardTermCfg(func="core:tracking_anchor_ori", weight=0.5, params={"std": 0.4}),
            "tracking_relative_body_pos": RewardTermCfg(
                func="core:tracking_relative_body_pos", weight=1.0, params={"std": 0.3}
            ),
            "tracking_relative_body_ori": RewardTermCfg(
                func="core:tracking_relative_body_ori", weight=1.0, params={"std": 0.4}
            ),
            "tracking_body_linvel": RewardTermCfg(func="core:tracking_body_linvel", weight=1.0, params={"std": 1.0}),
            "tracking_body_angvel": RewardTermCfg(func="core:tracking_body_angvel", weight=1.0, params={"std": 3.14}),
            "undesired_contacts": RewardTermCfg(
                func="core:undesired_contacts", weight=-0.1, params={"sensor": "body", "threshold": 1.0}
            ),
        },
        terminations={
            "anchor_pos": TerminationTermCfg(func="core:anchor_pos", params={"threshold": 0.25}),
            "anchor_ori": TerminationTermCfg(func="core:anchor_ori", params={"threshold": 1.0}),
            "ee_body_pos": TerminationTermCfg(func="core:ee_body_pos", params={"threshold": 0.25}),
            "tracking_time_out": TerminationTermCfg(func="core:tracking_time_out", time_out=True),
        },
        network=NetworkCfg(
            func="core:mlp",
            params={"actor_hidden_dims": (512, 256, 128), "critic_hidden_dims": (512, 256, 128), "activation": "silu"},
        ),
        algorithm=PpoCfg(),
    )


def _policy() -> ObservationGroupCfg:
    return ObservationGroupCfg(
        terms={
            "command": _term("command"),
            "command_multi_future": _term("command_multi_future"),
            "motion_anchor_pos_b": _term("motion_anchor_pos_b", noise=0.25),
            "motion_anchor_ori_b_mf": _term("motion_anchor_ori_b_mf", noise=0.05),
            "base_lin_vel": _term("base_lin_vel", noise=0.5),
            "base_ang_vel": _term("base_ang_vel", noise=0.2),
            "joint_pos": _term("joint_pos", noise=0.01),
            "joint_vel": _term("joint_vel", noise=0.5),
            "actions": _term("actions"),
        },
    )


def _critic() -> ObservationGroupCfg:
    names = (
        "command",
        "command_multi_future",
        "motion_anchor_pos_b",
        "motion_anchor_ori_b_mf",
        "body_pos",
        "body_ori",
        "base_lin_vel",
        "base_ang_vel",
        "joint_pos",
        "joint_vel",
        "actions",
    )
    return ObservationGroupCfg(terms={name: _term(name) for name in names})
