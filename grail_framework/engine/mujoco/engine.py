"""The CPU engine: all environments in one call of `mujoco.rollout` per control step, on a persistent thread pool."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import mujoco as _mujoco
import numpy as np
import torch
from mujoco import rollout

from grail_framework.engine.mujoco.actuators import Actuators
from grail_framework.engine.mujoco.layout import CONTROL, STATE, FreeColumns, MocapColumns, make_layout
from grail_framework.engine.mujoco.model import build_models
from grail_framework.engine.mujoco.readout import Readout
from grail_framework.engine.mujoco.sensors import sensor_layout
from grail_framework.errors import CheckpointError, ConfigError, EnvContractError
from grail_framework.robots.rotations import quat_apply, quat_apply_inverse, quat_normalize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from grail_framework.engine.protocol import ResetState, SceneSpec

mujoco: Any = _mujoco  # its extension modules carry no types
_log: Final = logging.getLogger(__name__)


class MujocoEngine:
    """Simulates the scenes of a `SceneSpec` on the CPU. Deterministic: the same calls give the same bits for any thread count."""

    def __init__(self, spec: SceneSpec) -> None:
        """Build the models.

        Raises:
            ConfigError: a device other than the CPU, or a scene that contradicts itself.
            AssetError: an object that cannot be simulated.
        """
        self.device = torch.device(spec.device)
        if self.device.type != "cpu":
            raise ConfigError(f"the mujoco engine runs on the CPU, not on {spec.device!r}; set engine.device=cpu")
        self.spec = spec
        with _quiet():
            built = build_models(spec)
        self._models = list(built.models)
        self._layout = make_layout(built.largest, spec)
        self._actuators = Actuators(built.largest, self._layout)
        self._readout = Readout(spec, self._layout, sensor_layout(built.largest, spec), self._models)
        self.state = self._readout.state
        threads = min(spec.num_threads or cores_per_process(), spec.num_envs)
        self._pool = rollout.Rollout(nthread=threads if threads > 1 else 0)
        self._data = [mujoco.MjData(built.largest) for _ in range(threads)]
        self._allocate(built.largest)
        self._refresh()

    def step(self, joint_targets: torch.Tensor) -> None:
        """Advance `decimation` physics steps with constant joint position targets (N, J) [rad] and refresh `state`.

        An environment whose state or targets are not finite, or that diverges within the step, gets a state of NaN.

        Raises:
            EnvContractError: targets of another shape.
        """
        if joint_targets.shape != self.state.joint_pos.shape:
            raise EnvContractError(
                f"joint targets have shape {tuple(joint_targets.shape)}; the scene needs {tuple(self.state.joint_pos.shape)}"
            )
        targets = joint_targets.detach().numpy()
        lost = ~(np.isfinite(self._physics).all(axis=1) & np.isfinite(targets).all(axis=1))
        self._control[:, :, self._layout.target] = targets[:, None, :]
        if lost.any():
            self._physics[lost] = self._initial[lost]
            self._control[lost] = self._parked
        start = self._physics.copy()
        with _quiet():
            self._pool.rollout(
                self._models,
                self._data,
                self._physics,
                self._control,
                control_spec=CONTROL,
                skip_checks=True,
                nstep=self.spec.decimation,
                state=self._out_state,
                sensordata=self._out_sensors,
            )
        self._physics[:] = self._out_state[:, -1]
        self._sensors[:] = self._out_sensors[:, -1]
        before = self._out_state[:, -2] if self.spec.decimation > 1 else start
        self._torque[:] = self._actuators.torques(self._control[:, -1], before)
        # MuJoCo ends a diverging environment's rollout early and repeats its last state: its clock stands still.
        lost |= ~(self._physics[:, 0] - start[:, 0] > (self.spec.decimation - 0.5) * self.spec.physics_dt)
        if lost.any():
            self._physics[lost] = np.nan
            self._sensors[lost] = 0.0
            self._torque[lost] = 0.0
        self._refresh()

    def reset(self, mask: torch.Tensor, to: ResetState) -> None:
        """Put the environments of the boolean mask (N,) into the given state and refresh `state`.

        Raises:
            EnvContractError: the scene has an object or a table and `to` has no pose for it.
        """
        rows = mask.numpy()
        if not rows.any():  # most control steps end no episode, and on the CPU asking costs nothing
            return
        layout, physics, control = self._layout, self._physics, self._control
        physics[rows] = 0.0
        physics[rows, layout.root.pos] = to.root_pos_w.numpy()[rows]
        quat = quat_normalize(to.root_quat_w.double())
        physics[rows, layout.root.quat] = quat.numpy()[rows]
        physics[rows, layout.root.lin_vel] = to.root_lin_vel_w.numpy()[rows]
        physics[rows, layout.root.ang_vel] = quat_apply_inverse(quat, to.root_ang_vel_w.double()).numpy()[rows]
        physics[np.ix_(rows, layout.joint_pos)] = to.joint_pos.numpy()[rows]
        physics[np.ix_(rows, layout.joint_vel)] = to.joint_vel.numpy()[rows]
        if layout.object is not None:
            pose = _given("object", to.object_pos_w, to.object_quat_w)
            _place(layout.object, physics if isinstance(layout.object, FreeColumns) else control, rows, pose)
            moving = to.object_lin_vel_w is not None and to.object_ang_vel_w is not None
            if moving and isinstance(layout.object, FreeColumns):
                self._set_velocity(
                    rows, layout.object, torch.from_numpy(self._readout.object_com), to.object_lin_vel_w, to.object_ang_vel_w
                )
        if layout.table is not None:
            _place(layout.table, control, rows, _given("table", to.table_pos_w, to.table_quat_w))
        self._sensors[rows] = 0.0
        self._torque[rows] = 0.0
        self._refresh()

    def set_root_velocity(self, mask: torch.Tensor, lin_vel_w: torch.Tensor, ang_vel_w: torch.Tensor) -> None:
        """Give the root in the environments of the mask (N,) other velocities (N, 3), linear of its centre of mass."""
        rows = mask.numpy()
        if not rows.any():
            return
        com = torch.tensor(self.spec.robot.bodies[0].com, dtype=torch.float64)
        self._set_velocity(rows, self._layout.root, com, lin_vel_w, ang_vel_w)
        self._refresh()

    def _set_velocity(
        self, rows: NDArray[np.bool_], body: FreeColumns, com: torch.Tensor, lin_vel_w: Any, ang_vel_w: Any
    ) -> None:
        """Write the velocities (N, 3) of a free body whose pose is written already; `com` (..., 3) in its frame."""
        quat, ang_vel = torch.from_numpy(self._physics[:, body.quat]), ang_vel_w.double()
        origin = lin_vel_w.double() - torch.linalg.cross(ang_vel, quat_apply(quat, com))
        self._physics[rows, body.lin_vel] = origin.numpy()[rows]
        self._physics[rows, body.ang_vel] = quat_apply_inverse(quat, ang_vel).numpy()[rows]

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the physics state, the kinematic poses, the last contact forces and torques; a run goes on bitwise."""
        return {
            "physics": torch.from_numpy(self._physics.copy()),
            "control": torch.from_numpy(self._control[:, 0].copy()),
            "sensors": torch.from_numpy(self._sensors.copy()),
            "torque": torch.from_numpy(self._torque.copy()),
            "joint_names": list(self.spec.robot.joint_names),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned and refresh `state`.

        Raises:
            CheckpointError: the state is of another scene (keys, shapes or joints).
        """
        mine = self.state_dict()
        if set(state) != set(mine):
            raise CheckpointError(f"engine state has the keys {sorted(state)}; the mujoco engine needs {sorted(mine)}")
        if state["joint_names"] != mine["joint_names"]:
            raise CheckpointError("engine state is of a robot with other joints; resume with the robot it was saved with")
        for key in ("physics", "control", "sensors", "torque"):
            if state[key].shape != mine[key].shape:
                raise CheckpointError(
                    f"engine state {key!r} has shape {tuple(state[key].shape)}, this scene {tuple(mine[key].shape)}; "
                    "resume with the same number of environments, objects, table and contact sensors"
                )
        self._physics[:] = state["physics"].cpu().numpy()
        self._control[:] = state["control"].cpu().numpy()[:, None]
        self._sensors[:] = state["sensors"].cpu().numpy()
        self._torque[:] = state["torque"].cpu().numpy()
        self._refresh()

    def close(self) -> None:
        """Stop the thread pool; the engine cannot step any more."""
        if self._pool.rollout_ is not None:
            self._pool.close()
        self._data.clear()

    def _allocate(self, model: Any) -> None:
        """Allocate the arrays that rollout reads and writes."""
        envs, steps, layout = self.spec.num_envs, self.spec.decimation, self._layout
        data = mujoco.MjData(model)
        data.qpos[layout.joint_pos - 1] = [joint.default_pos for joint in self.spec.robot.joints]
        data.qpos[2 + layout.root.pos.start - 1] = self.spec.robot.spawn_height
        data.ctrl[layout.target] = [joint.default_pos for joint in self.spec.robot.joints]
        resting, parked = np.empty(layout.state_size), np.empty(layout.control_size)
        mujoco.mj_getState(model, data, resting, STATE)
        mujoco.mj_getState(model, data, parked, CONTROL)
        self._parked: NDArray[np.float64] = parked
        self._initial = np.tile(resting, (envs, 1))
        self._physics = self._initial.copy()
        self._control = np.tile(parked, (envs, steps, 1))
        self._sensors = np.zeros((envs, model.nsensordata))
        self._torque = np.zeros((envs, len(layout.target)))
        self._out_state = np.zeros((envs, steps, layout.state_size))
        self._out_sensors = np.zeros((envs, steps, model.nsensordata))

    def _refresh(self) -> None:
        self._readout.update(self._physics, self._control[:, 0], self._sensors, self._torque)


def build(spec: SceneSpec) -> MujocoEngine:
    """Make the CPU engine of a scene (the factory that is registered)."""
    return MujocoEngine(spec)


def _given(what: str, pos: torch.Tensor | None, quat: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    if pos is None or quat is None:
        raise EnvContractError(f"the scene has an {what}, but the reset state gives no {what}_pos_w and {what}_quat_w for it")
    return pos, quat


def _place(
    columns: FreeColumns | MocapColumns,
    array: NDArray[np.float64],
    rows: NDArray[np.bool_],
    pose: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """Write a pose into the rows of the state (N, ...) or of the control (N, steps, ...)."""
    pos, quat = pose[0].numpy()[rows], quat_normalize(pose[1].double()).numpy()[rows]
    array[rows, ..., columns.pos] = pos if array.ndim == 2 else pos[:, None]
    array[rows, ..., columns.quat] = quat if array.ndim == 2 else quat[:, None]


def cores_per_process() -> int:
    """Count the processor cores this process may use: its share, where a launcher started several processes on the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Send MuJoCo's warnings to the log instead of the console and a file in the working directory."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_log.debug)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)
