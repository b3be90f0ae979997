"""Velocities of packed motions: many motions behind one another in one tensor, differences never crossing from one to the next.

Every function takes values of shape (F, ...), and for each of the F frames the first and the last frame of its motion.
The one-sided ends, the smoothing and the copied frames are those of the GRAIL release's loader, whose policies were trained on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import attrs
import torch

from grail_framework.robots.rotations import quat_conj, quat_mul, rotvec_from_quat

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIGMA = 2.0  # [frames]
RADIUS = 8
"""Reach of the filter: four sigma, where scipy.ndimage.gaussian_filter1d cuts by default. [frames]"""


@attrs.frozen(kw_only=True, eq=False)
class Spans:
    """For each packed frame: its own index and the first and last frame of its motion, (F,) long."""

    frame: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor

    @classmethod
    def of_lengths(cls, lengths: Sequence[int], device: torch.device | str) -> Self:
        """Make the spans of motions of the given lengths, packed in this order."""
        sizes = torch.tensor(lengths, dtype=torch.long, device=device)
        first = torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
        last = torch.repeat_interleave(sizes.cumsum(0) - 1, sizes)
        return cls(frame=torch.arange(int(sum(lengths)), device=device), first=first, last=last)

    def shifted(self, offset: int) -> torch.Tensor:
        """Index of the frame `offset` later, kept inside the motion."""
        return torch.minimum(torch.maximum(self.frame + offset, self.first), self.last)


def joint_velocity(joint_pos: torch.Tensor, spans: Spans, fps: float) -> torch.Tensor:
    """Forward differences of (F, J) [rad]; a motion's last frame repeats its second-last difference. [rad/s]"""
    source = torch.where(spans.frame == spans.last, torch.maximum(spans.last - 2, spans.first), spans.frame)
    after = torch.minimum(source + 1, spans.last)
    return (joint_pos[after] - joint_pos[source]) * fps


def body_linear_velocity(pos: torch.Tensor, spans: Spans, fps: float) -> torch.Tensor:
    """Smoothed central differences of (F, B, 3) [m], one-sided at the ends. [m/s]"""
    before, after = spans.shifted(-1), spans.shifted(1)
    steps = (after - before).clamp_min(1).to(pos.dtype)[:, None, None]
    return smooth((pos[after] - pos[before]) * fps / steps, spans)


def body_angular_velocity(quat: torch.Tensor, spans: Spans, fps: float) -> torch.Tensor:
    """Smoothed forward differences of (F, B, 4) as world rotation vectors; before smoothing 0 at the last frame. [rad/s]"""
    turn = quat_mul(quat[spans.shifted(1)], quat_conj(quat))
    return smooth(rotvec_from_quat(turn) * fps, spans)


def object_linear_velocity(pos: torch.Tensor, spans: Spans, fps: float) -> torch.Tensor:
    """Backward differences of (F, 3) [m]; the first frame copies the second. [m/s]"""
    source = _from_second(spans)
    return (pos[source] - pos[torch.maximum(source - 1, spans.first)]) * fps


def object_angular_velocity(quat: torch.Tensor, spans: Spans, fps: float) -> torch.Tensor:
    """Backward differences of (F, 4) as world rotation vectors; the first frame copies the second. [rad/s]"""
    source = _from_second(spans)
    turn = quat_mul(quat[source], quat_conj(quat[torch.maximum(source - 1, spans.first)]))
    return rotvec_from_quat(turn) * fps


def smooth(values: torch.Tensor, spans: Spans) -> torch.Tensor:
    """Filter (F, ...) over frames with a gaussian of 2 frames, cut at 8; beyond its ends a motion holds its end values."""
    offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / _SIGMA) ** 2)
    weights = (weights / weights.sum()).tolist()
    result = torch.zeros_like(values)
    for offset, weight in zip(range(-RADIUS, RADIUS + 1), weights, strict=True):
        result.add_(values[spans.shifted(offset)], alpha=weight)
    return result


def _from_second(spans: Spans) -> torch.Tensor:
    return torch.maximum(spans.frame, torch.minimum(spans.first + 1, spans.last))
