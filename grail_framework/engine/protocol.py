"""What an engine is given, what it keeps up to date and what it must be able to do.

Conventions everywhere: SI units; the world frame is local to each environment (z up, origin on the ground); quaternions are wxyz
and unit; joints and bodies are in the order of the `RobotSpec`, always mapped by name. `_w` is the world frame, `_b` the frame of
the robot's root body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    import torch

    from grail_framework.robots.spec import RobotSpec


@attrs.frozen(kw_only=True)
class ObjectSpec:
    """One object asset and what overrides its own physical properties."""

    name: str
    path: str
    """USD file."""
    mass: float | None = None
    """[kg]; None: from density, else from the file."""
    density: float | None = None
    """[kg/m^3]; used when mass is None."""
    friction: float = 1.0
    max_pieces: int = 16
    """Bound of the number of convex pieces it is split into."""


@attrs.frozen(kw_only=True)
class ContactSensorSpec:
    """Net force of a partner on each of some robot links; `links` are body names, already resolved and ordered."""

    links: tuple[str, ...]
    partner: str
    """object, table, ground or any."""


@attrs.frozen(kw_only=True)
class SceneSpec:
    """All an engine needs to know to simulate `num_envs` copies of a scene."""

    num_envs: int
    robot: RobotSpec
    physics_dt: float = 0.005
    decimation: int = 4
    ground_friction: float = 1.0
    env_spacing: float = 10.0
    objects: tuple[ObjectSpec, ...] = ()
    """Distinct objects; empty: robot only."""
    env_object: tuple[int, ...] = ()
    """Index into `objects` of each environment, `num_envs` long; empty when there are no objects."""
    object_dynamic: bool = True
    table_size: tuple[float, float, float] | None = None
    """Extent of the kinematic table [m]; None: no table."""
    contact_sensors: dict[str, ContactSensorSpec] = attrs.field(factory=dict)
    device: str = "cpu"
    num_threads: int | None = None
    solver_iterations: int = 20
    contact_room: float = 1.0
    """Factor on the room for contacts and constraints of an engine whose room is bounded."""
    physics: str = "newton"
    """Backend of an engine that has several: newton, physx or ovphysx."""
    cuda_graphs: bool = True
    """Whether an engine on a GPU may capture its step in CUDA graphs."""

    @property
    def step_dt(self) -> float:
        """Length of a control step. [s]"""
        return self.physics_dt * self.decimation


@attrs.define(kw_only=True)
class SceneState:
    """Persistent buffers an engine overwrites in place; terms read them and never write.

    N environments, J joints, B bodies of the robot. Linear velocities of bodies and root are those of the link's centre of mass
    (as Isaac Lab gives them); positions and orientations are of the link frame.
    """

    root_pos_w: torch.Tensor  # (N, 3)
    root_quat_w: torch.Tensor  # (N, 4)
    root_lin_vel_w: torch.Tensor  # (N, 3)
    root_ang_vel_w: torch.Tensor  # (N, 3)
    joint_pos: torch.Tensor  # (N, J)
    joint_vel: torch.Tensor  # (N, J)
    joint_torque: torch.Tensor  # (N, J) actuator torque of the last substep
    body_pos_w: torch.Tensor  # (N, B, 3)
    body_quat_w: torch.Tensor  # (N, B, 4)
    body_lin_vel_w: torch.Tensor  # (N, B, 3)
    body_ang_vel_w: torch.Tensor  # (N, B, 3)
    object_pos_w: torch.Tensor  # (N, 3), zeros without an object
    object_quat_w: torch.Tensor  # (N, 4), identity without an object
    object_lin_vel_w: torch.Tensor  # (N, 3)
    object_ang_vel_w: torch.Tensor  # (N, 3)
    table_pos_w: torch.Tensor  # (N, 3), zeros without a table
    table_quat_w: torch.Tensor  # (N, 4), identity without a table
    contact_forces: dict[str, torch.Tensor]
    """By sensor name, (N, links, 3): net force the partner exerts on the link, world frame, last substep [N]."""


@attrs.frozen(kw_only=True)
class ResetState:
    """Full-size tensors of the state to reset to; only the rows of the mask are used. Velocities are of the link origin."""

    root_pos_w: torch.Tensor  # (N, 3)
    root_quat_w: torch.Tensor  # (N, 4)
    root_lin_vel_w: torch.Tensor  # (N, 3)
    root_ang_vel_w: torch.Tensor  # (N, 3)
    joint_pos: torch.Tensor  # (N, J)
    joint_vel: torch.Tensor  # (N, J)
    object_pos_w: torch.Tensor | None = None  # (N, 3)
    object_quat_w: torch.Tensor | None = None  # (N, 4)
    object_lin_vel_w: torch.Tensor | None = None  # (N, 3), of its centre of mass as in `SceneState`; None: at rest
    object_ang_vel_w: torch.Tensor | None = None  # (N, 3); None: at rest
    table_pos_w: torch.Tensor | None = None  # (N, 3)
    table_quat_w: torch.Tensor | None = None  # (N, 4)


class Engine(Protocol):
    """Simulates the scenes of a `SceneSpec`. Registered as a factory `spec -> Engine` through `grail_register_engines`."""

    spec: SceneSpec
    device: torch.device
    state: SceneState

    def step(self, joint_targets: torch.Tensor) -> None:
        """Advance `decimation` physics steps with constant joint position targets (N, J) [rad] and refresh `state`."""
        ...

    def reset(self, mask: torch.Tensor, to: ResetState) -> None:
        """Put the environments of the boolean mask (N,) into the given state and refresh `state` (contact forces there become 0)."""
        ...

    def set_root_velocity(self, mask: torch.Tensor, lin_vel_w: torch.Tensor, ang_vel_w: torch.Tensor) -> None:
        """Give the robot's root in the environments of the boolean mask (N,) other velocities (N, 3), and refresh `state`.

        As in `SceneState`, the linear velocity is that of the link's centre of mass [m/s]; the angular one is in world axes [rad/s].
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values from which `load_state_dict` restores the simulation exactly."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned and refresh `state`.

        Raises:
            CheckpointError: the state is of another scene (shape or key).
        """
        ...

    def close(self) -> None:
        """Release threads and device memory."""
        ...


MATERIAL = "material"
BODY_MASS = "body_mass"
BODY_COM = "body_com"
RANDOMIZABLE = {
    MATERIAL: "static friction, dynamic friction and restitution of the robot's surfaces, (N, 3) [-]",
    BODY_MASS: "a factor on mass and inertia of each body of the robot, (N, B) [-]",
    BODY_COM: "a shift of the centre of mass of each body of the robot in its link frame, (N, B, 3) [m]",
}
"""Properties an engine may be able to change per environment, and the values it is given for them."""


@runtime_checkable
class RandomizingEngine(Protocol):
    """What an engine offers beside `Engine` when its environments may differ in physical properties of the robot."""

    randomizable: frozenset[str]
    """Which of `RANDOMIZABLE` it can change."""

    def randomize(self, quantity: str, mask: torch.Tensor, values: torch.Tensor) -> None:
        """Set a property of the environments of the mask (N,), relative to the robot's own description, not to the last call."""
        ...


@runtime_checkable
class BoundedEngine(Protocol):
    """What an engine offers beside `Engine` when its room for contacts is bounded and what does not fit is dropped."""

    def drain_overflows(self) -> torch.Tensor:
        """Return in how many environments contacts were dropped since the last call, a scalar; nothing waits for the device."""
        ...
