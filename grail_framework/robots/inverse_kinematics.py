"""Whole-body inverse kinematics: a robot's motion from paths of a few of its links, its centre of mass and a posture.

Solved frame by frame as quadratic programs with mink, each frame from the one before, so that smooth goals give a smooth motion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import mink as _mink
import mujoco as _mujoco
import numpy as np

from grail_framework.errors import DataError
from grail_framework.robots.builder import build_robot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grail_framework.robots.spec import BodySpec, RobotSpec

mink: Any = _mink
mujoco: Any = _mujoco  # its extension modules carry no types

_SOLVER: Final = "daqp"
_ITERATIONS: Final = 8
_CONVERGED: Final = 1e-5
"""Largest change of a coordinate in an iteration after which a frame counts as solved. [rad, m]"""
_DAMPING: Final = 1e-4
_LM_DAMPING: Final = 0.3
"""Levenberg-Marquardt damping by the error: a stretched arm out of its reach would flip between two solutions. [-]"""
_TURN: Final = 0.3
"""Largest change of a joint in an iteration: beyond its reach an arm would thrash. [rad]"""
_HEAD_START: Final = 60
"""Iterations on the first frame, which starts from the default pose."""


@attrs.frozen(kw_only=True, eq=False)
class LinkGoal:
    """Where a link should be over the motion; a cost of 0 leaves that part free."""

    link: str
    pos: NDArray[np.floating] | None = None  # (T, 3) of the link's frame [m]
    quat: NDArray[np.floating] | None = None  # (T, 4) wxyz
    pos_cost: float | tuple[float, float, float] = 10.0
    """Per axis of the link's own frame or for all. [1/m]"""
    ori_cost: float | tuple[float, float, float] = 10.0
    """[1/rad]"""


@attrs.frozen(kw_only=True, eq=False)
class RobotTrack:
    """Motion of a robot: its root and the joints that motions describe, in MuJoCo's (depth-first) order."""

    joint_names: tuple[str, ...]
    root_pos: NDArray[np.float64]  # (T, 3) [m]
    root_quat: NDArray[np.float64]  # (T, 4) wxyz
    joint_pos: NDArray[np.float64]  # (T, len(joint_names)) [rad]
    links: dict[str, NDArray[np.float64]]
    """(T, 7) position and quaternion wxyz of every link that had a goal, as reached."""


class InverseKinematics:
    """Solver for one robot; hands are rigid and open, joints keep to their soft limits."""

    def __init__(self, robot: RobotSpec) -> None:
        self.robot = robot
        self.model = build_robot(without_fingers(robot)).compile()
        hinges = [self.model.joint(i) for i in range(self.model.njnt) if self.model.jnt_type[i] == mujoco.mjtJoint.mjJNT_HINGE]
        self.joint_names: tuple[str, ...] = tuple(joint.name for joint in hinges)
        """Joints that motions describe, in MuJoCo's order."""
        by_name = {joint.name: joint for joint in robot.joints}
        self.default_pos = np.array([by_name[name].default_pos for name in self.joint_names])
        """(29,) [rad]"""
        for joint in hinges:
            low, high = soft_limits(by_name[joint.name].lower, by_name[joint.name].upper, robot.soft_limit_factor)
            self.model.jnt_range[joint.id] = low, high
        self._limits = [
            mink.ConfigurationLimit(self.model),
            mink.VelocityLimit(self.model, dict.fromkeys(self.joint_names, _TURN)),
        ]

    def pose(self, root_pos: Sequence[float], joint_pos: NDArray[np.floating] | None = None) -> dict[str, NDArray[np.float64]]:
        """Return position and quaternion (7,) of every link, and the centre of mass (3,) as `com`, upright at a root position."""
        configuration = self._configuration(np.asarray(root_pos), self.default_pos if joint_pos is None else joint_pos)
        data = configuration.data
        poses = {
            self.model.body(i).name: np.concatenate((data.xpos[i], data.xquat[i])).copy() for i in range(1, self.model.nbody)
        }
        return {**poses, "com": data.subtree_com[0].copy()}

    def solve(
        self,
        goals: Sequence[LinkGoal],
        *,
        com: NDArray[np.floating],
        posture: NDArray[np.floating],
        start: Sequence[float],
        com_cost: float = 20.0,
        posture_cost: float | NDArray[np.floating] = 0.1,
    ) -> RobotTrack:
        """Solve for a motion.

        Args:
            goals: paths of links, all of length T.
            com: (T, 2) horizontal position of the centre of mass [m].
            posture: (T, 29) joints to stay near, in the order of `joint_names` [rad].
            start: (3,) root position to start looking from [m].
            com_cost: [1/m].
            posture_cost: for all joints or for each (29,) [1/rad].

        Raises:
            DataError: a frame has no solution within the limits.
        """
        tasks = [self._frame_task(goal) for goal in goals]
        com_task = mink.ComTask(cost=(com_cost, com_cost, 0.0))
        joint_cost = np.broadcast_to(posture_cost, (len(self.joint_names),))
        posture_task = mink.PostureTask(self.model, cost=np.concatenate((np.zeros(6), joint_cost)))
        configuration = self._configuration(np.asarray(start), posture[0])
        found = np.zeros((len(com), self.model.nq))
        links = {goal.link: np.zeros((len(com), 7)) for goal in goals}
        for frame in range(len(com)):
            for goal, task in zip(goals, tasks, strict=True):
                task.set_target(_target(goal, frame))
            com_task.set_target(np.array([*com[frame], 0.0]))
            posture_task.set_target(self._qpos(np.zeros(3), posture[frame]))
            self._descend(configuration, [*tasks, com_task, posture_task], frame)
            found[frame] = configuration.q
            for link, reached in links.items():
                body = configuration.data.body(link)
                reached[frame] = *body.xpos, *body.xquat
        return self._track(found, links)

    def _track(self, qpos: NDArray[np.float64], links: dict[str, NDArray[np.float64]]) -> RobotTrack:
        return RobotTrack(
            joint_names=self.joint_names,
            root_pos=qpos[:, :3],
            root_quat=qpos[:, 3:7] / np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True),
            joint_pos=qpos[:, 7:],
            links=links,
        )

    def _descend(self, configuration: Any, tasks: Sequence[Any], frame: int) -> None:
        for _ in range(_HEAD_START if frame == 0 else _ITERATIONS):
            try:
                step = mink.solve_ik(configuration, tasks, 1.0, _SOLVER, limits=self._limits, damping=_DAMPING)
            except mink.NoSolutionFound as error:
                raise DataError(f"inverse kinematics finds no pose within the joint limits at frame {frame}") from error
            configuration.integrate_inplace(step, 1.0)
            if np.abs(step).max() < _CONVERGED:
                return

    def _frame_task(self, goal: LinkGoal) -> Any:
        pos_cost = 0.0 if goal.pos is None else goal.pos_cost
        ori_cost = 0.0 if goal.quat is None else goal.ori_cost
        return mink.FrameTask(goal.link, "body", position_cost=pos_cost, orientation_cost=ori_cost, lm_damping=_LM_DAMPING)

    def _configuration(self, root_pos: NDArray[np.floating], joint_pos: NDArray[np.floating]) -> Any:
        return mink.Configuration(self.model, q=self._qpos(root_pos, joint_pos))

    def _qpos(self, root_pos: NDArray[np.floating], joint_pos: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.concatenate((root_pos, [1.0, 0.0, 0.0, 0.0], joint_pos))


def without_fingers(robot: RobotSpec) -> RobotSpec:
    """Return the robot with every joint fixed that motions do not describe."""
    kept = robot.joint_names[: robot.num_motion_joints]

    def fix(body: BodySpec) -> BodySpec:
        return body if body.joint is None or body.joint.name in kept else attrs.evolve(body, joint=None)

    return attrs.evolve(robot, bodies=tuple(fix(body) for body in robot.bodies), joint_names=kept, hands={})


def soft_limits(lower: float, upper: float, factor: float) -> tuple[float, float]:
    """Shrink a joint's range [rad] about its middle."""
    middle, half = 0.5 * (lower + upper), 0.5 * factor * (upper - lower)
    return middle - half, middle + half


def _target(goal: LinkGoal, frame: int) -> Any:
    pos = np.zeros(3) if goal.pos is None else goal.pos[frame]
    quat = np.array([1.0, 0.0, 0.0, 0.0]) if goal.quat is None else goal.quat[frame]
    return mink.SE3.from_rotation_and_translation(mink.SO3(np.asarray(quat)), np.asarray(pos))
