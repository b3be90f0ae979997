"""The GPU engine: all environments in one Isaac Lab simulation, its step and what surrounds it in CUDA graphs."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch

from grail_framework.engine.isaaclab.memory import check_memory, world_size
from grail_framework.engine.isaaclab.physics import NEWTON, capacity, check_backend
from grail_framework.engine.isaaclab.session import Session, quietly
from grail_framework.engine.isaaclab.worlds import world_order
from grail_framework.engine.objects import scene_objects
from grail_framework.engine.protocol import RANDOMIZABLE
from grail_framework.engine.state import empty_state
from grail_framework.errors import CheckpointError, EnvContractError
from grail_framework.logging.stages import stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grail_framework.engine.isaaclab.kernels import KernelLoader, KernelReport
    from grail_framework.engine.isaaclab.worlds import WorldOrder
    from grail_framework.engine.objects import SceneObjects
    from grail_framework.engine.protocol import ResetState, SceneSpec

_WARM_UP_STEPS: Final = 2
"""Physics captures its own graph after the first; the second is a replay."""


class IsaacLabEngine:
    """Simulates the scenes of a `SceneSpec` with Isaac Lab.

    On a GPU a control step is three graph launches: targets in, `decimation` physics steps, state out. Nothing waits for the device.
    """

    def __init__(self, spec: SceneSpec) -> None:
        """Build the simulation and step it once, which compiles what is not compiled yet.

        Raises:
            ConfigError: the physics backend cannot be used, or this process simulates a scene already.
            AssetError: an asset that cannot be simulated.
        """
        check_backend(spec.physics)
        self.spec = spec
        self.device = torch.device(spec.device)
        self.state = empty_state(spec, device=self.device)
        objects = scene_objects(spec) if spec.objects else None
        worlds = world_order(spec, objects)
        stage("importing Isaac Lab")
        with quietly():
            from grail_framework.engine.isaaclab.kernels import compiled_together, without_adjoints

            without_adjoints()
            _check_memory(spec, objects)
            with compiled_together(spec.device) as kernels:
                self.kernels: KernelReport = kernels.report
                self._session = Session(spec, worlds.sort(objects), kernels)
                try:
                    self._physics: Any = _physics(self._session, spec, self.state, worlds)
                    self._warm_up(kernels)
                except BaseException:
                    self._session.close()
                    raise

    @property
    def capturable_reset(self) -> bool:
        """Whether `reset` may be called while a CUDA graph is captured on torch's current stream."""
        return self.spec.physics == NEWTON and self.spec.cuda_graphs and self.device.type == "cuda"

    def step(self, joint_targets: torch.Tensor) -> None:
        """Advance `decimation` physics steps with constant joint position targets (N, J) [rad] and refresh `state`.

        Raises:
            EnvContractError: targets of another shape.
        """
        if joint_targets.shape != self._targets.shape:
            raise EnvContractError(
                f"joint targets have shape {tuple(joint_targets.shape)}; the scene needs {tuple(self._targets.shape)}"
            )
        self._targets.copy_(joint_targets)
        with self._same_stream():
            self._physics.write_targets(self._targets)
            self._physics.advance()
            self._refresh()
        # An actuator's limits turn a target that is no number into full torque; whoever gives one is told by the velocities.
        self.state.joint_vel.add_(self._targets, alpha=0.0)

    def reset(self, mask: torch.Tensor, to: ResetState) -> None:
        """Put the environments of the boolean mask (N,) into the given state and refresh `state`.

        Raises:
            EnvContractError: the scene has an object or a table and `to` has no pose for it.
        """
        if self.device.type == "cpu" and not mask.any():
            return  # on the CPU asking costs nothing
        with self._same_stream():
            self._physics.reset(mask, to)
            self._physics.read()

    def set_root_velocity(self, mask: torch.Tensor, lin_vel_w: torch.Tensor, ang_vel_w: torch.Tensor) -> None:
        """Give the root in the environments of the mask (N,) other velocities (N, 3), linear of its centre of mass."""
        with self._same_stream():
            self._physics.set_root_velocity(mask, lin_vel_w, ang_vel_w)
            self._physics.read()

    @property
    def randomizable(self) -> frozenset[str]:
        """Which properties of the robot `randomize` can set: those of `engine.protocol.RANDOMIZABLE` with Newton, none with PhysX."""
        return frozenset(RANDOMIZABLE) if self.spec.physics == NEWTON else frozenset()

    def randomize(self, quantity: str, mask: torch.Tensor, values: torch.Tensor) -> None:
        """Set a property of the robot in the environments of the mask (N,), relative to its own description, and refresh `state`.

        Raises:
            EnvContractError: values of another shape, or a property that cannot be set.
        """
        if quantity not in self.randomizable:
            raise EnvContractError(
                f"{quantity!r} cannot be set per environment with physics={self.spec.physics}; "
                f"{', '.join(sorted(self.randomizable)) or 'nothing'} can"
            )
        with self._same_stream():
            self._physics.randomize(quantity, mask, values)
            self._physics.read()

    def drain_overflows(self) -> torch.Tensor:
        """Return in how many environments contacts were dropped since the last call; PhysX prints what it drops, and says 0 here."""
        return self._physics.drain_overflows()

    def bare_step(self) -> Callable[[], None]:
        """Return what advances the same model under the same controls by one control step of physics, and nothing else."""
        return self._physics.bare_step()

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the simulation's state; on the CPU a run goes on bitwise."""
        return {
            "physics": self.spec.physics,
            "joint_names": list(self.spec.robot.joint_names),
            **self._physics.state_dict(),
            **{f"state_{name}": getattr(self.state, name).clone() for name in _PLACED},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned and refresh `state`.

        Raises:
            CheckpointError: the state is of another scene or another physics backend.
        """
        self._check(state)
        self._physics.load_state_dict({name: value for name, value in state.items() if isinstance(value, torch.Tensor)})
        for name in _PLACED:
            getattr(self.state, name).copy_(state[f"state_{name}"])
        with self._same_stream():
            self._physics.read()

    def close(self) -> None:
        """End the simulation; another engine may follow in this process."""
        # Isaac Lab's and Warp's arrays must be gone before the simulation that owns them.
        del self._physics
        gc.collect()
        self._session.close()

    def _check(self, state: dict[str, Any]) -> None:
        mine = self.state_dict()
        if set(state) != set(mine):
            raise CheckpointError(f"engine state has the keys {sorted(state)}; the isaaclab engine needs {sorted(mine)} here")
        for name in ("physics", "joint_names"):
            if state[name] != mine[name]:
                raise CheckpointError(
                    f"engine state was saved with other {name.replace('_', ' ')}: {state[name]}; resume as saved"
                )
        for name, value in mine.items():
            if isinstance(value, torch.Tensor) and value.shape != state[name].shape:
                raise CheckpointError(
                    f"engine state {name!r} has shape {tuple(state[name].shape)}, this scene {tuple(value.shape)}; resume with the same "
                    "number of environments, objects, table and contact sensors"
                )

    def _warm_up(self, kernels: KernelLoader) -> None:
        """Step once, so that everything is compiled and captured, and return to the state before."""
        self._targets = torch.zeros_like(self.state.joint_pos)
        self._physics.read()
        before = self._physics.state_dict()
        if self.spec.physics == NEWTON:
            stage("compiling what a step needs")
            kernels.rehearse(self._physics.launch_all)
        stage("first physics step")
        for _ in range(_WARM_UP_STEPS):
            self._physics.write_targets(self.state.joint_pos)
            self._physics.advance()
            self._refresh()
        self._physics.load_state_dict(before)
        self._physics.read()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _refresh(self) -> None:
        self._physics.read()
        self._physics.read_contacts()

    @contextmanager
    def _same_stream(self) -> Iterator[None]:
        """Let Warp launch on torch's current stream: one order for both, in a graph that torch captures as well."""
        if self.device.type == "cpu":
            yield
            return
        import warp as wp

        with wp.ScopedStream(wp.stream_from_torch(torch.cuda.current_stream(self.device)), sync_enter=False):
            yield


_PLACED: Final = ("object_pos_w", "object_quat_w", "table_pos_w", "table_quat_w")


def build(spec: SceneSpec) -> IsaacLabEngine:
    """Make the Isaac Lab engine of a scene (the factory that is registered)."""
    return IsaacLabEngine(spec)


def _check_memory(spec: SceneSpec, objects: SceneObjects | None) -> None:
    """Demand the memory the environments take, where it is known.

    Raises:
        ConfigError: fewer fit.
        AssetError: MuJoCo refuses a convex piece of an object.
    """
    if spec.physics != NEWTON:
        return
    contacts, constraints = capacity(objects, dynamic=spec.object_dynamic, room=spec.contact_room)
    check_memory(world_size(spec, objects, contacts=contacts, constraints=constraints), spec.num_envs, spec.device)


def _physics(session: Session, spec: SceneSpec, state: Any, worlds: WorldOrder) -> Any:
    if spec.physics == NEWTON:
        from grail_framework.engine.isaaclab.newton import NewtonPhysics

        return NewtonPhysics(session, spec, state, worlds)
    from grail_framework.engine.isaaclab.physx import PhysxPhysics

    return PhysxPhysics(session, spec, state)
