"""Sensors of the CPU engine: the net contact force a partner exerts on a link.

A MuJoCo contact sensor between two bodies, reduced to the net force, reports in world axes the force the first body exerts on the
second. So the partner comes first and the link second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs
import mujoco as _mujoco
import numpy as np

from grail_framework.errors import ConfigError, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from grail_framework.engine.protocol import SceneSpec

mujoco: Any = _mujoco  # its extension modules carry no types

_FORCE_ONLY: Final = 1 << 1
"""Data field of a contact sensor: the second bit is the force."""
_NET_FORCE: Final = 3
"""Reduction of a contact sensor: all contacts summed, in world axes."""


@attrs.frozen(kw_only=True, eq=False)
class SensorLayout:
    """Columns of the sensor array."""

    contact: dict[str, NDArray[np.int64]]
    """By sensor name: (links * 3,), x y z of each link."""


def add_sensors(spec: Any, scene: SceneSpec, bodies: Mapping[str, str]) -> None:
    """Add all sensors of the scene to a `mujoco.MjSpec`; `bodies` maps partners to body names, `any` to the empty name.

    Raises:
        ConfigError: a partner the scene does not have, or a link the robot does not have.
    """
    for name, sensor in scene.contact_sensors.items():
        _check_partner(scene, name, sensor.partner, bodies)
        scene.robot.body_ids(sensor.links)
        partner = bodies[sensor.partner]
        for link in sensor.links:
            spec.add_sensor(
                name=_contact_name(name, link),
                type=mujoco.mjtSensor.mjSENS_CONTACT,
                objtype=mujoco.mjtObj.mjOBJ_BODY if partner else mujoco.mjtObj.mjOBJ_UNKNOWN,
                objname=partner,
                reftype=mujoco.mjtObj.mjOBJ_BODY,
                refname=link,
                intprm=(_FORCE_ONLY, _NET_FORCE, 1),
            )


def sensor_layout(model: Any, scene: SceneSpec) -> SensorLayout:
    """Look up where each sensor's values are, by name."""
    return SensorLayout(
        contact={
            name: np.array(
                [_address(model, _contact_name(name, link)) + axis for link in sensor.links for axis in range(3)],
                dtype=np.int64,
            )
            for name, sensor in scene.contact_sensors.items()
        },
    )


def _check_partner(scene: SceneSpec, name: str, partner: str, bodies: Mapping[str, str]) -> None:
    if partner not in bodies:
        raise ConfigError(f"contact sensor {name!r}: no partner {partner!r}: {suggest(partner, bodies)}")
    missing = (partner == "object" and not scene.objects) or (partner == "table" and scene.table_size is None)
    if missing:
        raise ConfigError(f"contact sensor {name!r}: the scene has no {partner}; add one or remove the sensor")


def _contact_name(sensor: str, link: str) -> str:
    return f"contact:{sensor}:{link}"


def _address(model: Any, name: str) -> int:
    return int(model.sensor_adr[model.sensor(name).id])
