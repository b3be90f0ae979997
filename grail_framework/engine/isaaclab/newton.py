"""Newton's arrays of the simulation as tensors: targets in, state out, environments reset in place by a mask.

Everything here runs on the device without waiting for it, and may be captured in a CUDA graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import mujoco as _mujoco
import mujoco_warp
import newton
import torch
import warp as wp

from grail_framework.engine.isaaclab.contact_points import steady_contacts
from grail_framework.engine.isaaclab.contacts import WORLD_BODY, ContactForces, mujoco_bodies
from grail_framework.engine.isaaclab.mesh_variants import give_each_world_its_meshes
from grail_framework.engine.isaaclab.newton_layout import POSE_WIDTH, TWIST_WIDTH, WXYZ, columns, find_layout
from grail_framework.engine.isaaclab.poses import given_pose, xyzw
from grail_framework.engine.isaaclab.randomize import RobotProperties
from grail_framework.engine.isaaclab.scene import OBJECT, ROBOT, TABLE
from grail_framework.engine.isaaclab.static_pairs import drop_static_pairs
from grail_framework.engine.protocol import BODY_COM
from grail_framework.robots.rotations import quat_apply, quat_normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grail_framework.engine.isaaclab.session import Session
    from grail_framework.engine.isaaclab.worlds import WorldOrder
    from grail_framework.engine.protocol import ResetState, SceneSpec, SceneState

mujoco: Any = _mujoco  # its extension modules carry no types

_FIRST_ENV: Final = "/World/envs/env_0"
_POSITION: Final = (0, 1, 2)
_LINEAR: Final = (0, 1, 2)
_ANGULAR: Final = (3, 4, 5)
_DROPPED: Final = int(
    mujoco_warp.OverflowType.NEFC
    | mujoco_warp.OverflowType.NJMAX_NNZ
    | mujoco_warp.OverflowType.BROADPHASE
    | mujoco_warp.OverflowType.NARROWPHASE
    | mujoco_warp.OverflowType.CCD
)
"""MuJoCo Warp's flags of a world in which contacts or constraint rows were dropped."""
_KEPT: Final = (
    *("joint_q", "joint_qd", "body_q", "body_qd", "targets", "controls", "warm_start", "joint_force"),
    *("mocap_pos", "mocap_quat", "joint_frames"),
)
"""What decides how the simulation goes on, by name of the tensor here."""


def drive_by_position(session: Session) -> None:
    """Make each drive one MuJoCo actuator, before the model is made.

    Isaac Lab asks for two, one for stiffness and one for damping, whose sum is limited at the joint. MuJoCo integrates an actuator's
    damping implicitly unless its force is at its limit, so with two of them a joint that needs all its torque would move too slowly.
    """
    from isaaclab.physics import PhysicsEvent
    from isaaclab_newton.physics import NewtonBuilderCfg, NewtonManager

    simulation = session.simulation

    def change(_event: object) -> None:
        builder = simulation.get_or_create_backend(NewtonBuilderCfg(physics_cfg=simulation.cfg.physics))
        both, position = newton.JointTargetMode.POSITION_VELOCITY, newton.JointTargetMode.POSITION
        builder.joint_target_mode[:] = [int(position) if mode == both else mode for mode in builder.joint_target_mode]

    # After those of the articulations, which Isaac Lab registers with the order 0.
    NewtonManager.register_callback(change, PhysicsEvent.MODEL_INIT, order=100, name="drive_by_position", wrap_weak_ref=False)


def collide_boxes_exactly(solver: Any) -> None:
    """Let boxes collide with boxes as in MuJoCo, by their faces and edges.

    The general search for convex shapes, which MuJoCo Warp would use as well, gives all contact points of two boxes one depth, and in
    some steps two points instead of four: a foot on a table sinks in by millimetres and rocks.
    """
    solver.mjw_model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_NATIVECCD)  # MuJoCo Warp's switch for this and no more


def mend_collisions(variant: Sequence[int]) -> None:
    """Make the solver that Isaac Lab has built collide with what is in each world, and with nothing that cannot move.

    Args:
        variant: (num_envs,) number of the object in each environment.

    Raises:
        AssetError: MuJoCo refuses a mesh.
    """
    from isaaclab_newton.physics import NewtonManager

    solver: Any = NewtonManager._solver
    steady_contacts()
    drop_static_pairs(solver.mjw_model, solver.mj_model)
    give_each_world_its_meshes(solver, variant)


class NewtonPhysics:
    """Reads and writes a Newton simulation that Isaac Lab has built."""

    def __init__(self, session: Session, spec: SceneSpec, state: SceneState, worlds: WorldOrder) -> None:
        """Find everything in Newton's model and make the solver's step fold in the decimation.

        Raises:
            AssetError: a link or joint is not there.
        """
        from isaaclab_newton.physics import NewtonManager

        self._manager: Any = NewtonManager
        self._simulation = session.simulation
        self._spec = spec
        self._state = state
        self._worlds = worlds
        self.model: Any = NewtonManager.get_model()
        self.solver: Any = NewtonManager._solver
        collide_boxes_exactly(self.solver)
        self._graph: Any = None
        self.layout = find_layout(self.model, spec.robot, num_envs=spec.num_envs)
        self._bind(spec.num_envs)
        self._make_gathers()
        self.contacts = ContactForces(
            self.solver.mjw_model,
            self.solver.mjw_data,
            sensors=spec.contact_sensors,
            link_bodies=mujoco_bodies(self.solver, f"{_FIRST_ENV}/{ROBOT}"),
            partner_bodies=self._partners(),
            env_of_world=worlds.env_of_world,
        )
        state.contact_forces = self.contacts.buffers
        self.properties = RobotProperties(self.model, self.solver, spec, self.layout, worlds)

    def _partners(self) -> dict[str, set[int]]:
        """Return the MuJoCo bodies of everything a contact sensor may ask for."""
        partners = {"ground": {WORLD_BODY}}
        for name in (OBJECT, TABLE):
            if any(label.startswith(f"{_FIRST_ENV}/{name}") for label in self.model.body_label[: self.layout.bodies]):
                partners[name.lower()] = set(mujoco_bodies(self.solver, f"{_FIRST_ENV}/{name}").values())
        return partners

    def _bind(self, n: int) -> None:
        """View the arrays that are written and read as tensors of one row per environment."""
        layout, arrays, control = self.layout, self._manager.get_state_0(), self._manager.get_control()
        data = self.solver.mjw_data
        self.joint_q = wp.to_torch(arrays.joint_q).view(n, layout.coords)
        self.joint_qd = wp.to_torch(arrays.joint_qd).view(n, layout.dofs)
        self.body_q = wp.to_torch(arrays.body_q).view(n, layout.bodies * POSE_WIDTH)
        self.body_qd = wp.to_torch(arrays.body_qd).view(n, layout.bodies * TWIST_WIDTH)
        self.targets = wp.to_torch(control.joint_target_q).view(n, layout.coords)
        self.controls = wp.to_torch(data.ctrl)
        self.overflow = wp.to_torch(data.overflow)
        self.warm_start = wp.to_torch(data.qacc_warmstart)
        self.joint_force = wp.to_torch(data.qfrc_actuator)
        self.mocap_pos = wp.to_torch(data.mocap_pos)
        self.mocap_quat = wp.to_torch(data.mocap_quat)
        self.joint_frames = wp.to_torch(self.model.joint_X_p).view(n, layout.joints, POSE_WIDTH)
        self._world_mask = torch.zeros(n + 1, dtype=torch.bool, device=self.joint_q.device)
        self._fk_mask = torch.zeros(n, layout.articulations, dtype=torch.bool, device=self.joint_q.device)
        self._warp_masks = wp.from_torch(self._world_mask), wp.from_torch(self._fk_mask.view(-1))
        joints = [] if self.solver.mjc_mocap_to_newton_jnt is None else self.solver.mjc_mocap_to_newton_jnt.numpy()[0].tolist()
        self._mocap_of = {name: joints.index(joint) for name, joint in layout.fixed_joints.items()}

    def _make_gathers(self) -> None:
        """Settle which columns of which array each buffer of the state is."""
        layout, state, device = self.layout, self._state, self.joint_q.device
        pose, twist = [index * POSE_WIDTH for index in layout.links], [index * TWIST_WIDTH for index in layout.links]
        torque_of = {int(dof): column for column, dof in enumerate(self.solver.mjc_dof_to_newton_dof.numpy()[0])}
        plan = [
            (state.root_pos_w, self.joint_q, columns([layout.root_q], _POSITION)),
            (state.root_quat_w, self.joint_q, columns([layout.root_q], WXYZ)),
            (state.root_lin_vel_w, self.body_qd, columns(twist[:1], _LINEAR)),
            (state.root_ang_vel_w, self.body_qd, columns(twist[:1], _ANGULAR)),
            (state.joint_pos, self.joint_q, list(layout.joint_q)),
            (state.joint_vel, self.joint_qd, list(layout.joint_qd)),
            (state.joint_torque, self.joint_force, [torque_of[dof] for dof in layout.joint_qd]),
            (state.body_pos_w, self.body_q, columns(pose, _POSITION)),
            (state.body_quat_w, self.body_q, columns(pose, WXYZ)),
            (state.body_lin_vel_w, self.body_qd, columns(twist, _LINEAR)),
            (state.body_ang_vel_w, self.body_qd, columns(twist, _ANGULAR)),
        ]
        if layout.object_q is not None and layout.object_body is not None:
            spin = layout.object_body * TWIST_WIDTH
            plan += [
                (state.object_pos_w, self.joint_q, columns([layout.object_q], _POSITION)),
                (state.object_quat_w, self.joint_q, columns([layout.object_q], WXYZ)),
                (state.object_lin_vel_w, self.body_qd, columns([spin], _LINEAR)),
                (state.object_ang_vel_w, self.body_qd, columns([spin], _ANGULAR)),
            ]
        self._in_order = self._worlds.is_identity  # asked once: the answer takes a look at every environment
        self._env_of_world = torch.tensor(self._worlds.env_of_world, device=device)
        self._world_of_env = torch.tensor(self._worlds.world_of_env, device=device)
        self._gathers = [
            (buffer.view(-1), source.view(-1), self._flat(source.shape[1], wanted)) for buffer, source, wanted in plan
        ]
        self._joint_q = torch.tensor(layout.joint_q, device=device)
        self._joint_qd = torch.tensor(layout.joint_qd, device=device)
        self._joint_of_control = self._actuated_joints()

    def _actuated_joints(self) -> torch.Tensor:
        """Return, for each control of MuJoCo's, the joint of the robot it moves (J,)."""
        model = self.solver.mj_model
        joint_of_dof = {dof: joint for joint, dof in enumerate(self.layout.joint_qd)}
        newton_dof = self.solver.mjc_dof_to_newton_dof.numpy()[0]
        moved = model.jnt_dofadr[model.actuator_trnid[:, 0]]
        return torch.tensor([joint_of_dof[int(newton_dof[dof])] for dof in moved], device=self.joint_q.device)

    def _flat(self, width: int, wanted: list[int]) -> torch.Tensor:
        """Return where the wanted columns of every environment are in an array (worlds, width), flattened."""
        offsets = torch.tensor(wanted, device=self.joint_q.device)
        return (self._world_of_env.unsqueeze(1) * width + offsets).view(-1)

    def _by_world(self, values: torch.Tensor) -> torch.Tensor:
        """Order rows (N, ...) of environments by world."""
        return values if self._in_order else values.index_select(0, self._env_of_world)

    # --- A step ---

    def write_targets(self, joint_targets: torch.Tensor) -> None:
        """Set the actuators' position targets (N, J) [rad], in Newton's arrays and in MuJoCo's."""
        by_world = self._by_world(joint_targets)
        self.targets.index_copy_(1, self._joint_q, by_world)
        self.controls.copy_(by_world.index_select(1, self._joint_of_control))

    def advance(self) -> None:
        """Simulate `decimation` physics steps: on a GPU in one graph, which the first call records after it has run."""
        if self._graph is not None:
            wp.capture_launch(self._graph)
            return
        self._substeps()
        if self._spec.cuda_graphs and self.joint_q.is_cuda:
            self._graph = self._record(self._substeps)

    def _substeps(self) -> None:
        """Simulate `decimation` physics steps.

        Newton's own step copies its state to MuJoCo's before and back after, forward kinematics included. Between the first and the
        last step of a control step nobody looks, so those in between are MuJoCo's alone.
        """
        arrays, control, dt = self._manager.get_state_0(), self._manager.get_control(), self._spec.physics_dt
        self.solver.step(arrays, arrays, control, None, dt)
        if self._spec.decimation == 1:
            return
        with wp.ScopedDevice(self.model.device):
            for _ in range(self._spec.decimation - 2):
                mujoco_warp.step(self.solver.mjw_model, self.solver.mjw_data)
        self.solver.step(arrays, arrays, control, None, dt)

    def _record(self, work: Callable[[], None]) -> Any:
        with wp.ScopedDevice(self.model.device), wp.ScopedCapture() as capture:
            work()
        return capture.graph

    def read(self) -> None:
        """Refresh poses, velocities and torques of the scene's state."""
        for buffer, source, wanted in self._gathers:
            torch.index_select(source, 0, wanted, out=buffer)

    def read_contacts(self) -> None:
        """Refresh the contact forces of the scene's state, those of the last substep."""
        self.contacts.update()

    def launch_all(self) -> None:
        """Launch everything that steps and resets launch, for no environment; what it leaves in the arrays is meaningless."""
        self._substeps()
        self.contacts.update()
        nobody = torch.zeros(self._spec.num_envs, dtype=torch.bool, device=self.joint_q.device)
        self._write(nobody, self.joint_q, self.joint_qd)

    def drain_overflows(self) -> torch.Tensor:
        """Return in how many environments contacts or their constraints did not fit since the last call, and forget it."""
        count = ((self.overflow & _DROPPED) != 0).sum()
        self.overflow.zero_()
        return count

    def bare_step(self) -> Callable[[], None]:
        """Return what advances the same model under the same controls by `decimation` steps of MuJoCo Warp, and nothing else."""

        def advance() -> None:
            with wp.ScopedDevice(self.model.device):
                for _ in range(self._spec.decimation):
                    mujoco_warp.step(self.solver.mjw_model, self.solver.mjw_data)

        if not self.joint_q.is_cuda:
            return advance
        advance()
        graph = self._record(advance)
        return lambda: wp.capture_launch(graph)

    # --- Writing states ---

    def reset(self, mask: torch.Tensor, to: ResetState) -> None:
        """Put the environments of the mask (N,) into the given state.

        Raises:
            EnvContractError: the scene has an object or a table and `to` has no pose for it.
        """
        q, qd, layout = torch.zeros_like(self.joint_q), torch.zeros_like(self.joint_qd), self.layout
        _put_pose(q, layout.root_q, to.root_pos_w, to.root_quat_w)
        arm = quat_apply(quat_normalize(to.root_quat_w), self.properties.root_com.index_select(0, self._world_of_env))
        _put_twist(qd, layout.root_qd, to.root_lin_vel_w + torch.linalg.cross(to.root_ang_vel_w, arm), to.root_ang_vel_w)
        q.index_copy_(1, self._joint_q, to.joint_pos)
        qd.index_copy_(1, self._joint_qd, to.joint_vel)
        if layout.object_q is not None and layout.object_qd is not None:
            _put_pose(q, layout.object_q, *given_pose("object", to.object_pos_w, to.object_quat_w))
            if to.object_lin_vel_w is not None and to.object_ang_vel_w is not None:
                _put_twist(qd, layout.object_qd, to.object_lin_vel_w, to.object_ang_vel_w)
        self._write(self._by_world(mask), self._by_world(q), self._by_world(qd))
        for name, pose in ((OBJECT, (to.object_pos_w, to.object_quat_w)), (TABLE, (to.table_pos_w, to.table_quat_w))):
            if name in layout.fixed_joints:
                self._place(name, mask, *given_pose(name.lower(), *pose))
        self.joint_force.masked_fill_(self._by_world(mask).unsqueeze(1), 0.0)
        self.contacts.clear(mask)

    def set_root_velocity(self, mask: torch.Tensor, lin_vel_w: torch.Tensor, ang_vel_w: torch.Tensor) -> None:
        """Give the root in the environments of the mask (N,) other velocities (N, 3), linear of its centre of mass."""
        qd = self.joint_qd.clone()
        _put_twist(qd, self.layout.root_qd, self._by_world(lin_vel_w), self._by_world(ang_vel_w))
        self._write(self._by_world(mask), self.joint_q, qd)

    def _write(self, mask: torch.Tensor, q: torch.Tensor, qd: torch.Tensor) -> None:
        """Take over joint coordinates in the worlds of the mask, and let poses and solver follow."""
        rows = mask.unsqueeze(1)
        self.joint_q.copy_(torch.where(rows, q, self.joint_q))
        self.joint_qd.copy_(torch.where(rows, qd, self.joint_qd))
        self._world_mask[:-1].copy_(mask)
        self.solver.reset(self._manager.get_state_0(), world_mask=self._warp_masks[0], flags=0)
        self._follow(mask)

    def _follow(self, mask: torch.Tensor) -> None:
        """Let poses and velocities of the bodies in the worlds of the mask follow the joint coordinates."""
        self._fk_mask.copy_(mask.unsqueeze(1).expand_as(self._fk_mask))
        arrays = self._manager.get_state_0()
        newton.eval_fk(self.model, arrays.joint_q, arrays.joint_qd, arrays, self._warp_masks[1])

    def randomize(self, quantity: str, mask: torch.Tensor, values: torch.Tensor) -> None:
        """Set a physical property of the robot in the environments of the mask (N,), as described at `RANDOMIZABLE`.

        Raises:
            EnvContractError: values of another shape.
        """
        self.properties.set(quantity, mask, values)
        if quantity == BODY_COM:  # velocities are those of centres of mass
            self._follow(self._by_world(mask))

    def _place(self, name: str, mask: torch.Tensor, pos: torch.Tensor, quat: torch.Tensor) -> None:
        """Put a kinematic body of the environments of the mask somewhere."""
        unit = quat_normalize(quat)
        prefix = name.lower()
        for kept, value in ((f"{prefix}_pos_w", pos), (f"{prefix}_quat_w", unit)):
            buffer = getattr(self._state, kept)
            buffer.copy_(torch.where(mask.unsqueeze(1), value, buffer))
        rows, pos, unit = self._by_world(mask).unsqueeze(1), self._by_world(pos), self._by_world(unit)
        frame = self.joint_frames[:, self.layout.fixed_joints[name]]
        frame.copy_(torch.where(rows, torch.cat((pos, xyzw(unit)), dim=1), frame))
        mocap_pos, mocap_quat = self.mocap_pos[:, self._mocap_of[name]], self.mocap_quat[:, self._mocap_of[name]]
        mocap_pos.copy_(torch.where(rows, pos, mocap_pos))
        mocap_quat.copy_(torch.where(rows, unit, mocap_quat))

    # --- State ---

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return copies of everything that decides how the simulation goes on."""
        kept = {name: getattr(self, name).clone() for name in _KEPT}
        kept |= {f"property_{name}": value for name, value in self.properties.state_dict().items()}
        return kept | {f"force_{name}": force.clone() for name, force in self.contacts.buffers.items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore what `state_dict` returned."""
        for name in _KEPT:
            getattr(self, name).copy_(state[name])
        self.properties.load_state_dict(
            {name.removeprefix("property_"): value for name, value in state.items() if name.startswith("property_")}
        )
        for name, force in self.contacts.buffers.items():
            force.copy_(state[f"force_{name}"])


def _put_pose(q: torch.Tensor, start: int, pos: torch.Tensor, quat: torch.Tensor) -> None:
    q[:, start : start + 3] = pos
    q[:, start + 3 : start + POSE_WIDTH] = xyzw(quat_normalize(quat))


def _put_twist(qd: torch.Tensor, start: int, lin_vel: torch.Tensor, ang_vel: torch.Tensor) -> None:
    qd[:, start : start + 3] = lin_vel
    qd[:, start + 3 : start + TWIST_WIDTH] = ang_vel
