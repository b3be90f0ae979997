"""PhysX through Isaac Lab's assets and sensors: targets in, state out, environments reset by a mask.

Isaac Lab has one interface for PhysX inside Isaac Sim and for its own packages (ovphysx), so this serves both. PhysX simulates all
environments in one world, each at an origin of its own, and numbers links and joints in its own order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
import warp as wp

from grail_framework.engine.isaaclab.physx_scene import sensor_name
from grail_framework.engine.isaaclab.poses import given_pose, wxyz, xyzw
from grail_framework.errors import AssetError
from grail_framework.robots.rotations import quat_normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grail_framework.engine.isaaclab.session import Session
    from grail_framework.engine.protocol import ResetState, SceneSpec, SceneState

_POS: Final = slice(0, 3)
_QUAT: Final = slice(3, 7)
_LINEAR: Final = slice(0, 3)
_ANGULAR: Final = slice(3, 6)


def allow_pinned_memory_without_cuda() -> None:
    """Give Warp ordinary memory where it is asked for page-locked memory, which only a CUDA driver can lock.

    Isaac Lab asks for it on the CPU as well, to copy to a GPU from it. Where there is none, the memory of the process does as well.
    """
    if not wp.is_cuda_available():
        host: Any = wp.get_device("cpu")
        host.pinned_allocator = host.default_allocator


class PhysxPhysics:
    """Reads and writes a PhysX simulation that Isaac Lab has built."""

    def __init__(self, session: Session, spec: SceneSpec, state: SceneState) -> None:
        """Find links, joints and sensors by name.

        Raises:
            AssetError: a link or joint is not there.
        """
        self._simulation = session.simulation
        self._scene = session.scene
        self._spec = spec
        self._state = state
        self._robot: Any = session.scene["robot"]
        self._object: Any = session.scene["object"] if spec.objects else None
        self._table: Any = session.scene["table"] if spec.table_size is not None else None
        self._origins = session.scene.env_origins.to(dtype=torch.float32)
        device = self._origins.device
        robot = spec.robot
        self._joints = torch.tensor(places_of(robot.joint_names, self._robot.joint_names, "joint"), device=device)
        self._links = torch.tensor(places_of(robot.body_names, self._robot.body_names, "link"), device=device)
        self._targets = self._robot.data.joint_pos.torch.clone()
        self._sensors = [self._sensor(name) for name in spec.contact_sensors]

    def _sensor(self, name: str) -> tuple[torch.Tensor, Any, torch.Tensor, bool]:
        """Return a sensor's buffer, Isaac Lab's sensor, where its links lie in that one, and whether it is filtered."""
        sensor, links = self._scene[sensor_name(name)], self._spec.contact_sensors[name].links
        places = torch.tensor(places_of(links, sensor.body_names, "link"), device=self._origins.device)
        return self._state.contact_forces[name], sensor, places, bool(sensor.cfg.filter_prim_paths_expr)

    # --- A step ---

    def write_targets(self, joint_targets: torch.Tensor) -> None:
        """Set the actuators' position targets (N, J) [rad]."""
        self._targets.index_copy_(1, self._joints, joint_targets)
        self._robot.actuators.target_command.set_position_mask(value=self._targets)

    def advance(self) -> None:
        """Simulate `decimation` physics steps, and keep the torques of the last."""
        for _ in range(self._spec.decimation):
            self._scene.write_data_to_sim()
            self._simulation.step(render=False)
            # Sensors too: PhysX reports that a contact ended only in the step in which it does.
            self._scene.update(self._spec.physics_dt)
        self._state.joint_torque.copy_(self._robot.actuators.applied_effort.torch[:, self._joints])

    def read(self) -> None:
        """Refresh poses and velocities of the scene's state."""
        state, data = self._state, self._robot.data
        pose, twist = data.body_link_pose_w.torch[:, self._links], data.body_com_vel_w.torch[:, self._links]
        state.body_pos_w.copy_(pose[..., _POS] - self._origins.unsqueeze(1))
        state.body_quat_w.copy_(wxyz(pose[..., _QUAT]))
        state.body_lin_vel_w.copy_(twist[..., _LINEAR])
        state.body_ang_vel_w.copy_(twist[..., _ANGULAR])
        root, spin = data.root_link_pose_w.torch, data.root_com_vel_w.torch
        state.root_pos_w.copy_(root[:, _POS] - self._origins)
        state.root_quat_w.copy_(wxyz(root[:, _QUAT]))
        state.root_lin_vel_w.copy_(spin[:, _LINEAR])
        state.root_ang_vel_w.copy_(spin[:, _ANGULAR])
        state.joint_pos.copy_(data.joint_pos.torch[:, self._joints])
        state.joint_vel.copy_(data.joint_vel.torch[:, self._joints])
        if self._object is not None and self._spec.object_dynamic:
            self._read_object()

    def _read_object(self) -> None:
        state, data = self._state, self._object.data
        pose, twist = data.root_link_pose_w.torch, data.root_com_vel_w.torch
        state.object_pos_w.copy_(pose[:, _POS] - self._origins)
        state.object_quat_w.copy_(wxyz(pose[:, _QUAT]))
        state.object_lin_vel_w.copy_(twist[:, _LINEAR])
        state.object_ang_vel_w.copy_(twist[:, _ANGULAR])

    def read_contacts(self) -> None:
        """Refresh the contact forces of the scene's state, those of the last substep."""
        for buffer, sensor, places, filtered in self._sensors:
            # (N, links, partners, 3) with one partner, or (N, links, 3) of whatever touches.
            forces = sensor.data.force_matrix_w.torch[:, :, 0] if filtered else sensor.data.net_forces_w.torch
            buffer.copy_(forces[:, places])

    def drain_overflows(self) -> torch.Tensor:
        """Return 0: PhysX prints what does not fit into its buffers, and tells no one else."""
        return torch.zeros((), device=self._spec.device)

    def bare_step(self) -> Callable[[], None]:
        """Return what advances the same model under the same controls by `decimation` physics steps, and nothing else."""

        def advance() -> None:
            for _ in range(self._spec.decimation):
                self._simulation.step(render=False)

        return advance

    # --- Writing states ---

    def reset(self, mask: torch.Tensor, to: ResetState) -> None:
        """Put the environments of the mask (N,) into the given state.

        Raises:
            EnvContractError: the scene has an object or a table and `to` has no pose for it.
        """
        rows = wp.from_torch(mask.contiguous())
        self._put_robot(rows, to)
        if self._object is not None:
            pos, quat = given_pose("object", to.object_pos_w, to.object_quat_w)
            self._put_body(self._object, rows, pos, quat)
            if self._spec.object_dynamic:
                lin_vel, ang_vel = to.object_lin_vel_w, to.object_ang_vel_w
                twist = pos.new_zeros(len(pos), 6)
                if lin_vel is not None and ang_vel is not None:
                    twist = torch.cat((lin_vel, ang_vel), dim=1)
                self._object.write_root_com_velocity_to_sim_mask(root_velocity=twist, env_mask=rows)
            else:
                _keep(mask, self._state.object_pos_w, pos)
                _keep(mask, self._state.object_quat_w, quat_normalize(quat))
        if self._table is not None:
            pos, quat = given_pose("table", to.table_pos_w, to.table_quat_w)
            self._put_body(self._table, rows, pos, quat)
            _keep(mask, self._state.table_pos_w, pos)
            _keep(mask, self._state.table_quat_w, quat_normalize(quat))
        for force in self._state.contact_forces.values():
            force.masked_fill_(mask[:, None, None], 0.0)
        self._state.joint_torque.masked_fill_(mask.unsqueeze(1), 0.0)

    def _put_robot(self, rows: Any, to: ResetState) -> None:
        pose = torch.cat((to.root_pos_w + self._origins, xyzw(quat_normalize(to.root_quat_w))), dim=1)
        self._robot.write_root_link_pose_to_sim_mask(root_pose=pose, env_mask=rows)
        twist = torch.cat((to.root_lin_vel_w, to.root_ang_vel_w), dim=1)
        self._robot.write_root_link_velocity_to_sim_mask(root_velocity=twist, env_mask=rows)
        data = self._robot.data
        pos, vel = data.joint_pos.torch.clone(), data.joint_vel.torch.clone()
        pos.index_copy_(1, self._joints, to.joint_pos)
        vel.index_copy_(1, self._joints, to.joint_vel)
        self._robot.write_joint_state_to_sim_mask(position=pos, velocity=vel, env_mask=rows)

    def _put_body(self, body: Any, rows: Any, pos: torch.Tensor, quat: torch.Tensor) -> None:
        pose = torch.cat((pos + self._origins, xyzw(quat_normalize(quat))), dim=1)
        body.write_root_link_pose_to_sim_mask(root_pose=pose, env_mask=rows)

    def set_root_velocity(self, mask: torch.Tensor, lin_vel_w: torch.Tensor, ang_vel_w: torch.Tensor) -> None:
        """Give the root in the environments of the mask (N,) other velocities (N, 3), linear of its centre of mass."""
        twist = torch.cat((lin_vel_w, ang_vel_w), dim=1)
        self._robot.write_root_com_velocity_to_sim_mask(root_velocity=twist, env_mask=wp.from_torch(mask.contiguous()))

    # --- State ---

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return copies of poses, velocities, targets and forces.

        PhysX keeps more to itself (contact points and impulses it starts from), so a resumed run follows the same course without
        being equal in every bit.
        """
        data = self._robot.data
        state = {
            "root_pose": data.root_link_pose_w.torch,
            "root_velocity": data.root_com_vel_w.torch,
            "joint_pos": data.joint_pos.torch,
            "joint_vel": data.joint_vel.torch,
            "targets": self._targets,
            "joint_torque": self._state.joint_torque,
            **{f"force_{name}": force for name, force in self._state.contact_forces.items()},
        }
        for name, body in self._bodies():
            state[f"{name}_pose"] = body.data.root_link_pose_w.torch
            state[f"{name}_velocity"] = body.data.root_com_vel_w.torch
        return {name: value.clone() for name, value in state.items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self._robot.write_root_link_pose_to_sim_mask(root_pose=state["root_pose"])
        self._robot.write_root_com_velocity_to_sim_mask(root_velocity=state["root_velocity"])
        self._robot.write_joint_state_to_sim_mask(position=state["joint_pos"], velocity=state["joint_vel"])
        self._targets.copy_(state["targets"])
        self._robot.actuators.target_command.set_position_mask(value=self._targets)
        for name, body in self._bodies():
            body.write_root_link_pose_to_sim_mask(root_pose=state[f"{name}_pose"])
            if name == "object" and self._spec.object_dynamic:
                body.write_root_com_velocity_to_sim_mask(root_velocity=state[f"{name}_velocity"])
        self._state.joint_torque.copy_(state["joint_torque"])
        for name, force in self._state.contact_forces.items():
            force.copy_(state[f"force_{name}"])

    def _bodies(self) -> list[tuple[str, Any]]:
        return [(name, body) for name, body in (("object", self._object), ("table", self._table)) if body is not None]


def places_of(wanted: Sequence[str], found: Sequence[str], what: str) -> list[int]:
    """Return where each wanted name lies in the order the simulation has.

    Raises:
        AssetError: one is not there.
    """
    index = {name: place for place, name in enumerate(found)}
    missing = [name for name in wanted if name not in index]
    if missing:
        raise AssetError(
            f"the robot's {what} {missing[0]!r} is not in the simulation after its conversion to USD ({len(missing)} missing); names may "
            "hold letters, digits and underscores only"
        )
    return [index[name] for name in wanted]


def _keep(mask: torch.Tensor, buffer: torch.Tensor, value: torch.Tensor) -> None:
    buffer.copy_(torch.where(mask.unsqueeze(1), value, buffer))
