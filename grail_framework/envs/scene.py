"""From configuration and motions to the scene an engine builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grail_framework.engine.protocol import ContactSensorSpec, ObjectSpec, SceneSpec
from grail_framework.envs.command import env_motion_ids
from grail_framework.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_framework.config import RunCfg
    from grail_framework.motion.library import MotionLibrary
    from grail_framework.robots.spec import RobotSpec


def scene_spec(
    cfg: RunCfg, robot: RobotSpec, motions: MotionLibrary, *, device: str, motion_ids: Sequence[int] | None = None
) -> SceneSpec:
    """Describe the scene: each environment holds the object of the motion it follows.

    Args:
        cfg: the run's configuration.
        robot: who is in it.
        motions: what is followed.
        device: where the engine's buffers live.
        motion_ids: the motion of each environment; None: `k mod M` in environment k.

    Raises:
        DataError: the scene has an object but a motion has no asset for it.
        ConfigError: a contact sensor names a link the robot does not have, or a partner the scene does not have.
    """
    followed = env_motion_ids(cfg.num_envs, motions.num_motions) if motion_ids is None else motion_ids
    objects, env_object = _objects(cfg, motions, followed)
    return SceneSpec(
        num_envs=cfg.num_envs,
        robot=robot,
        physics_dt=cfg.engine.physics_dt,
        decimation=cfg.engine.decimation,
        ground_friction=cfg.scene.ground_friction,
        env_spacing=cfg.scene.env_spacing,
        objects=objects,
        env_object=env_object,
        object_dynamic=cfg.scene.object.dynamic if cfg.scene.object is not None else True,
        table_size=_size(cfg.scene.table.size) if cfg.scene.table is not None else None,
        contact_sensors=_contact_sensors(cfg, robot),
        device=device,
        num_threads=cfg.engine.num_threads,
        solver_iterations=cfg.engine.solver_iterations,
        contact_room=cfg.engine.contact_room,
        physics=cfg.engine.physics,
        cuda_graphs=cfg.engine.cuda_graphs,
    )


def _objects(cfg: RunCfg, motions: MotionLibrary, followed: Sequence[int]) -> tuple[tuple[ObjectSpec, ...], tuple[int, ...]]:
    if cfg.scene.object is None:
        return (), ()
    missing = [key for key, path in zip(motions.keys, motions.object_usd, strict=True) if path is None]
    if missing:
        raise DataError(
            f"no object USD for {len(missing)} of {motions.num_motions} motions (first: {', '.join(missing[:5])}); every motion "
            "needs object_usd/<stem>.usd, or one file for all with motion.object_usd=FILE"
        )
    settings = cfg.scene.object
    paths = [str(motions.object_usd[motion]) for motion in followed]
    # Only the motions that some environment follows need their object loaded.
    used = {path: index for index, path in enumerate(dict.fromkeys(paths))}
    objects = tuple(
        ObjectSpec(
            name=f"object_{i}",
            path=path,
            mass=settings.mass,
            density=settings.density,
            friction=settings.friction,
            max_pieces=settings.piece_limit,
        )
        for i, path in enumerate(used)
    )
    return objects, tuple(used[path] for path in paths)


def _contact_sensors(cfg: RunCfg, robot: RobotSpec) -> dict[str, ContactSensorSpec]:
    sensors = {}
    for name, sensor in cfg.scene.contact_sensors.items():
        if sensor.partner == "object" and cfg.scene.object is None:
            raise ConfigError(f"scene.contact_sensors.{name}: partner 'object', but the scene has none (scene.object is null)")
        if sensor.partner == "table" and cfg.scene.table is None:
            raise ConfigError(f"scene.contact_sensors.{name}: partner 'table', but the scene has none (scene.table is null)")
        sensors[name] = ContactSensorSpec(links=robot.match_bodies(sensor.links), partner=sensor.partner)
    return sensors


def _size(size: tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z = size
    return (x, y, z)
