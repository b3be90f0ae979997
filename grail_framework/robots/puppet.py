"""A robot led along a motion like a puppet, its fingers driven by their own motors, beside an object that obeys gravity.

Says what a motion is worth as a reference before any policy exists: what the hands touch, whether the object follows, what cuts into
what. Root and body joints get an armature beside which every contact force is nothing, so they go where the motion says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import mujoco as _mujoco
import numpy as np

from grail_framework.robots.builder import ROOT_JOINT, build_robot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grail_framework.robots.spec import RobotSpec

mujoco: Any = _mujoco  # its extension modules carry no types

OBJECT: Final = "puppet:object"
TABLE: Final = "puppet:table"
TERRAIN: Final = "puppet:terrain"
GROUND: Final = "world"
"""Names of the bodies that are no part of the robot."""

_LED_ARMATURE: Final = 1e5
"""Inertia beside which contact forces are nothing. [kg m^2, kg]"""
_MEAN_INERTIA: Final = 0.1
"""About that of a robot's arm. [kg m^2]"""
_FPS: Final = 50.0
_SUBSTEPS: Final = 4
"""Control at 50 Hz, physics at 200 Hz, as in training."""


@attrs.frozen(kw_only=True, eq=False)
class PuppetScene:
    """What stands around the robot."""

    pieces: tuple[NDArray[np.float64], ...] = ()
    """Corner points (V, 3) of the object's convex pieces, object frame [m]; none: no object."""
    mass: float = 0.1
    """[kg]"""
    friction: float = 1.0
    table_size: tuple[float, float, float] | None = None
    """[m]; None: no table."""
    table_pos: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Centre. [m]"""
    table_quat: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    ground: bool = True
    terrain: tuple[NDArray[np.float64], ...] = ()
    """Corner points (V, 3) of convex pieces that stand still, world frame [m]; none: no terrain."""


@attrs.frozen(kw_only=True, eq=False)
class PuppetTrace:
    """What happened, by frame of the motion."""

    object_pos: NDArray[np.float64]  # (T, 3) [m]
    object_quat: NDArray[np.float64]  # (T, 4) wxyz
    finger_pos: NDArray[np.float64]  # (T, joints beyond the led ones) [rad]
    force: NDArray[np.float64]
    """(T, links) force between each of the asked links and the object. [N]"""
    points: tuple[tuple[tuple[str, NDArray[np.float64]], ...], ...]
    """By frame: (link, point in the object's frame [m]) of every contact between an asked link and the object."""
    depth: dict[tuple[str, str], tuple[float, int]]
    """Deepest penetration of each pair of bodies that ever met [m], names sorted, and its frame."""


class Puppet:
    """A scene with a robot to be led; `play` may be called again and again."""

    def __init__(self, robot: RobotSpec, scene: PuppetScene, links: Sequence[str] = ()) -> None:
        self.robot = robot
        self.led = robot.joint_names[: robot.num_motion_joints]
        self.fingers = robot.joint_names[robot.num_motion_joints :]
        self.model = _build(robot, scene)
        self.data = mujoco.MjData(self.model)
        self._links = [self.model.body(name).id for name in links]
        self._object = self.model.body(OBJECT).id if scene.pieces else -1
        self._led_qpos = np.array([self.model.joint(name).qposadr[0] for name in self.led], dtype=int)
        self._led_dof = np.array([self.model.joint(name).dofadr[0] for name in self.led], dtype=int)
        self._finger_qpos = np.array([self.model.joint(name).qposadr[0] for name in self.fingers], dtype=int)
        self._finger_motor = np.array([self.model.actuator(name).id for name in self.fingers], dtype=int)
        self._names = [self.model.body(i).name for i in range(self.model.nbody)]

    def play(
        self,
        root_pos: NDArray[np.floating],
        root_quat: NDArray[np.floating],
        joint_pos: NDArray[np.floating],
        finger_targets: NDArray[np.floating],
        object_pose: NDArray[np.floating] | None = None,
    ) -> PuppetTrace:
        """Lead the robot along a motion at 50 Hz.

        Args:
            root_pos: (T, 3) [m].
            root_quat: (T, 4) wxyz.
            joint_pos: (T, led joints) in the order of `led` [rad].
            finger_targets: (T, fingers) position targets in the order of `fingers` [rad].
            object_pose: (7,) position and quaternion wxyz of the object at the start.
        """
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        if self._object >= 0 and object_pose is not None:
            data.joint(OBJECT).qpos[:] = object_pose
        data.qpos[self._finger_qpos] = finger_targets[0]
        recorder = _Recorder(self, len(root_pos))
        self._place(root_pos[0], root_quat[0], joint_pos[0])
        mujoco.mj_forward(model, data)
        recorder.note(0)
        for frame in range(1, len(root_pos)):
            data.ctrl[self._finger_motor] = finger_targets[frame - 1]
            self._head_for(root_pos[frame], root_quat[frame], joint_pos[frame])
            for _ in range(_SUBSTEPS):
                mujoco.mj_step(model, data)
            self._place(root_pos[frame], root_quat[frame], joint_pos[frame])
            mujoco.mj_forward(model, data)
            recorder.note(frame)
        return recorder.trace()

    def _place(self, root_pos: NDArray[np.floating], root_quat: NDArray[np.floating], joints: NDArray[np.floating]) -> None:
        self.data.qpos[:3], self.data.qpos[3:7] = root_pos, root_quat
        self.data.qpos[self._led_qpos] = joints

    def _head_for(self, root_pos: NDArray[np.floating], root_quat: NDArray[np.floating], joints: NDArray[np.floating]) -> None:
        """Give the led coordinates the velocity that takes them to the next frame."""
        data = self.data
        data.qvel[:3] = (root_pos - data.qpos[:3]) * _FPS
        turn = np.zeros(3)
        mujoco.mju_subQuat(turn, np.asarray(root_quat, dtype=np.float64), data.qpos[3:7].copy())
        data.qvel[3:6] = turn * _FPS
        data.qvel[self._led_dof] = (joints - data.qpos[self._led_qpos]) * _FPS


class _Recorder:
    """Reads contacts and states off a puppet's data frame by frame."""

    def __init__(self, puppet: Puppet, frames: int) -> None:
        self._puppet = puppet
        self._pos, self._quat = np.zeros((frames, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1))
        self._fingers = np.zeros((frames, len(puppet.fingers)))
        self._force = np.zeros((frames, len(puppet._links)))
        self._points: list[tuple[tuple[str, NDArray[np.float64]], ...]] = [()] * frames
        self._depth: dict[tuple[str, str], tuple[float, int]] = {}

    def note(self, frame: int) -> None:
        """Write down the present state as that of a frame."""
        puppet, data = self._puppet, self._puppet.data
        self._fingers[frame] = data.qpos[puppet._finger_qpos]
        if puppet._object >= 0:
            self._pos[frame], self._quat[frame] = data.joint(OBJECT).qpos[:3], data.joint(OBJECT).qpos[3:]
        found: list[tuple[str, NDArray[np.float64]]] = []
        bodies = puppet.model.geom_bodyid[data.contact.geom]
        for index in range(data.ncon):
            first, second = (int(i) for i in bodies[index])
            self._note_depth(first, second, -float(data.contact.dist[index]), frame)
            if puppet._object in (first, second):
                other = second if first == puppet._object else first
                if other in puppet._links and self._note_force(index, other, frame):
                    found.append((puppet._names[other], self._in_object(data.contact.pos[index])))
        self._points[frame] = tuple(found)

    def trace(self) -> PuppetTrace:
        """Return all that was written down."""
        return PuppetTrace(
            object_pos=self._pos,
            object_quat=self._quat,
            finger_pos=self._fingers,
            force=self._force,
            points=tuple(self._points),
            depth=self._depth,
        )

    def _note_depth(self, first: int, second: int, depth: float, frame: int) -> None:
        names = sorted((self._puppet._names[first], self._puppet._names[second]))
        pair = (names[0], names[1])
        if depth > self._depth.get(pair, (0.0, 0))[0]:
            self._depth[pair] = (depth, frame)

    def _note_force(self, contact: int, link: int, frame: int) -> bool:
        wrench = np.zeros(6)
        mujoco.mj_contactForce(self._puppet.model, self._puppet.data, contact, wrench)
        self._force[frame, self._puppet._links.index(link)] += np.linalg.norm(wrench[:3])
        return bool(wrench[0] > 0.0)

    def _in_object(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        body = self._puppet.data.body(OBJECT)
        return (point - body.xpos) @ body.xmat.reshape(3, 3)


def _build(robot: RobotSpec, scene: PuppetScene) -> Any:
    spec = build_robot(robot)
    spec.option.timestep = 1.0 / (_FPS * _SUBSTEPS)
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    for name in (ROOT_JOINT, *robot.joint_names[: robot.num_motion_joints]):
        spec.joint(name).armature = _LED_ARMATURE
    if scene.ground:
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0.0, 0.0, 1.0), friction=(1.0, 0.005, 0.0001))
    if scene.table_size is not None:
        table = spec.worldbody.add_body(name=TABLE, pos=scene.table_pos, quat=scene.table_quat)
        table.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=tuple(0.5 * extent for extent in scene.table_size))
    if scene.pieces:
        _add_object(spec, scene)
    if scene.terrain:
        _add_pieces(spec, spec.worldbody.add_body(name=TERRAIN), scene.terrain)
    model = spec.compile()
    # The solver stops at an error relative to the mean inertia, which is to be that of what moves.
    model.stat.meaninertia = _MEAN_INERTIA
    return model


def _add_object(spec: Any, scene: PuppetScene) -> None:
    body = spec.worldbody.add_body(name=OBJECT)
    body.add_freejoint(name=OBJECT)
    _add_pieces(
        spec, body, scene.pieces, mass=scene.mass / len(scene.pieces), friction=(scene.friction, 0.005, 0.0001), priority=2
    )


def _add_pieces(spec: Any, body: Any, pieces: tuple[NDArray[np.float64], ...], **settings: Any) -> None:
    """Add convex pieces to a body, each a mesh that is named after it."""
    for index, points in enumerate(pieces):
        name = f"{body.name}-{index}"
        spec.add_mesh(
            name=name, uservert=points.astype(np.float32).ravel(), inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX
        )
        body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, **settings)
