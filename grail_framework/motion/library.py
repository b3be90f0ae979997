"""All motions of a run on one device: any frame, or any window of frames, of any motion is one gather."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import attrs
import torch

from grail_framework.errors import DataError
from grail_framework.motion.packing import FrameLayout, PackedMotions, pack_motions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grail_framework.motion.clip import MotionClip
    from grail_framework.motion.packing import Labeler
    from grail_framework.robots.spec import RobotSpec


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


class MotionLibrary:
    """M motions at one frame rate, packed behind one another on a device."""

    def __init__(self, packed: PackedMotions, robot: RobotSpec) -> None:
        self.robot = robot
        self.keys: tuple[str, ...] = packed.keys
        self.object_names: tuple[str, ...] = packed.object_names
        self.object_usd: tuple[Path | None, ...] = packed.object_usd
        self.fps: float = packed.fps
        self.num_motions: int = len(packed.keys)
        self.num_frames: torch.Tensor = packed.num_frames  # (M,) long
        self.starts: torch.Tensor = packed.starts  # (M,) long
        self.has_object: torch.Tensor = packed.has_object  # (M,) bool, as the next four
        self.has_contact_labels: torch.Tensor = packed.has_contact_labels
        self.has_hand_action: torch.Tensor = packed.has_hand_action
        self.has_bps: torch.Tensor = packed.has_bps
        self.has_table: torch.Tensor = packed.has_table
        self.first_contact: torch.Tensor = packed.first_contact  # (M,) long, the motion's length without contact
        self.bps: torch.Tensor = packed.bps  # (M, 10), zeros where a motion has none
        self.table_pos: torch.Tensor = packed.table_pos  # (M, 3)
        self.table_quat: torch.Tensor = packed.table_quat  # (M, 4)
        self.device: torch.device = packed.window_rows.device
        self._layout: FrameLayout = packed.layout
        self._window_rows = packed.window_rows
        self._frame_rows = packed.frame_rows
        self._last_frame = packed.num_frames - 1

    @classmethod
    def build(
        cls,
        clips: Sequence[MotionClip],
        robot: RobotSpec,
        *,
        device: torch.device | str,
        target_fps: float = 50.0,
        labeler: Labeler | None = None,
    ) -> Self:
        """Resample clips, run forward kinematics and differences, and pack them on the device.

        Args:
            clips: checked clips; their order is the order of the motions.
            robot: the robot they are of; joints are mapped by name.
            device: where the tensors live.
            target_fps: rate of all motions. [1/s]
            labeler: called with (clip, num_frames, target_fps); where it gives None, labels come from the clip's contact points.

        Raises:
            DataError: there are no clips, two have one key, a joint is missing, or the labeler's arrays have wrong shapes.
        """
        if not clips:
            raise DataError("a motion library needs at least one motion")
        packed = pack_motions(clips, robot, device=torch.device(device), target_fps=target_fps, labeler=labeler)
        return cls(packed, robot)

    @property
    def total_frames(self) -> int:
        """Frames of all motions together."""
        return self._window_rows.shape[0]

    def missing(self, what: torch.Tensor) -> tuple[str, ...]:
        """Name the motions where one of the `has_...` tensors is false. Waits for the device; not for the step loop."""
        return tuple(key for key, has in zip(self.keys, what.tolist(), strict=True) if not has)

    def frame(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> ReferenceFrame:
        """Return one frame of each given motion; frames beyond the ends give the end frames.

        Args:
            motion_ids: (N,) long.
            frames: (N,) long.
        """
        rows = self._rows(motion_ids, frames)
        near, far = self._layout.window.split(self._window_rows[rows]), self._layout.frame.split(self._frame_rows[rows])
        return ReferenceFrame(
            root_pos=near["root_pos"],
            root_quat=near["root_quat"],
            root_lin_vel=far["root_lin_vel"],
            root_ang_vel=far["root_ang_vel"],
            joint_pos=near["joint_pos"],
            joint_vel=near["joint_vel"],
            body_pos_w=far["body_pos"],
            body_quat_w=far["body_quat"],
            body_lin_vel_w=far["body_lin_vel"],
            body_ang_vel_w=far["body_ang_vel"],
            object_pos_w=near["object_pos"],
            object_quat_w=near["object_quat"],
            object_lin_vel_w=far["object_lin_vel"],
            object_ang_vel_w=far["object_ang_vel"],
            contact_label=far["contact_label"],
            contact_center=far["contact_center"],
            hand_action=far["hand_action"],
        )

    def window(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> ReferenceWindow:
        """Return several frames of each given motion; frames beyond the ends give the end frames.

        Args:
            motion_ids: (N,) long.
            frames: (N, W) long.
        """
        rows = self._rows(motion_ids.unsqueeze(-1), frames)
        return ReferenceWindow(**self._layout.window.split(self._window_rows[rows]))

    def _rows(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        kept = torch.minimum(frames.clamp_min(0), self._last_frame[motion_ids])
        return self.starts[motion_ids] + kept
