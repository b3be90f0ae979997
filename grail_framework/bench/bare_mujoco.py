"""MuJoCo alone: `mujoco.rollout` of an engine's models without sensors, from the states and with the controls of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import mujoco as _mujoco
import numpy as np
from mujoco import rollout

from grail_framework.engine.mujoco.engine import cores_per_process
from grail_framework.engine.mujoco.layout import CONTROL, STATE, make_layout
from grail_framework.engine.mujoco.model import build_models

if TYPE_CHECKING:
    import torch

    from grail_framework.engine.mujoco.engine import MujocoEngine

mujoco: Any = _mujoco  # its extension modules carry no types


class BareMujoco:
    """Steps the models of a CPU engine without reading anything out."""

    def __init__(self, engine: MujocoEngine) -> None:
        spec = attrs.evolve(engine.spec, contact_sensors={})
        built = build_models(spec)
        threads = min(spec.num_threads or cores_per_process(), spec.num_envs)
        self._engine, self._decimation, self._models = engine, spec.decimation, list(built.models)
        self._target = make_layout(built.largest, spec).target
        self._pool = rollout.Rollout(nthread=threads if threads > 1 else 0)
        self._data = [mujoco.MjData(built.largest) for _ in range(threads)]
        self._state = np.zeros((spec.num_envs, spec.decimation, mujoco.mj_stateSize(built.largest, STATE)))
        self._sensors = np.zeros((spec.num_envs, spec.decimation, built.largest.nsensordata))
        self._physics = np.zeros(())
        self._control = np.zeros(())
        self.take(engine.state.joint_pos)

    def take(self, joint_targets: torch.Tensor) -> None:
        """Take over the engine's states, and the targets (N, J) [rad] it is about to be given."""
        state = self._engine.state_dict()
        self._physics = state["physics"].numpy()
        self._control = np.tile(state["control"].numpy()[:, None], (1, self._decimation, 1))
        self._control[:, :, self._target] = joint_targets.numpy()[:, None]

    def step(self) -> None:
        """Advance what was taken over by one control step, in the same call as the engine's."""
        self._pool.rollout(
            self._models,
            self._data,
            self._physics,
            self._control,
            control_spec=CONTROL,
            skip_checks=True,
            nstep=self._decimation,
            state=self._state,
            sensordata=self._sensors,
        )

    @property
    def result(self) -> np.ndarray:
        """States after the last step (N, full physics)."""
        return self._state[:, -1]

    def close(self) -> None:
        """Stop the thread pool."""
        self._pool.close()
        self._data.clear()
