"""From MuJoCo's arrays to the buffers of a `SceneState`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mujoco as _mujoco
import numpy as np

from grail_framework.engine.mujoco.layout import FreeColumns
from grail_framework.engine.mujoco.links import ROTATION, LinkStates
from grail_framework.engine.mujoco.model import OBJECT
from grail_framework.engine.state import empty_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grail_framework.engine.mujoco.layout import Layout
    from grail_framework.engine.mujoco.sensors import SensorLayout
    from grail_framework.engine.protocol import SceneSpec

    type Array = NDArray[np.float64]

mujoco: Any = _mujoco  # its extension modules carry no types


class Readout:
    """Keeps `state` up to date. Works on numpy views of the buffers: torch's overhead per call would be most of a small step."""

    def __init__(self, scene: SceneSpec, layout: Layout, sensors: SensorLayout, models: Sequence[Any]) -> None:
        self.state = empty_state(scene)
        self._layout = layout
        self._contact = sensors.contact
        self._links = LinkStates(scene.robot, scene.num_envs)
        self.object_com = np.stack([_object_com(model) for model in models])
        """Centre of mass of each environment's object in its frame (N, 3); zeros without an object. [m]"""
        self._views = {name: getattr(self.state, name).numpy() for name in _TENSORS}
        self._forces = {name: force.numpy() for name, force in self.state.contact_forces.items()}

    def update(self, physics: Array, control: Array, sensors: Array, torque: Array) -> None:
        """Overwrite the buffers.

        Args:
            physics: (N, state) as `layout.STATE`.
            control: (N, control) as `layout.CONTROL`.
            sensors: (N, sensor values) of the last substep.
            torque: (N, J) of the last substep [N m].
        """
        # An environment that is lost has values no float32 holds; the environment's guard sees and resets it.
        with np.errstate(all="ignore"):
            self._update_robot(physics, torque)
            self._update_object(physics, control)
            table = self._layout.table
            if table is not None:
                self._views["table_pos_w"][:] = control[:, table.pos]
                self._views["table_quat_w"][:] = control[:, table.quat]
            for name, columns in self._contact.items():
                self._forces[name][:] = sensors.take(columns, axis=1).reshape(self._forces[name].shape)

    def _update_robot(self, physics: Array, torque: Array) -> None:
        views, layout, links = self._views, self._layout, self._links
        root = tuple(
            physics[:, columns] for columns in (layout.root.pos, layout.root.quat, layout.root.lin_vel, layout.root.ang_vel)
        )
        joint_pos, joint_vel = physics.take(layout.joint_pos, axis=1), physics.take(layout.joint_vel, axis=1)
        links.update((root[0], root[1], root[2], root[3]), joint_pos, joint_vel)
        views["joint_pos"][:], views["joint_vel"][:], views["joint_torque"][:] = joint_pos, joint_vel, torque
        for name, value in (("pos", links.pos), ("quat", links.quat), ("lin_vel", links.lin_vel), ("ang_vel", links.ang_vel)):
            views[f"body_{name}_w"][:] = value.transpose(2, 1, 0)
            views[f"root_{name}_w"][:] = value[:, 0].T

    def _update_object(self, physics: Array, control: Array) -> None:
        views, columns = self._views, self._layout.object
        if columns is None:
            return
        source = physics if isinstance(columns, FreeColumns) else control
        quat = source[:, columns.quat]
        views["object_pos_w"][:] = source[:, columns.pos]
        views["object_quat_w"][:] = quat
        if isinstance(columns, FreeColumns):
            in_body = np.stack((physics[:, columns.ang_vel], self.object_com), axis=-1)
            ang_vel, arm = (_rotations(quat) @ in_body).transpose(2, 0, 1)
            views["object_ang_vel_w"][:] = ang_vel
            views["object_lin_vel_w"][:] = physics[:, columns.lin_vel] + _cross(ang_vel, arm)


_TENSORS = (
    *("root_pos_w", "root_quat_w", "root_lin_vel_w", "root_ang_vel_w", "joint_pos", "joint_vel", "joint_torque"),
    *("body_pos_w", "body_quat_w", "body_lin_vel_w", "body_ang_vel_w"),
    *("object_pos_w", "object_quat_w", "object_lin_vel_w", "object_ang_vel_w", "table_pos_w", "table_quat_w"),
)


def _cross(a: Array, b: Array) -> Array:
    """Return the cross product of vectors (N, 3); numpy's own takes five times as long for a few of them."""
    return a[:, _NEXT] * b[:, _LAST] - a[:, _LAST] * b[:, _NEXT]


_NEXT, _LAST = [1, 2, 0], [2, 0, 1]


def _rotations(quat: Array) -> Array:
    """Return the rotation matrices (N, 3, 3) of unit quaternions (N, 4)."""
    products = (quat[:, :, None] * quat[:, None]).reshape(len(quat), 16)
    return (products @ ROTATION.T).reshape(len(quat), 3, 3)


def _object_com(model: Any) -> Array:
    """Return the object's centre of mass in its own frame (3,); zeros without an object."""
    index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, OBJECT)
    return np.zeros(3) if index < 0 else np.array(model.body_ipos[index])
