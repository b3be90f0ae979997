"""Isaac Lab's simulation of a scene: launched without Isaac Sim, spawned, cloned and brought to its first state."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, Final

from grail_framework.engine.isaaclab.physics import NEWTON, physics_cfg
from grail_framework.engine.isaaclab.scene import scene_cfg
from grail_framework.errors import AssetError, ConfigError
from grail_framework.logging.stages import stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grail_framework.engine.isaaclab.kernels import KernelLoader
    from grail_framework.engine.objects import SceneObjects
    from grail_framework.engine.protocol import SceneSpec

_log: Final = logging.getLogger(__name__)


class Session:
    """The one simulation of this process: Isaac Lab keeps its simulation in module-level state."""

    def __init__(self, spec: SceneSpec, objects: SceneObjects | None, kernels: KernelLoader) -> None:
        """Build it, while kernels that it will need are compiled.

        Raises:
            ConfigError: this process has a simulation already, or the physics backend cannot be used.
            AssetError: an asset cannot be converted, or the solver refuses one.
        """
        with quietly():
            from isaaclab.app import launch_simulation
            from isaaclab.scene import InteractiveScene
            from isaaclab.sim import SimulationCfg, SimulationContext

            if SimulationContext.instance() is not None:
                raise ConfigError(
                    "Isaac Lab simulates one scene per process, and this one has a scene already; close its engine first"
                )
            with ExitStack() as stack:
                if spec.physics == NEWTON:
                    kernels.begin_newton(objects=objects is not None)
                stage("building the scene")
                cfg = scene_cfg(spec, objects)
                launcher: dict[str, Any] = {"device": spec.device, "headless": True}
                physics = stack.enter_context(launch_simulation(physics_cfg(spec, objects), launcher))
                self.simulation: Any = SimulationContext(
                    SimulationCfg(dt=spec.physics_dt, device=spec.device, physics=physics, save_logs_to_file=False)
                )
                stack.callback(SimulationContext.clear_instance)
                self.scene: Any = InteractiveScene(cfg)
                if spec.physics == NEWTON:
                    from grail_framework.engine.isaaclab.newton import drive_by_position

                    drive_by_position(self)
                else:
                    from grail_framework.engine.isaaclab.physx import allow_pinned_memory_without_cuda

                    allow_pinned_memory_without_cuda()
                stage("loading physics kernels")
                try:
                    self.simulation.reset()
                except ValueError as error:
                    reason = " ".join(line.strip() for line in str(error).removeprefix("Error: ").splitlines())
                    raise AssetError(
                        f"the solver refuses the scene ({reason}); check mass, inertia and shape of robot and objects"
                    ) from error
                if spec.physics == NEWTON:
                    from grail_framework.engine.isaaclab.newton import mend_collisions

                    mend_collisions(objects.env_body if objects else (0,) * spec.num_envs)
                self.scene.reset()
                self._open = stack.pop_all()

    def close(self) -> None:
        """End the simulation and release its memory; another one may follow."""
        with quietly():
            self._open.close()


@contextmanager
def quietly() -> Iterator[None]:
    """Send what Isaac Lab, Newton and Warp print, and their warnings to their own developers, to the log."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            yield
    finally:
        for line in printed.getvalue().splitlines():
            _log.debug("%s", line)
    for warning in caught:
        _log.debug("%s: %s", warning.category.__name__, warning.message)
