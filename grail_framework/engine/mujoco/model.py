"""From a `SceneSpec` to MuJoCo models: one per distinct object, all of one size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import attrs
import mujoco as _mujoco
import numpy as np

from grail_framework.engine.mujoco.sensors import add_sensors
from grail_framework.engine.objects import SimulatedObject, scene_objects
from grail_framework.engine.polygons import mend_polygon_normals
from grail_framework.errors import AssetError
from grail_framework.robots.builder import build_robot

if TYPE_CHECKING:
    from grail_framework.engine.protocol import SceneSpec

mujoco: Any = _mujoco  # its extension modules carry no types

GROUND: Final = "world"
OBJECT: Final = "scene:object"
TABLE: Final = "scene:table"
"""Names of the bodies that are no part of the robot."""

_ARENA_BYTES: Final = 64 * 2**20
"""Memory for contacts and constraints per thread; a full arena would end an environment's step early."""
_NOT_IN_DATA: Final = re.compile(r"nmesh.*|nnames.*|nbuffer|npolygonmax")
"""Sizes of a model that no array of MjData has."""


@attrs.frozen(kw_only=True, eq=False)
class SceneModels:
    """The models of a scene: `models[k]` is that of environment k; data made for `largest` fits every one of them."""

    models: tuple[Any, ...]
    largest: Any


def build_models(scene: SceneSpec) -> SceneModels:
    """Build one model per distinct object and hand them out to the environments.

    `mujoco.rollout` shares each thread's data among all models, and checks only some sizes: a model with more geoms than its data
    would overrun memory. So every object takes as many convex slots as the largest has pieces, and the data is made for a model
    that is at least as large in every size.

    Raises:
        AssetError: an object file cannot be used.
        ConfigError: `env_object` does not fit the scene.
    """
    base = _base_spec(scene)
    if not scene.objects:
        model = base.compile()
        mend_polygon_normals(model)
        return SceneModels(models=(model,) * scene.num_envs, largest=model)
    objects = scene_objects(scene)
    bodies = objects.bodies
    models = [_compile(base, body, objects.slots) for body in bodies]
    largest = _largest(base, bodies, objects.slots)
    for body, model in zip(bodies, models, strict=True):
        _check_fits(model, largest, body)
    return SceneModels(models=tuple(models[index] for index in objects.env_body), largest=largest)


def _base_spec(scene: SceneSpec) -> Any:
    """Robot, ground, table and sensors: all but the object, whose body is there and still empty."""
    spec = build_robot(scene.robot)
    spec.option.timestep = scene.physics_dt
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations = scene.solver_iterations
    # The same physics to the last digits, 9 % faster than the dense Jacobian that MuJoCo picks below 60 degrees of freedom.
    spec.option.jacobian = mujoco.mjtJacobian.mjJAC_SPARSE
    # A diverged environment must stay diverged until the training resets it: MuJoCo's own reset would hide it.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    spec.memory = _ARENA_BYTES
    # Where two geoms differ in priority, the friction of the higher one counts: ground before robot, object before both.
    spec.worldbody.add_geom(
        name="scene:ground",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(0.0, 0.0, 1.0),
        friction=(scene.ground_friction, 0.005, 0.0001),
        priority=1,
    )
    if scene.table_size is not None:
        # Out of the robot's way until the first reset places it.
        table = spec.worldbody.add_body(name=TABLE, mocap=True, pos=(0.0, -5.0, 0.5))
        table.add_geom(
            name=TABLE,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=tuple(0.5 * extent for extent in scene.table_size),
            friction=(1.0, 0.005, 0.0001),
        )
    if scene.objects:
        body = spec.worldbody.add_body(name=OBJECT, mocap=not scene.object_dynamic, pos=(0.0, 5.0, 0.5))
        if scene.object_dynamic:
            body.add_freejoint(name=OBJECT)
    add_sensors(spec, scene, {"object": OBJECT, "table": TABLE, "ground": GROUND, "any": ""})
    return spec


def _compile(base: Any, body: SimulatedObject, slots: int) -> Any:
    try:
        model = _with_object(base, body, slots).compile()
    except ValueError as error:
        reason = " ".join(line.strip() for line in str(error).removeprefix("Error: ").splitlines())
        raise AssetError(
            f"{body.asset.path}: MuJoCo refuses the object ({reason}); check its mass, inertia and shape"
        ) from error
    mend_polygon_normals(model)
    return model


def _with_object(base: Any, body: SimulatedObject, slots: int) -> Any:
    """Add an object of exactly `slots` convex geoms to a copy of the scene."""
    spec = base.copy()
    target = spec.body(OBJECT)
    # Of the solid itself: pieces overlap.
    inertia = body.mass * body.asset.gyration
    target.explicitinertial = True
    target.mass, target.ipos = body.mass, body.asset.com
    target.fullinertia = (*np.diag(inertia), inertia[0, 1], inertia[0, 2], inertia[1, 2])
    for slot in range(slots):
        used = slot < len(body.asset.pieces)
        name = f"{OBJECT}-{slot}"
        if used:
            spec.add_mesh(
                name=name,
                uservert=body.asset.pieces[slot].vertices.astype(np.float32).ravel(),
                inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX,
            )
        target.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=name if used else f"{OBJECT}-0",
            friction=(body.friction, 0.005, 0.0001),
            priority=2,
            # An unused slot has a type nobody has an affinity for: it counts in every size and never collides.
            contype=1 if used else 2,
            conaffinity=1 if used else 0,
        )
    return spec


def _largest(base: Any, bodies: tuple[SimulatedObject, ...], slots: int) -> Any:
    """Compile a scene that no other of this run exceeds in any size."""
    # A mesh's bounding volume tree grows with its corners.
    piece = max((piece for body in bodies for piece in body.asset.pieces), key=lambda piece: len(piece.vertices))
    # A body whose centre of mass is off its origin takes the full form of the mass matrix, an aligned one a smaller one.
    gyration = np.array([[1.0, 0.1, 0.1], [0.1, 1.1, 0.1], [0.1, 0.1, 1.2]])
    asset = attrs.evolve(bodies[0].asset, pieces=(piece,) * slots, com=np.array([0.1, 0.2, 0.3]), gyration=gyration)
    return _compile(base, SimulatedObject(asset=asset, mass=1.0, friction=1.0), slots)


def _check_fits(model: Any, largest: Any, body: SimulatedObject) -> None:
    """Refuse a model that is larger than the one the data is made for, before it could overrun memory."""
    for name in dir(largest):
        if not name.startswith("n") or _NOT_IN_DATA.fullmatch(name) or not isinstance(getattr(largest, name), int):
            continue
        ours, limit = getattr(model, name), getattr(largest, name)
        if ours > limit:
            raise AssetError(
                f"{body.asset.path}: its model is larger than the others allow ({name}: {ours}, limit {limit}); "
                "simulate this object in a run of its own"
            )
