"""The torque of a position actuator, from the state it acted on: a sensor for each joint would cost more than the formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.engine.mujoco.layout import Layout


class Actuators:
    """Gains and bounds of the joints' actuators, in robot order, as a compiled model has them."""

    def __init__(self, model: Any, layout: Layout) -> None:
        actuator = layout.target
        self._layout = layout
        self._gain = np.array(model.actuator_gainprm[actuator, 0])
        self._bias, self._stiffness, self._damping = np.array(model.actuator_biasprm[actuator, :3]).T
        self._lowest, self._highest = np.array(model.actuator_forcerange[actuator]).T

    def torques(self, control: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the torques (N, J) [N m] of a physics step from its control (N, control) and the state before it (N, state)."""
        layout = self._layout
        force = self._gain * control.take(layout.target, axis=1) + self._bias
        force += self._stiffness * before.take(layout.joint_pos, axis=1)
        force += self._damping * before.take(layout.joint_vel, axis=1)
        return np.clip(force, self._lowest, self._highest, out=force)
