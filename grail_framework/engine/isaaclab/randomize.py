"""Physical properties of the robot of their own in every environment: friction, masses, centres of mass.

They are written in place where Newton and its MuJoCo solver keep them, without waiting for the device, so a call may be captured in a
CUDA graph. What MuJoCo derives from masses once, the constants by which it scales how soft contacts and joint limits are, stays that of
the robot's own description: to derive them anew takes a thousand launches.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
import warp as wp

from grail_framework.engine.protocol import BODY_COM, BODY_MASS, MATERIAL
from grail_framework.errors import EnvContractError

if TYPE_CHECKING:
    from grail_framework.engine.isaaclab.newton_layout import NewtonLayout
    from grail_framework.engine.isaaclab.worlds import WorldOrder
    from grail_framework.engine.protocol import SceneSpec

_SLIDING: Final = 0
"""Column of MuJoCo's friction coefficients."""
_DYNAMIC: Final = 1
"""Column of a material that is the friction of what slides."""
_KEPT: Final = ("friction", "friction_is_set", "mass_factor", "com_shift")
_TOP_PRIORITY: Final = 3
"""Above ground and objects: where surfaces meet, the friction of the higher priority counts."""

_log: Final = logging.getLogger(__name__)


class RobotProperties:
    """Changes properties of the robot in the environments of a mask, always relative to its own description.

    Friction: MuJoCo has one coefficient for what sticks and what slides, which is the material's dynamic friction here, and no
    restitution, so that is left out. The coefficient of a contact is the product of the robot's with the ground's, as in PhysX, also
    where the robot touches table or object.
    """

    def __init__(self, model: Any, solver: Any, spec: SceneSpec, layout: NewtonLayout, worlds: WorldOrder) -> None:
        """Find the robot's bodies and colliders.

        Args:
            model: Newton's model.
            solver: Newton's `SolverMuJoCo`.
            spec: the scene.
            layout: where the robot lies in an environment's part of the model.
            worlds: which world each environment is.
        """
        device = wp.device_to_torch(model.device)
        bodies, geoms = _robot_part(solver, layout)
        self._spec = spec
        self._env_of_world = None if worlds.is_identity else torch.tensor(worlds.env_of_world, device=device)
        self._links, self._bodies, self._geoms = (torch.tensor(ids, device=device) for ids in (layout.links, bodies, geoms))
        self._root = layout.links[0]  # a number, for a tensor as an index makes the host wait
        self._bind(model, solver, layout)
        parents = solver.mjw_model.body_parentid.numpy()
        self._above = torch.tensor(_at_or_above(parents)[:, bodies], device=device)
        self.friction = torch.full((spec.num_envs,), spec.ground_friction, device=device)
        self.friction_is_set = torch.zeros(1, dtype=torch.bool, device=device)
        self.mass_factor = torch.ones(spec.num_envs, len(bodies), device=device)
        self.com_shift = torch.zeros(spec.num_envs, len(bodies), 3, device=device)
        self._warned = False

    def _bind(self, model: Any, solver: Any, layout: NewtonLayout) -> None:
        """View what is changed as tensors of one row per world, and copy the robot's own values."""
        n, mujoco = self._spec.num_envs, solver.mjw_model
        shapes = {"body_mass": (), "body_inv_mass": (), "body_inertia": (3, 3), "body_inv_inertia": (3, 3), "body_com": (3,)}
        self._by_link = {
            name: wp.to_torch(getattr(model, name)).view(n, layout.bodies, *shape) for name, shape in shapes.items()
        }
        self._by_body = {name: wp.to_torch(getattr(mujoco, name)) for name in ("body_mass", "body_inertia", "body_ipos")}
        self._own_link = {name: values[:, self._links] for name, values in self._by_link.items()}
        self._own_body = {name: values[:, self._bodies] for name, values in self._by_body.items()}
        self._subtree_mass = wp.to_torch(mujoco.body_subtreemass)
        self._own_subtree_mass = self._subtree_mass.clone()
        geoms = self._geoms.tolist()
        self._geom_shapes = torch.from_numpy(solver.mjc_geom_to_newton_shape.numpy()[:, geoms]).to(self._geoms)
        self._shape_friction = wp.to_torch(model.shape_material_mu)
        self._geom_friction = wp.to_torch(mujoco.geom_friction).select(2, _SLIDING)
        self._own_friction = self._geom_friction[:, self._geoms]
        self._priority = wp.to_torch(mujoco.geom_priority)
        self._own_priority = self._priority[self._geoms]

    def set(self, quantity: str, mask: torch.Tensor, values: torch.Tensor) -> None:
        """Give the environments of the mask (N,) other values, as described at `RANDOMIZABLE`.

        Raises:
            EnvContractError: values of another shape.
        """
        kept = {MATERIAL: self.friction, BODY_MASS: self.mass_factor, BODY_COM: self.com_shift}
        shape = (len(mask), 3) if quantity == MATERIAL else kept[quantity].shape
        if values.shape != shape:
            raise EnvContractError(f"values of {quantity} have shape {tuple(values.shape)}; the scene needs {tuple(shape)}")
        if quantity == MATERIAL:
            self._warn_of_objects()
            self.friction_is_set.fill_(True)
            values = values[:, _DYNAMIC] * self._spec.ground_friction
        buffer, mask, values = kept[quantity], self._by_world(mask), self._by_world(values)
        buffer.copy_(torch.where(mask.view(-1, *[1] * (buffer.ndim - 1)), values, buffer))
        {MATERIAL: self._write_friction, BODY_MASS: self._write_masses, BODY_COM: self._write_coms}[quantity]()

    @property
    def root_com(self) -> torch.Tensor:
        """The root's centre of mass (worlds, 3) in its link frame. [m]"""
        return self._by_link["body_com"][:, self._root]

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return copies of what was set."""
        return {name: getattr(self, name).clone() for name in _KEPT}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Set what `state_dict` returned."""
        for name in _KEPT:
            getattr(self, name).copy_(state[name])
        self._write_friction()
        self._write_masses()
        self._write_coms()

    def _by_world(self, values: torch.Tensor) -> torch.Tensor:
        return values if self._env_of_world is None else values.index_select(0, self._env_of_world)

    def _write_friction(self) -> None:
        # With its own description the robot leaves the friction of a contact to ground and objects.
        self._priority.index_copy_(0, self._geoms, torch.where(self.friction_is_set, _TOP_PRIORITY, self._own_priority))
        friction = torch.where(self.friction_is_set, self.friction.unsqueeze(1), self._own_friction)
        self._geom_friction.index_copy_(1, self._geoms, friction)
        self._shape_friction[self._geom_shapes] = friction

    def _write_masses(self) -> None:
        factor = self.mass_factor
        for name, value in (("body_mass", factor), ("body_inertia", factor[..., None, None])):
            self._put(self._by_link, name, self._own_link[name] * value)
            inverse = name.replace("body", "body_inv")
            self._put(self._by_link, inverse, self._own_link[inverse] / value)
        self._put(self._by_body, "body_mass", self._own_body["body_mass"] * factor)
        self._put(self._by_body, "body_inertia", self._own_body["body_inertia"] * factor.unsqueeze(-1))
        # Added to what MuJoCo has summed itself: a robot as it was described keeps every bit.
        added = self._own_body["body_mass"] * (factor - 1.0)
        self._subtree_mass.copy_(self._own_subtree_mass + added @ self._above.T)

    def _write_coms(self) -> None:
        self._put(self._by_link, "body_com", self._own_link["body_com"] + self.com_shift)
        self._put(self._by_body, "body_ipos", self._own_body["body_ipos"] + self.com_shift)

    def _put(self, where: dict[str, torch.Tensor], name: str, values: torch.Tensor) -> None:
        where[name].index_copy_(1, self._links if where is self._by_link else self._bodies, values)

    def _warn_of_objects(self) -> None:
        others = {spec.friction for spec in self._spec.objects} - {self._spec.ground_friction}
        if others and not self._warned:
            _log.warning(
                "The robot's friction is randomised: where it touches an object, the ground's friction of %g counts instead of the "
                "object's %s. Give both the same to have it exact",
                self._spec.ground_friction,
                ", ".join(f"{value:g}" for value in sorted(others)),
            )
        self._warned = True


def _robot_part(solver: Any, layout: NewtonLayout) -> tuple[list[int], list[int]]:
    """Return MuJoCo's body of each link, and the geoms of all of them: the same in every world."""
    newton_body = solver.mjc_body_to_newton.numpy()[0]
    bodies = [int(np.flatnonzero(newton_body == link)[0]) for link in layout.links]
    return bodies, np.flatnonzero(np.isin(solver.mjw_model.geom_bodyid.numpy(), bodies)).tolist()


def _at_or_above(parent: np.ndarray) -> np.ndarray:
    """Return for bodies (B, B) whether the first is the second or an ancestor of it, as 0 and 1."""
    above = np.eye(len(parent), dtype=np.float32)
    for body in range(1, len(parent)):
        above[:, body] += above[:, parent[body]]
    return above
