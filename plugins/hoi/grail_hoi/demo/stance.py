"""A standing robot whose palms follow paths while feet stay, the centre of mass stays over them, and the rest serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from grail_framework.robots.inverse_kinematics import LinkGoal
from grail_framework.robots.standing import Standing
from grail_hoi.demo.draft import Pose
from grail_hoi.demo.quality import FEET

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.robots.inverse_kinematics import InverseKinematics, RobotTrack

_COSTS: Final = (("hip_yaw", 1.0), ("hip_roll", 0.3), ("waist", 0.3), ("ankle_roll", 0.1), ("", 0.08))
"""How much each kind of joint keeps to its posture; the first part of a name that fits counts. [1/rad]"""
_PELVIS_SHARE: Final = 0.6
"""Share of the torso's lean that comes from the hips; the waist bends for the rest. [-]"""
_IDLE_ARM_COST: Final = 2.0
_IDLE_ARM: Final = {"shoulder_pitch": -0.5, "shoulder_roll": 0.7, "elbow": 0.3}
"""Change of an idle arm's joints per angle of lean. [-]"""


class Stance:
    """The default pose with the soles on the ground, and motions from it."""

    def __init__(self, solver: InverseKinematics) -> None:
        self._solver = solver
        self._standing = Standing(solver, FEET)

    def link(self, name: str) -> Pose:
        """Return the pose of a link in the default pose."""
        pos, turn = self._standing.link(name)
        return Pose(pos=pos, turn=turn)

    def reach(
        self,
        t: NDArray[np.float64],
        palms: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
        *,
        lean: NDArray[np.float64],
        sink: NDArray[np.float64] | None = None,
    ) -> tuple[RobotTrack, float]:
        """Solve for a motion on the spot; return it and how far a palm stays behind at most [m].

        Args:
            t: (T,) [s].
            palms: by side, the palm's positions (T, 3) [m] and quaternions (T, 4) wxyz.
            lean: (T,) pitch of the torso, forward positive [rad].
            sink: (T,) how far the pelvis goes down [m].
        """
        solver = self._solver
        track = solver.solve(
            self._goals(palms, lean, np.zeros(len(t)) if sink is None else sink),
            com=np.tile(self._standing.com, (len(t), 1)),
            posture=self._posture(lean, tuple(palms)),
            start=self._standing.root.tolist(),
            posture_cost=self._costs(tuple(palms)),
        )
        missed = [
            np.linalg.norm(track.links[solver.robot.hands[side].palm][:, :3] - pos, axis=1).max()
            for side, (pos, _) in palms.items()
        ]
        return track, float(max(missed))

    def _goals(
        self,
        palms: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
        lean: NDArray[np.float64],
        sink: NDArray[np.float64],
    ) -> list[LinkGoal]:
        pelvis = np.tile(self._standing.root, (len(lean), 1))
        pelvis[:, 2] -= sink
        hands = self._solver.robot.hands
        return [
            *self._standing.foot_goals(len(lean)),
            LinkGoal(link="pelvis", pos=pelvis, quat=_pitch(_PELVIS_SHARE * lean), pos_cost=(0.0, 0.0, 2.0), ori_cost=1.0),
            LinkGoal(link="torso_link", quat=_pitch(lean), ori_cost=0.6),
            *(
                LinkGoal(link=hands[side].palm, pos=pos, quat=quat, pos_cost=400.0, ori_cost=30.0)
                for side, (pos, quat) in palms.items()
            ),
        ]

    def _posture(self, lean: NDArray[np.float64], busy: tuple[str, ...]) -> NDArray[np.float64]:
        """Return the default pose, but an idle arm that is held off the thigh as the torso leans over it."""
        posture = np.tile(self._solver.default_pos, (len(lean), 1))
        for joint, change in _IDLE_ARM.items():
            for side, sign in (("left", 1.0), ("right", -1.0)):
                if side not in busy:
                    mirror = sign if "roll" in joint or "yaw" in joint else 1.0
                    posture[:, self._solver.joint_names.index(f"{side}_{joint}_joint")] += mirror * change * lean
        return posture

    def _costs(self, busy: tuple[str, ...]) -> NDArray[np.float64]:
        def cost(name: str) -> float:
            if any(part in name for part in ("shoulder", "elbow", "wrist")) and not name.startswith(busy):
                return _IDLE_ARM_COST
            return next(value for part, value in _COSTS if part in name)

        return np.array([cost(name) for name in self._solver.joint_names])


def _pitch(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return quaternions (T, 4) wxyz that turn forward by angles (T,) [rad]."""
    zero = np.zeros_like(angle)
    return np.stack((np.cos(0.5 * angle), zero, np.sin(0.5 * angle), zero), axis=1)
