"""Observations of the universal-token network: the group `tokenizer` that its encoders read, and joints without hands for its decoder.

Names and layouts are those of the GRAIL release, whose networks slice the flat group by term: `nonflat` terms of W frames are given
flat, frame-major. "6D", the current frame and the window are those of `mdp.observations`. Terms of human body models (SMPL) are zeros,
as in the release for motions that have none: no motion format that is read here carries such data.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import torch

from grail_framework.errors import ConfigError
from grail_framework.mdp.observations import command_multi_future, motion_anchor_ori_b_mf
from grail_framework.robots.rotations import quat_apply, quat_apply_inverse, quat_relative, rotation_6d, yaw_quat

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv

ENCODERS: Final = ("g1", "teleop", "smpl")
"""Order of the one-hot vector and of its probabilities."""
LEGS: Final = tuple(
    f"{side}_{joint}_joint"
    for side in ("left", "right")
    for joint in ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
)
"""In depth-first (MuJoCo) order, unlike every other vector of joints."""
WRISTS: Final = tuple(f"{side}_wrist_{axis}_joint" for axis in ("roll", "pitch", "yaw") for side in ("left", "right"))
VR_POINTS: Final = {
    "left_wrist_yaw_link": (0.18, -0.025, 0.0),
    "right_wrist_yaw_link": (0.18, 0.025, 0.0),
    "torso_link": (0.0, 0.0, 0.35),
}
"""The three points that a headset and two controllers would give: offsets in the link's frame. [m]"""
_SMPL_JOINTS: Final = 24


def joint_pos_wo_hand(env: TrackingEnv) -> torch.Tensor:
    """Give the positions of the joints that motions describe minus their default (N, motion joints) [rad]."""
    described = slice(env.robot.num_motion_joints)
    return env.state.joint_pos[:, described] - env.default_joint_pos[:, described]


def joint_vel_wo_hand(env: TrackingEnv) -> torch.Tensor:
    """Give the velocities of the joints that motions describe (N, motion joints) [rad/s]."""
    return env.state.joint_vel[:, : env.robot.num_motion_joints].clone()


def actions_wo_hand(env: TrackingEnv) -> torch.Tensor:
    """Give the last action of the joints that motions describe (N, motion joints), as `actions`."""
    return env.action_term.joint_action[:, : env.robot.num_motion_joints].clone()


class encoder_index:  # noqa: N801 - terms are named as they are written in a config
    """Give which encoder an environment's tokens come from (N, 3), one-hot over g1, teleop, smpl, drawn at every reset.

    Args:
        env: the environment.
        probabilities: shares of g1, teleop and smpl, need not sum to 1; that of smpl counts for nothing, as no motion has its data. [-]

    Raises:
        ConfigError: not three shares, a negative one, or none that is left.
    """

    def __init__(self, env: TrackingEnv, probabilities: tuple[float, ...] = (1.0, 0.0, 0.0)) -> None:
        if len(probabilities) != len(ENCODERS) or min(probabilities) < 0.0 or not sum(probabilities[:2]) > 0.0:
            raise ConfigError(
                f"encoder_index: probabilities={list(probabilities)}; allowed: three numbers of at least 0 for {', '.join(ENCODERS)}, "
                "one of the first two above 0 (smpl needs data that no motion has)"
            )
        g1, teleop, _ = probabilities
        share = g1 / (g1 + teleop)
        # An encoder is taken where the draw from [0, 1) lies between its bounds.
        self._lower = torch.tensor([0.0, share, 1.0], device=env.device)
        self._upper = torch.tensor([share, 1.0, 1.0], device=env.device)
        self._drawn = 0.0 < share < 1.0
        self._one_hot = torch.zeros(env.num_envs, len(ENCODERS), device=env.device)
        self._one_hot[:, 0 if share > 0.0 else 1] = 1.0
        self._generator = env.generator

    def __call__(self, env: TrackingEnv) -> torch.Tensor:
        """Give the one-hot vectors."""
        return self._one_hot.clone()

    def reset(self, mask: torch.Tensor) -> None:
        """Draw anew for the environments of the mask (N,)."""
        if not self._drawn:
            return
        draw = torch.rand(mask.shape, generator=self._generator, device=mask.device).unsqueeze(1)
        one_hot = ((draw >= self._lower) & (draw < self._upper)).float()
        torch.where(mask.unsqueeze(1), one_hot, self._one_hot, out=self._one_hot)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return what was drawn; nothing where there is no choice."""
        return {"one_hot": self._one_hot.clone()} if self._drawn else {}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore what was drawn."""
        if "one_hot" in state:
            self._one_hot.copy_(state["one_hot"])


def command_multi_future_nonflat(env: TrackingEnv) -> torch.Tensor:
    """Give the window's reference joints (N, W * 2 * motion joints) as the numbers of `command_multi_future` in their order.

    The release cuts that vector into W rows, so a row is not one frame's positions and velocities; its checkpoints depend on it.
    """
    return command_multi_future(env)


def command_multi_future_lower_body(env: TrackingEnv) -> torch.Tensor:
    """Give the window's reference legs (N, W * 24): all frames' positions, then all frames' velocities; MuJoCo's joint order."""
    legs = env.joint_ids(LEGS)
    positions, velocities = (joints.index_select(-1, legs) for joints in (env.window.joint_pos, env.window.joint_vel))
    return torch.cat((positions.flatten(1), velocities.flatten(1)), dim=-1)


def command_z_multi_future(env: TrackingEnv) -> torch.Tensor:
    """Give the window's reference heights of the root in the motion's world (N, W) [m]."""
    return env.window.root_pos[..., 2].clone()


def command_z_multi_future_nonflat(env: TrackingEnv) -> torch.Tensor:
    """Give the numbers of `command_z_multi_future` (N, W) [m] under the name that goes with one row per frame."""
    return command_z_multi_future(env)


def motion_anchor_ori_heading(env: TrackingEnv) -> torch.Tensor:
    """Give the reference anchor orientation in the robot's heading frame (N, 6), 6D."""
    return rotation_6d(quat_relative(_heading(env), env.view.ref_anchor_quat_w))


def motion_anchor_ori_heading_mf_nonflat(env: TrackingEnv) -> torch.Tensor:
    """Give the window's root orientations in the robot's heading frame (N, 6 * W), 6D."""
    return rotation_6d(quat_relative(_heading(env).unsqueeze(1), env.window.root_quat)).flatten(1)


def motion_anchor_ori_b_mf_nonflat(env: TrackingEnv) -> torch.Tensor:
    """Give the numbers of `motion_anchor_ori_b_mf` (N, 6 * W) under the name that goes with one row per frame."""
    return motion_anchor_ori_b_mf(env)


def vr_3point_local_target(env: TrackingEnv) -> torch.Tensor:
    """Give the reference's three VR points (left wrist, right wrist, torso) in the reference anchor's frame (N, 9) [m]."""
    links = env.tracked_body_ids(tuple(VR_POINTS))
    quat, pos = (each.index_select(1, links) for each in (env.reference.body_quat_w, env.reference.body_pos_w))
    points = pos + quat_apply(quat, _vr_offsets(env.device)) - env.view.ref_anchor_pos_w.unsqueeze(1)
    return quat_apply_inverse(env.view.ref_anchor_quat_w.unsqueeze(1), points).flatten(1)


def vr_3point_local_orn_target(env: TrackingEnv) -> torch.Tensor:
    """Give the orientations of the links of the three VR points in the reference anchor's frame (N, 12), quaternions wxyz."""
    quat = env.reference.body_quat_w.index_select(1, env.tracked_body_ids(tuple(VR_POINTS)))
    return quat_relative(env.view.ref_anchor_quat_w.unsqueeze(1), quat).flatten(1)


def smpl_joints_multi_future_local_nonflat(env: TrackingEnv, num_frames: int = 10) -> torch.Tensor:
    """Give the window's positions of the human model's joints (N, 72 * num_frames): zeros, as no motion has them.

    Args:
        env: the environment.
        num_frames: length of the window. [frames]
    """
    return torch.zeros(env.num_envs, 3 * _SMPL_JOINTS * num_frames, device=env.device)


def smpl_root_ori_heading_multi_future(env: TrackingEnv, num_frames: int = 10) -> torch.Tensor:
    """Give the window's root orientations of the human model (N, 6 * num_frames): zeros, as no motion has them.

    Args:
        env: the environment.
        num_frames: length of the window. [frames]
    """
    return torch.zeros(env.num_envs, 6 * num_frames, device=env.device)


def joint_pos_multi_future_wrist_for_smpl(env: TrackingEnv, num_frames: int = 10) -> torch.Tensor:
    """Give the reference wrists of successive control steps from the current frame on (N, 6 * num_frames) [rad].

    Args:
        env: the environment.
        num_frames: length of the window; beyond the motion's end its last frame is given. [frames]
    """
    frames = env.command.frame.unsqueeze(1) + torch.arange(num_frames, device=env.device)
    joints = env.motions.joint_pos(env.command.motion_ids, frames)
    return joints.index_select(-1, env.joint_ids(WRISTS)).flatten(1)


def _heading(env: TrackingEnv) -> torch.Tensor:
    """Heading of the robot's anchor (N, 4)."""
    return env.view.shared("anchor_heading", lambda: yaw_quat(env.view.anchor_quat_w))


@cache
def _vr_offsets(device: torch.device) -> torch.Tensor:
    return torch.tensor(list(VR_POINTS.values()), device=device)
