"""A pick-up as it is drafted: the robot's motion, the grasps, and the object that rests, is held and rests again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
from scipy.spatial.transform import Rotation

from grail_framework.robots.keyframes import FPS, min_jerk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.robots.inverse_kinematics import RobotTrack
    from grail_hoi.demo.grasp import Grasp
    from grail_hoi.demo.shapes import Shape


@attrs.frozen(kw_only=True, eq=False)
class Pose:
    """Place and orientation of a body."""

    pos: NDArray[np.float64]  # (3,) [m]
    turn: Rotation

    def __mul__(self, other: Pose) -> Pose:
        """Return the pose of what has the pose `other` in this body's frame."""
        return Pose(pos=self.pos + self.turn.apply(other.pos), turn=self.turn * other.turn)

    def inverse(self) -> Pose:
        """Return the pose of the world in this body's frame."""
        back = self.turn.inv()
        return Pose(pos=-back.apply(self.pos), turn=back)


@attrs.frozen(kw_only=True)
class Timing:
    """When what happens to the object. [s]"""

    close: float
    """The hand begins to close."""
    lift: float
    """The hand holds the object and begins to lift it."""
    open: float | None = None
    """The object stands again and the hand begins to open; None: it is held to the end."""
    free: float | None = None
    """The hand is open."""


@attrs.frozen(kw_only=True, eq=False)
class Draft:
    """A pick-up, in a frame where the robot starts at the origin and faces x; the ground is at height 0."""

    shape: Shape
    track: RobotTrack
    timing: Timing
    grasps: tuple[Grasp, ...]
    reach: float
    """Largest distance between a palm and where it was to be. [m]"""
    rest: Pose
    place: Pose | None = None
    """Where the object stands in the end; None: it is held to the end."""
    table: Pose | None = None
    table_size: tuple[float, float, float] = (2.0, 0.6, 0.04)

    @property
    def num_frames(self) -> int:
        """Frames of the motion."""
        return len(self.track.root_pos)

    def closed(self) -> dict[str, NDArray[np.bool_]]:
        """Return when each grasping hand is commanded to be closed, (T,) by side."""
        t = np.arange(self.num_frames) / FPS
        end = np.inf if self.timing.open is None else self.timing.open
        during = (t >= self.timing.close - 1e-9) & (t < end - 1e-9)
        return {grasp.side: during for grasp in self.grasps}

    def held(self) -> NDArray[np.bool_]:
        """Return when the object is held, (T,): from the lift until the hand opens."""
        t = np.arange(self.num_frames) / FPS
        end = np.inf if self.timing.open is None else self.timing.open
        return (t >= self.timing.lift - 1e-9) & (t < end - 1e-9)

    def object_path(self, palms: dict[str, str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the object's position (T, 3) and quaternion (T, 4) wxyz over the motion.

        While it is held it is rigid in the palm of the first grasp as that palm really moves; while the hand closes and opens it goes
        the last millimetre between that and its place of rest.

        Args:
            palms: the palm link of each side.
        """
        grasp = self.grasps[0]
        in_palm = Pose(pos=grasp.palm_pos, turn=grasp.palm_turn).inverse() * Pose(pos=grasp.shift, turn=grasp.turn)
        reached = self.track.links[palms[grasp.side]]
        palm_turn = Rotation.from_quat(reached[:, 3:], scalar_first=True)
        pos = reached[:, :3] + palm_turn.apply(in_palm.pos)
        turn = palm_turn * in_palm.turn
        t = np.arange(self.num_frames) / FPS
        pos, turn = _blend(pos, turn, self.rest, 1.0 - min_jerk(t, self.timing.close, self.timing.lift))
        if self.place is not None and self.timing.open is not None and self.timing.free is not None:
            pos, turn = _blend(pos, turn, self.place, min_jerk(t, self.timing.open, self.timing.free))
        return pos, turn.as_quat(scalar_first=True)


def _blend(
    pos: NDArray[np.float64], turn: Rotation, rest: Pose, share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], Rotation]:
    """Go from a moving pose to a fixed one by a share (T,) in [0, 1]."""
    step = (rest.turn * turn.inv()).as_rotvec()
    return pos + share[:, None] * (rest.pos - pos), Rotation.from_rotvec(share[:, None] * step) * turn
