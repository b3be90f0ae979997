"""Collects what is wrong with one clip while it is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from grail_framework.motion.faults import ClipFault

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.motion.clip import MotionClip

_UNIT_TOLERANCE: Final = 0.01
_FPS_RANGE: Final = (1.0, 1000.0)


class Findings:
    """Faults of one clip as they are found."""

    def __init__(self, clip: MotionClip) -> None:
        self._clip = clip
        self.faults: list[ClipFault] = []

    def add(self, reason: str, *, path: Path | None = None, frame: int | None = None, fatal: bool = True) -> None:
        """Add a fault; `path` names the file where it is not the robot's."""
        self.faults.append(ClipFault(path=path or self._clip.path, key=self._clip.key, frame=frame, reason=reason, fatal=fatal))

    def array(self, what: str, value: np.ndarray, *shape: int | None, path: Path | None = None) -> bool:
        """Check shape and finiteness; say whether further checks of the values make sense."""
        if value.ndim != len(shape) or any(want is not None and want != n for want, n in zip(shape, value.shape, strict=True)):
            wanted = ", ".join("T" if n is None else str(n) for n in shape)
            self.add(f"{what} has the shape {value.shape}, allowed: ({wanted})", path=path)
            return False
        if not np.isfinite(value).all():
            self.add(f"{what} holds NaN or infinity", path=path, frame=int(np.argwhere(~np.isfinite(value))[0][0]))
            return False
        return True

    def quaternions(self, what: str, quat: np.ndarray, *shape: int | None, path: Path | None = None) -> bool:
        """Check that quaternions are finite and of unit length; say whether they are."""
        if not self.array(what, quat, *shape, path=path):
            return False
        off = np.atleast_1d(np.abs(np.linalg.norm(quat, axis=-1) - 1.0))
        if not off.size or off.max() <= _UNIT_TOLERANCE:
            return True
        frame = int(off.argmax())
        self.add(f"{what} is no unit quaternion (length off by {off[frame]:.3g})", path=path, frame=frame)
        return False

    def rate(self, what: str, fps: float, *, path: Path | None = None) -> bool:
        """Check a frame rate."""
        if _FPS_RANGE[0] <= fps <= _FPS_RANGE[1]:
            return True
        allowed = f"{_FPS_RANGE[0]:g} to {_FPS_RANGE[1]:g} frames per second"
        self.add(f"{what} is {fps:g}, allowed: {allowed}", path=path)
        return False
