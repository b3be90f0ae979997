"""What PhysX needs in Isaac Lab's configuration of a scene beside what every backend needs: bodies, solver settings, sensors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from grail_framework.engine.protocol import SceneSpec

_POSITION_ITERATIONS: Final = 8
_VELOCITY_ITERATIONS: Final = 4
_MAX_DEPENETRATION_VELOCITY: Final = 1.0
"""[m/s]"""
_MAX_LINEAR_VELOCITY: Final = 1000.0
"""[m/s]"""
_MAX_ANGULAR_VELOCITY: Final = 1000.0
"""[deg/s], PhysX's unit here."""
_ANY: Final = "any"
_EVERY_PRIM: Final = "/.*"
"""Isaac Lab's pattern for all prims below the one that is spawned; what a setting does not fit is left alone."""
GROUND_PRIM: Final = "/World/Ground/plane"
_PARTNERS: Final = {"object": "{ENV_REGEX_NS}/Object", "table": "{ENV_REGEX_NS}/Table", "ground": GROUND_PRIM}


def robot_props(*, self_collision: bool) -> dict[str, Any]:
    """Return the spawner's settings of a robot: those of the GRAIL release, and a drive on every joint for the actuators to set."""
    from isaaclab.sim.schemas import UsdPhysicsDriveCfg
    from isaaclab_physx.sim.schemas import PhysxArticulationCfg

    articulation = PhysxArticulationCfg(
        enabled_self_collisions=self_collision,
        solver_position_iteration_count=_POSITION_ITERATIONS,
        solver_velocity_iteration_count=_VELOCITY_ITERATIONS,
    )
    return {
        "activate_contact_sensors": True,
        "articulation_props": {_EVERY_PRIM: [articulation]},
        "rigid_props": {_EVERY_PRIM: [_rigid_body()]},
        "joint_drive_props": {_EVERY_PRIM: [UsdPhysicsDriveCfg(drive_type="force")]},
        "ensure_drives_exist": True,
    }


def body_props() -> dict[str, Any]:
    """Return the spawner's settings of an object or a table."""
    return {"rigid_props": [_rigid_body()]}


def _rigid_body() -> Any:
    from isaaclab_physx.sim.schemas import PhysxRigidBodyCfg

    return PhysxRigidBodyCfg(
        linear_damping=0.0,
        angular_damping=0.0,
        max_linear_velocity=_MAX_LINEAR_VELOCITY,
        max_angular_velocity=_MAX_ANGULAR_VELOCITY,
        max_depenetration_velocity=_MAX_DEPENETRATION_VELOCITY,
        solver_position_iteration_count=_POSITION_ITERATIONS,
        solver_velocity_iteration_count=_VELOCITY_ITERATIONS,
    )


def contact_sensor_cfgs(spec: SceneSpec) -> dict[str, Any]:
    """Describe one sensor of Isaac Lab for each of the scene's, by the name it gets in the scene."""
    from isaaclab.sensors import ContactSensorCfg

    return {
        sensor_name(name): ContactSensorCfg(
            prim_path=f"{{ENV_REGEX_NS}}/Robot/({'|'.join(map(re.escape, sensor.links))})",
            filter_prim_paths_expr=[] if sensor.partner == _ANY else [_PARTNERS[sensor.partner]],
        )
        for name, sensor in spec.contact_sensors.items()
    }


def sensor_name(name: str) -> str:
    """Return the name that a contact sensor has in Isaac Lab's scene, apart from robot, object and table."""
    return f"contact_{name}"
