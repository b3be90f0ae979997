"""From a `SceneSpec` to MuJoCo models: one per distinct object, all of one size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import attrs
import mujoco as _mujoco
import numpy as np

from grail_framework.assets.usd import ObjectAsset, read_object
from grail_framework.engine.mujoco.sensors import add_sensors
from grail_framework.errors import AssetError, ConfigError
from grail_framework.robots.builder import build_robot

if TYPE_CHECKING:
    from grail_framework.engine.protocol import ObjectSpec, SceneSpec

mujoco: Any = _mujoco  # its extension modules carry no types

GROUND: Final = "world"
OBJECT: Final = "scene:object"
TABLE: Final = "scene:table"
"""Names of the bodies that are no part of the robot."""

_DEFAULT_DENSITY: Final = 1000.0
"""Of an object whose file and config give neither mass nor density: the default of USD's physics schema. [kg/m^3]"""
_ARENA_BYTES: Final = 64 * 2**20
"""Memory for contacts and constraints per thread; a full arena would end an environment's step early."""
_NOT_IN_DATA: Final = re.compile(r"nmesh.*|nnames.*|nbuffer|npolygonmax")
"""Sizes of a model that no array of MjData has."""


@attrs.frozen(kw_only=True, eq=False)
class SceneModels:
    """The models of a scene: `models[k]` is that of environment k; data made for `largest` fits every one of them."""

    models: tuple[Any, ...]
    largest: Any


@attrs.frozen(kw_only=True, eq=False)
class _Body:
    """An object as it is simulated."""

    asset: ObjectAsset
    piece_masses: tuple[float, ...]  # [kg]
    friction: float


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
        return SceneModels(models=(model,) * scene.num_envs, largest=model)
    _check_env_object(scene)
    assets: dict[str, ObjectAsset] = {}
    distinct: dict[bytes, int] = {}
    bodies: list[_Body] = []
    model_of: list[int] = []
    for spec in scene.objects:
        if spec.path not in assets:
            assets[spec.path] = read_object(spec.path)
        body = _simulated(spec, assets[spec.path])
        # A library holds one file per motion, and many of them hold the same object.
        index = distinct.setdefault(_content(body), len(bodies))
        if index == len(bodies):
            bodies.append(body)
        model_of.append(index)
    slots = max(len(body.piece_masses) for body in bodies)
    models = [_with_object(base, body, slots).compile() for body in bodies]
    largest = _largest(base, bodies, slots)
    for body, model in zip(bodies, models, strict=True):
        _check_fits(model, largest, body)
    return SceneModels(models=tuple(models[model_of[index]] for index in scene.env_object), largest=largest)


def _base_spec(scene: SceneSpec) -> Any:
    """Robot, ground, table and sensors: all but the object, whose body is there and still empty."""
    spec = build_robot(scene.robot)
    spec.option.timestep = scene.physics_dt
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations = scene.solver_iterations
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


def _with_object(base: Any, body: _Body, slots: int) -> Any:
    """Add an object of exactly `slots` convex geoms to a copy of the scene."""
    spec = base.copy()
    target = spec.body(OBJECT)
    for slot in range(slots):
        used = slot < len(body.piece_masses)
        piece = body.asset.pieces[slot if used else 0]
        name = f"{OBJECT}-{slot}"
        spec.add_mesh(
            name=name,
            uservert=piece.vertices.astype(np.float32).ravel(),
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX,
        )
        target.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname=name,
            mass=body.piece_masses[slot] if used else 0.0,
            friction=(body.friction, 0.005, 0.0001),
            priority=2,
            # An unused slot has a type nobody has an affinity for: it counts in every size and never collides.
            contype=1 if used else 2,
            conaffinity=1 if used else 0,
        )
    return spec


def _largest(base: Any, bodies: list[_Body], slots: int) -> Any:
    """Compile a scene that no other of this run exceeds in any size."""
    # A mesh's bounding volume tree grows with its corners.
    piece = max((piece for body in bodies for piece in body.asset.pieces), key=lambda piece: len(piece.vertices))
    asset = attrs.evolve(bodies[0].asset, pieces=(piece,) * slots)
    spec = _with_object(base, _Body(asset=asset, piece_masses=(1.0,) * slots, friction=1.0), slots)
    # A body whose centre of mass is off its origin takes the full form of the mass matrix, an aligned one a smaller one.
    target = spec.body(OBJECT)
    target.explicitinertial = True
    target.mass, target.ipos, target.fullinertia = 1.0, (0.1, 0.2, 0.3), (1.0, 1.1, 1.2, 0.1, 0.1, 0.1)
    return spec.compile()


def _simulated(spec: ObjectSpec, asset: ObjectAsset) -> _Body:
    """Settle mass and density: the config's mass, its density, the file's mass, the file's density, the default."""
    density = spec.density
    mass = spec.mass
    if mass is None and density is None:
        mass, density = asset.mass, asset.density
    if mass is None:
        mass = (density or _DEFAULT_DENSITY) * asset.volume
    shares = [piece.volume / asset.volume for piece in asset.pieces]
    return _Body(asset=asset, piece_masses=tuple(mass * share for share in shares), friction=spec.friction)


def _content(body: _Body) -> bytes:
    """Return bytes that are equal for objects that simulate alike."""
    numbers = np.array([body.friction, *body.piece_masses], dtype=np.float64).tobytes()
    return numbers + b"|".join(piece.vertices.tobytes() for piece in body.asset.pieces)


def _check_env_object(scene: SceneSpec) -> None:
    if len(scene.env_object) != scene.num_envs:
        raise ConfigError(
            f"env_object has {len(scene.env_object)} entries for {scene.num_envs} environments; give one object index for each"
        )
    wrong = [index for index in scene.env_object if not 0 <= index < len(scene.objects)]
    if wrong:
        raise ConfigError(f"env_object holds the index {wrong[0]}; the scene has objects 0 to {len(scene.objects) - 1}")


def _check_fits(model: Any, largest: Any, body: _Body) -> None:
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
