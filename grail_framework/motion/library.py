"""All motions of a run on one device: any frame, or any window of frames, of any motion, without the host waiting for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Self

import torch

from grail_framework.motion.ahead import AheadFrames, FrameLayout
from grail_framework.motion.compact import compact_clips
from grail_framework.motion.on_demand import OnDemandFrames
from grail_framework.motion.packing import PackedMotions
from grail_framework.motion.reference import ReferenceFrame, ReferenceState, ReferenceWindow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grail_framework.motion.clip import MotionClip
    from grail_framework.motion.compact import Labeler
    from grail_framework.motion.packing import MotionSource
    from grail_framework.robots.spec import RobotSpec

__all__ = ["AHEAD_BUDGET", "MotionLibrary", "ReferenceFrame", "ReferenceState", "ReferenceWindow"]

_log = logging.getLogger(__name__)
AHEAD_BUDGET: Final = 2 * 2**30
"""With `derive` auto, body poses and velocities are derived ahead of time while all frames together stay below this. [bytes]"""


class MotionLibrary:
    """M motions at one frame rate on a device.

    Per frame it keeps root and joints (and what the object and the hands need); body poses and velocities are derived from these
    ahead of time, for libraries that are small enough, or on demand. Both give the same numbers.
    """

    def __init__(self, packed: PackedMotions, robot: RobotSpec, *, derive: str = "auto") -> None:
        """Take packed motions and choose when to derive what they do not hold.

        Args:
            packed: motions on the device.
            robot: the robot they are of.
            derive: `ahead`, `on_demand`, or `auto`: by size.
        """
        self.robot = robot
        self.keys: tuple[str, ...] = packed.keys
        self.object_names: tuple[str, ...] = packed.object_names
        self.object_usd: tuple[Path | None, ...] = packed.object_usd
        self.fps: float = packed.fps
        self.num_motions: int = len(packed.keys)
        self.total_frames: int = packed.total_frames
        self.num_frames: torch.Tensor = packed.num_frames  # (M,) long
        self.starts: torch.Tensor = packed.starts  # (M,) long
        self.has_object: torch.Tensor = packed.per_motion["has_object"]  # (M,) bool, as the next five
        self.has_contact_labels: torch.Tensor = packed.per_motion["has_contact_labels"]
        self.has_hand_action: torch.Tensor = packed.per_motion["has_hand_action"]
        self.has_bps: torch.Tensor = packed.per_motion["has_bps"]
        self.has_table: torch.Tensor = packed.per_motion["has_table"]
        self.has_table_size: torch.Tensor = packed.per_motion["has_table_size"]
        self.first_contact: torch.Tensor = packed.first_contact  # (M,) long, the motion's length without contact
        self.bps: torch.Tensor = packed.per_motion["bps"]  # (M, 10), zeros where a motion has none
        self.table_pos: torch.Tensor = packed.per_motion["table_pos"]  # (M, 3)
        self.table_quat: torch.Tensor = packed.per_motion["table_quat"]  # (M, 4)
        self.table_size: torch.Tensor = packed.per_motion["table_size"]  # (M, 3), zeros where a motion has none
        self.device: torch.device = packed.robot_rows.device
        self.derives_ahead: bool = derive == "ahead" or (derive == "auto" and _fits(packed, robot))
        """Whether body poses and velocities are rows that are gathered, rather than computed when asked for."""
        self.num_bytes: int = packed.num_bytes
        """Device memory of the motions; without what is derived ahead of time. [bytes]"""
        self._frames = (AheadFrames if self.derives_ahead else OnDemandFrames)(packed, robot)

    @classmethod
    def build(
        cls,
        clips: Sequence[MotionClip],
        robot: RobotSpec,
        *,
        device: torch.device | str,
        target_fps: float = 50.0,
        labeler: Labeler | None = None,
        derive: str = "auto",
    ) -> Self:
        """Resample clips and pack them on the device.

        Args:
            clips: checked clips; their order is the order of the motions.
            robot: the robot they are of; joints are mapped by name.
            device: where the tensors live.
            target_fps: rate of all motions. [1/s]
            labeler: called with (clip, num_frames, target_fps); where it gives None, labels come from the clip's contact points.
            derive: see `MotionLibrary`.

        Raises:
            DataError: there are no clips, two have one key, a joint is missing, or the labeler's arrays have wrong shapes.
        """
        compact = compact_clips(clips, robot, target_fps=target_fps, labeler=labeler)
        return cls.pack(compact, robot, device=device, fps=target_fps, derive=derive)

    @classmethod
    def pack(
        cls, source: MotionSource, robot: RobotSpec, *, device: torch.device | str, fps: float, derive: str = "auto"
    ) -> Self:
        """Copy compact motions to the device.

        Args:
            source: motions of this robot, joints in its order.
            robot: the robot they are of.
            device: where the tensors live.
            fps: rate of the motions. [1/s]
            derive: see `MotionLibrary`.
        """
        joints = robot.num_motion_joints
        return cls(PackedMotions.of(source, num_joints=joints, fps=fps, device=torch.device(device)), robot, derive=derive)

    def missing(self, what: torch.Tensor) -> tuple[str, ...]:
        """Name the motions where one of the `has_...` tensors is false. Waits for the device; not for the step loop."""
        return tuple(key for key, has in zip(self.keys, what.tolist(), strict=True) if not has)

    def frame(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> ReferenceFrame:
        """Return one frame of each given motion; frames beyond the ends give the end frames.

        Args:
            motion_ids: (N,) long.
            frames: (N,) long.
        """
        return self._frames.frame(motion_ids, frames)

    def state(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> ReferenceState:
        """Return root, joints and object of one frame of each given motion: a small part of what `frame` costs.

        Args:
            motion_ids: (N,) long.
            frames: (N,) long; beyond the ends they give the end frames.
        """
        return self._frames.state(motion_ids, frames)

    def window(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> ReferenceWindow:
        """Return several frames of each given motion; frames beyond the ends give the end frames.

        Args:
            motion_ids: (N,) long.
            frames: (N, W) long.
        """
        return self._frames.window(motion_ids, frames)

    def joint_pos(self, motion_ids: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Return the joint positions (N, W, J) [rad] of several frames of each given motion, and read nothing else.

        Args:
            motion_ids: (N,) long.
            frames: (N, W) long; beyond the ends they give the end frames.
        """
        return self._frames.joint_pos(motion_ids, frames)


def _fits(packed: PackedMotions, robot: RobotSpec) -> bool:
    size = packed.total_frames * FrameLayout.of_robot(robot).bytes_per_frame
    if size > AHEAD_BUDGET:
        _log.info(
            "body poses and velocities of %d frames would take %.1f GiB (more than %.0f): derived when asked for; "
            "motion.derive=ahead keeps them",
            packed.total_frames,
            size / 2**30,
            AHEAD_BUDGET / 2**30,
        )
        return False
    _log.info("body poses and velocities are derived ahead of time: %.1f MiB", size / 2**20)
    return True
