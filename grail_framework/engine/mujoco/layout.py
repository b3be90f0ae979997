"""Where the quantities of a scene are in MuJoCo's state and control vectors; looked up by name once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import mujoco as _mujoco
import numpy as np

from grail_framework.engine.mujoco.model import OBJECT, TABLE
from grail_framework.robots.builder import ROOT_JOINT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.engine.protocol import SceneSpec

mujoco: Any = _mujoco  # its extension modules carry no types

STATE: Any = mujoco.mjtState.mjSTATE_FULLPHYSICS.value
"""What is kept between steps: time, qpos, qvel (and nothing else in these models)."""
CONTROL: Any = (
    mujoco.mjtState.mjSTATE_CTRL.value | mujoco.mjtState.mjSTATE_MOCAP_POS.value | mujoco.mjtState.mjSTATE_MOCAP_QUAT.value
)
"""What is given in each step: actuator targets, then positions and orientations of the kinematic bodies."""


@attrs.frozen(kw_only=True, eq=False)
class FreeColumns:
    """Columns of a free body in the state: position, orientation, linear (world) and angular (body frame) velocity."""

    pos: slice
    quat: slice
    lin_vel: slice
    ang_vel: slice


@attrs.frozen(kw_only=True, eq=False)
class MocapColumns:
    """Columns of a kinematic body in the control vector."""

    pos: slice
    quat: slice


@attrs.frozen(kw_only=True, eq=False)
class Layout:
    """Columns of everything the engine reads and writes."""

    state_size: int
    control_size: int
    root: FreeColumns
    joint_pos: NDArray[np.int64]  # (J,) in the state, robot order
    joint_vel: NDArray[np.int64]  # (J,) in the state, robot order
    target: NDArray[np.int64]  # (J,) in the control vector, robot order
    object: FreeColumns | MocapColumns | None
    table: MocapColumns | None


def make_layout(model: Any, scene: SceneSpec) -> Layout:
    """Look up the layout of a scene's models, which all share it."""
    joints = [model.joint(name).id for name in scene.robot.joint_names]
    # The state vector starts with the time.
    qpos, qvel = 1, 1 + model.nq
    moving: FreeColumns | MocapColumns | None = None
    if scene.objects:
        moving = _free(model, OBJECT, qpos, qvel) if scene.object_dynamic else _mocap(model, OBJECT)
    return Layout(
        state_size=mujoco.mj_stateSize(model, STATE),
        control_size=mujoco.mj_stateSize(model, CONTROL),
        root=_free(model, ROOT_JOINT, qpos, qvel),
        joint_pos=qpos + model.jnt_qposadr[joints].astype(np.int64),
        joint_vel=qvel + model.jnt_dofadr[joints].astype(np.int64),
        target=np.array([model.actuator(name).id for name in scene.robot.joint_names], dtype=np.int64),
        object=moving,
        table=_mocap(model, TABLE) if scene.table_size is not None else None,
    )


def _free(model: Any, joint: str, qpos: int, qvel: int) -> FreeColumns:
    index = model.joint(joint).id
    pos, vel = qpos + int(model.jnt_qposadr[index]), qvel + int(model.jnt_dofadr[index])
    return FreeColumns(
        pos=slice(pos, pos + 3), quat=slice(pos + 3, pos + 7), lin_vel=slice(vel, vel + 3), ang_vel=slice(vel + 3, vel + 6)
    )


def _mocap(model: Any, body: str) -> MocapColumns:
    index = int(model.body_mocapid[model.body(body).id])
    pos, quat = model.nu + 3 * index, model.nu + 3 * model.nmocap + 4 * index
    return MocapColumns(pos=slice(pos, pos + 3), quat=slice(quat, quat + 4))
