"""Contact forces of Newton's MuJoCo solver, read from its own contact list by one kernel.

The solver keeps the contacts of the last substep and the force of each constraint row. One thread per contact slot turns the rows
of its contact into a force in world axes and adds it to the links it concerns, so a read costs one pass over the contacts and
no second collision query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import warp as wp

from grail_framework.engine.isaaclab.contact_kernel import add_contact_forces
from grail_framework.errors import ConfigError, suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from grail_framework.engine.protocol import ContactSensorSpec

WORLD_BODY: Final = 0
"""MuJoCo's body of everything that is attached to the world: the ground."""

_ANY: Final = "any"
_PYRAMIDAL: Final = 0
"""MuJoCo's number of the pyramidal friction cone."""
_NOT_A_LINK: Final = -1
_MAX_SENSORS: Final = 31
"""One bit each in a signed 32 bit integer."""


class ContactForces:
    """Net force a partner exerts on links, by sensor name, of the last substep the solver computed. World axes [N].

    Everything `update` and `clear` touch is allocated here, and the kernel is loaded here, so both can be captured in a CUDA graph
    and neither waits for the device. `update` runs on Warp's current stream, `clear` on torch's.
    """

    buffers: dict[str, torch.Tensor]
    """By sensor name, (num_envs, links, 3), contiguous; overwritten in place."""

    def __init__(
        self,
        model: Any,
        data: Any,
        *,
        sensors: Mapping[str, ContactSensorSpec],
        link_bodies: Mapping[str, int],
        partner_bodies: Mapping[str, Collection[int]],
        env_of_world: Sequence[int] | None = None,
    ) -> None:
        """Prepare the buffers and the tables from geoms to links and partners.

        Args:
            model: the `mujoco_warp` model of the solver (`SolverMuJoCo.mjw_model`).
            data: the `mujoco_warp` data of the solver (`SolverMuJoCo.mjw_data`); its worlds are the environments.
            sensors: what to measure, by name.
            link_bodies: MuJoCo body of each link of the robot.
            partner_bodies: MuJoCo bodies of each partner the scene has; `any` needs none, it is whatever touches the link, other
                links of the robot included.
            env_of_world: row of the buffers that each world is; None: its own number.

        Raises:
            ConfigError: the solver keeps no such contacts, or a sensor names a link or partner that is not there.
        """
        _check_solver(model, data)
        _check_sensors(sensors, link_bodies, partner_bodies)
        self._model = model
        self._data = data
        self._device = data.nacon.device
        geom_body = model.geom_bodyid.numpy()
        tables = _tables(geom_body, tuple(sensors.values()), link_bodies, partner_bodies)
        num_links = np.array([len(sensor.links) for sensor in sensors.values()], dtype=np.int32)
        first = (np.cumsum(num_links) - num_links) * data.nworld
        rows = np.arange(data.nworld) if env_of_world is None else np.array(env_of_world)
        self._lookups = [wp.array(table, dtype=wp.int32, device=self._device) for table in (*tables, first, num_links, rows)]
        self._total = wp.zeros(int(num_links.sum()) * data.nworld, dtype=wp.vec3, device=self._device)
        blocks = wp.to_torch(self._total).split((num_links * data.nworld).tolist())
        self.buffers = {
            name: block.view(data.nworld, len(sensor.links), 3)
            for (name, sensor), block in zip(sensors.items(), blocks, strict=True)
        }
        # The first launch compiles and loads the kernel, which cannot be done while a graph is captured.
        self.update()
        self._total.zero_()

    def update(self) -> None:
        """Overwrite the buffers with the forces of the last substep."""
        if not self.buffers:
            return
        contact = self._data.contact
        self._total.zero_()
        wp.launch(
            add_contact_forces,
            dim=self._data.naconmax,
            inputs=[
                int(self._model.opt.cone) == _PYRAMIDAL,
                self._data.nacon,
                contact.worldid,
                contact.geom,
                contact.dim,
                contact.frame,
                contact.friction,
                contact.efc_address,
                self._data.efc.force,
                *self._lookups,
            ],
            outputs=[self._total],
            device=self._device,
        )

    def clear(self, mask: torch.Tensor) -> None:
        """Set the forces in the environments of the boolean mask (num_envs,) to 0."""
        for buffer in self.buffers.values():
            buffer.masked_fill_(mask[:, None, None], 0.0)


def mujoco_bodies(solver: Any, path: str) -> dict[str, int]:
    """Map the bodies at and below a prim path of the first world to MuJoCo's body ids, by the last part of their path.

    Args:
        solver: Newton's `SolverMuJoCo`; all its worlds share one MuJoCo model.
        path: prim path of the first world's robot, object or table, such as `/World/envs/env_0/Robot`.

    Raises:
        ConfigError: no body there, or two of the same name.
    """
    labels = solver.model.body_label
    found: dict[str, int] = {}
    for body, newton_body in enumerate(solver.mjc_body_to_newton.numpy()[0]):
        label = labels[newton_body] if newton_body >= 0 else ""
        if label != path and not label.startswith(f"{path}/"):
            continue
        name = label.rsplit("/", 1)[-1]
        if name in found:
            raise ConfigError(f"two bodies named {name!r} below {path}; links are told apart by name, rename one in the asset")
        found[name] = body
    if not found:
        raise ConfigError(f"no body at or below {path} in the first world: {suggest(path, labels)}")
    return found


def _check_solver(model: Any, data: Any) -> None:
    if data is None:
        raise ConfigError("contact forces are read from the device solver; set use_mujoco_cpu=False of Newton's MuJoCo solver")
    if not model.opt.run_collision_detection:
        raise ConfigError("contact forces are read from MuJoCo's own contacts; set use_mujoco_contacts=True of Newton's solver")


def _check_sensors(
    sensors: Mapping[str, ContactSensorSpec], link_bodies: Mapping[str, int], partner_bodies: Mapping[str, Collection[int]]
) -> None:
    if len(sensors) > _MAX_SENSORS:
        raise ConfigError(f"{len(sensors)} contact sensors; at most {_MAX_SENSORS} are possible, join some of the same partner")
    for name, sensor in sensors.items():
        if sensor.partner != _ANY and not partner_bodies.get(sensor.partner):
            known = [*(partner for partner, bodies in partner_bodies.items() if bodies), _ANY]
            raise ConfigError(
                f"contact sensor {name!r}: the scene has no {sensor.partner!r}, only {', '.join(known)}; add it or remove the sensor"
            )
        for link in sensor.links:
            if link not in link_bodies:
                raise ConfigError(f"contact sensor {name!r}: the robot has no link {link!r}: {suggest(link, link_bodies)}")
        if len(set(sensor.links)) != len(sensor.links):
            raise ConfigError(f"contact sensor {name!r} names a link twice: {', '.join(sensor.links)}; name each once")


def _tables(
    geom_body: NDArray[np.int32],
    sensors: tuple[ContactSensorSpec, ...],
    link_bodies: Mapping[str, int],
    partner_bodies: Mapping[str, Collection[int]],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Return per geom (G,) the bits of the sensors it is a link or partner of, and its link's slot in each sensor (sensors, G)."""
    as_link = np.zeros(len(geom_body), dtype=np.int32)
    as_partner = np.zeros(len(geom_body), dtype=np.int32)
    slot = np.full((len(sensors), len(geom_body)), _NOT_A_LINK, dtype=np.int32)
    for index, sensor in enumerate(sensors):
        for number, link in enumerate(sensor.links):
            slot[index, geom_body == link_bodies[link]] = number
        as_link |= (slot[index] != _NOT_A_LINK).astype(np.int32) << index
        partner = (
            np.ones_like(geom_body, dtype=bool)
            if sensor.partner == _ANY
            else np.isin(geom_body, list(partner_bodies[sensor.partner]))
        )
        as_partner |= partner.astype(np.int32) << index
    return as_link, as_partner, slot
