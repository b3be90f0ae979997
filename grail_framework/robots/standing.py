"""A robot's default pose with its soles on the ground: where generated motions start, and what they hold on to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from grail_framework.robots.balance import sole_corners
from grail_framework.robots.inverse_kinematics import LinkGoal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.robots.inverse_kinematics import InverseKinematics


class Standing:
    """The default pose of a solver's robot over the origin, facing x, the ground at height 0.

    Attributes:
        root: (3,) position of the root [m].
        com: (2,) horizontal position of the centre of mass [m].
        sole: height of the foot links over flat ground [m].
    """

    def __init__(self, solver: InverseKinematics, feet: tuple[str, str]) -> None:
        self.solver = solver
        self.feet = feet
        self.sole = -float(sole_corners(solver.robot, feet[0])[:, 2].min())
        hanging = solver.pose((0.0, 0.0, 0.0))
        self.root = np.array([0.0, 0.0, self.sole - hanging[feet[0]][2]])
        self._pose = solver.pose(self.root.tolist())
        self.com = self._pose["com"][:2]

    def link(self, name: str) -> tuple[NDArray[np.float64], Rotation]:
        """Return position (3,) [m] and orientation of a link."""
        values = self._pose[name]
        return values[:3], Rotation.from_quat(values[3:], scalar_first=True)

    def foot_goals(self, frames: int, lift: dict[str, NDArray[np.float64]] | None = None) -> list[LinkGoal]:
        """Hold both feet flat on their places, (T,); `lift` raises a foot by so much (T,) [m]."""
        goals = []
        for foot in self.feet:
            x, y, _ = self.link(foot)[0]
            pos = np.tile([x, y, self.sole], (frames, 1))
            if lift is not None and foot in lift:
                pos[:, 2] += lift[foot]
            flat = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1))
            goals.append(LinkGoal(link=foot, pos=pos, quat=flat, pos_cost=200.0, ori_cost=60.0))
        return goals
