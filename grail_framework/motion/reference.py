"""What a motion library returns: one frame, or a window of frames, of N motions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import torch


@attrs.frozen(kw_only=True, eq=False)
class ReferenceFrame:
    """One frame of N motions, world frame of the motion; J motion joints and B tracked bodies in the robot's order."""

    root_pos: torch.Tensor  # (N, 3)
    root_quat: torch.Tensor  # (N, 4)
    root_lin_vel: torch.Tensor  # (N, 3), of the link origin
    root_ang_vel: torch.Tensor  # (N, 3)
    joint_pos: torch.Tensor  # (N, J)
    joint_vel: torch.Tensor  # (N, J)
    body_pos_w: torch.Tensor  # (N, B, 3)
    body_quat_w: torch.Tensor  # (N, B, 4)
    body_lin_vel_w: torch.Tensor  # (N, B, 3), of the link origin
    body_ang_vel_w: torch.Tensor  # (N, B, 3)
    object_pos_w: torch.Tensor  # (N, 3), zeros without an object
    object_quat_w: torch.Tensor  # (N, 4), identity without an object
    object_lin_vel_w: torch.Tensor  # (N, 3)
    object_ang_vel_w: torch.Tensor  # (N, 3)
    contact_label: torch.Tensor  # (N, 2), left and right, 0 or 1
    contact_center: torch.Tensor  # (N, 2, 3), object frame; zeros where the label is 0
    hand_action: torch.Tensor  # (N, 2), -1 open, +1 closed


@attrs.frozen(kw_only=True, eq=False)
class ReferenceWindow:
    """W frames of N motions."""

    root_pos: torch.Tensor  # (N, W, 3)
    root_quat: torch.Tensor  # (N, W, 4)
    joint_pos: torch.Tensor  # (N, W, J)
    joint_vel: torch.Tensor  # (N, W, J)
    object_pos: torch.Tensor  # (N, W, 3)
    object_quat: torch.Tensor  # (N, W, 4)


@attrs.frozen(kw_only=True, eq=False)
class ReferenceState:
    """Root, joints and object of one frame of N motions: what an episode starts from. Fields as in `ReferenceFrame`."""

    root_pos: torch.Tensor  # (N, 3)
    root_quat: torch.Tensor  # (N, 4)
    root_lin_vel: torch.Tensor  # (N, 3), of the link origin
    root_ang_vel: torch.Tensor  # (N, 3)
    joint_pos: torch.Tensor  # (N, J)
    joint_vel: torch.Tensor  # (N, J)
    object_pos_w: torch.Tensor  # (N, 3), zeros without an object
    object_quat_w: torch.Tensor  # (N, 4), identity without an object
