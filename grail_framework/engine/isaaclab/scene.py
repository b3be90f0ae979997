"""From a `SceneSpec` to the configuration of Isaac Lab's `InteractiveScene`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from grail_framework.engine.isaaclab.files import ground_usd, object_usd, robot_usd, table_usd
from grail_framework.engine.isaaclab.physics import NEWTON
from grail_framework.engine.isaaclab.physx_scene import body_props, contact_sensor_cfgs, robot_props

if TYPE_CHECKING:
    from grail_framework.engine.objects import SceneObjects
    from grail_framework.engine.protocol import SceneSpec
    from grail_framework.robots.spec import JointSpec, RobotSpec

ROBOT: Final = "Robot"
OBJECT: Final = "Object"
TABLE: Final = "Table"
"""Names of the prims below each environment's."""
PARKED: Final = {OBJECT: (0.0, 5.0, 0.5), TABLE: (0.0, -5.0, 0.5)}
"""Where object and table are until the first reset places them. [m]"""
EVERY_ENVIRONMENT: Final = -1
"""Isaac Lab's collision group of what touches the bodies of all environments."""


def scene_cfg(spec: SceneSpec, objects: SceneObjects | None) -> Any:
    """Describe robot, object, table and ground of every environment.

    Raises:
        AssetError: an asset that cannot be converted.
    """
    from isaaclab.assets import AssetBaseCfg
    from isaaclab.scene import InteractiveSceneCfg
    from isaaclab.sim import UsdFileCfg

    newton = spec.physics == NEWTON
    # Newton simulates each environment in a world of its own: all of them can be at the origin, where floats are finest.
    spacing = 0.0 if newton else spec.env_spacing
    cfg: Any = InteractiveSceneCfg(num_envs=spec.num_envs, env_spacing=spacing, replicate_physics=True)
    cfg.robot = _robot(spec.robot, newton=newton)
    if objects is not None:
        files = [
            str(object_usd(body, slots=objects.slots, dynamic=spec.object_dynamic, fixed=newton)) for body in objects.bodies
        ]
        cfg.object = _body(OBJECT, files, moves=spec.object_dynamic, newton=newton)
        layout = np.array(objects.env_body)
        cfg.clone_cfg.clone_strategy = lambda weights, num_envs: layout
    if spec.table_size is not None:
        cfg.table = _body(TABLE, [str(table_usd(spec.table_size, fixed=newton))], moves=False, newton=newton)
    cfg.ground = AssetBaseCfg(
        prim_path="/World/Ground",
        spawn=UsdFileCfg(usd_path=str(ground_usd(spec.ground_friction))),
        collision_group=EVERY_ENVIRONMENT,
    )
    if not newton:
        for name, sensor in contact_sensor_cfgs(spec).items():
            setattr(cfg, name, sensor)
    return cfg


def _robot(robot: RobotSpec, *, newton: bool) -> Any:
    """Describe the robot; its USD has MuJoCo's actuators beside the drives for a solver that knows them."""
    import isaaclab.sim
    from isaaclab.actuators import ImplicitActuatorCfg
    from isaaclab.assets import ArticulationCfg

    def of_each(field: str) -> dict[str, float]:
        return {joint.name: getattr(joint, field) for joint in robot.joints}

    sim: Any = isaaclab.sim
    self_collision = sim.ArticulationRootPropertiesCfg(enabled_self_collisions=robot.self_collision)
    drives = ImplicitActuatorCfg(
        joint_names_expr=[".*"],
        stiffness=of_each("stiffness"),
        damping=of_each("damping"),
        armature=of_each("armature"),
        joint_effort_limit=of_each("effort"),
        joint_velocity_limit=of_each("velocity"),
    )
    return ArticulationCfg(
        prim_path=f"{{ENV_REGEX_NS}}/{ROBOT}",
        spawn=sim.UsdFileCfg(
            usd_path=str(robot_usd(robot, actuated=newton)),
            **({"articulation_props": self_collision} if newton else robot_props(self_collision=robot.self_collision)),
        ),
        init_state=ArticulationCfg.InitialStateCfg(
            pos=(0.0, 0.0, robot.spawn_height), joint_pos={joint.name: _within(joint) for joint in robot.joints}
        ),
        actuators={"all": drives},
        soft_joint_pos_limit_factor=robot.soft_limit_factor,
    )


def _within(joint: JointSpec) -> float:
    """Return the default position within the limits, which Isaac Lab demands."""
    return min(max(joint.default_pos, joint.lower), joint.upper)


def _body(name: str, files: list[str], *, moves: bool, newton: bool) -> Any:
    from isaaclab.assets import AssetBaseCfg, RigidObjectCfg
    from isaaclab.sim import MultiUsdFileCfg, UsdFileCfg

    path = f"{{ENV_REGEX_NS}}/{name}"
    props = {} if newton else body_props()
    spawn: Any = (
        MultiUsdFileCfg(usd_path=files, random_choice=False, **props)
        if len(files) > 1
        else UsdFileCfg(usd_path=files[0], **props)
    )
    # Isaac Lab takes Newton's fixed bodies for no rigid objects; PhysX's are moved as such.
    kind: Any = RigidObjectCfg if moves or not newton else AssetBaseCfg
    return kind(prim_path=path, spawn=spawn, init_state=kind.InitialStateCfg(pos=PARKED[name]))
