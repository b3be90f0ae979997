"""Objects of a scene as engines simulate them: files read once, mass settled, equal ones joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from grail_framework.assets.usd import ObjectAsset, read_objects
from grail_framework.assets.usd_mass import DEFAULT_DENSITY
from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from grail_framework.engine.protocol import ObjectSpec, SceneSpec


@attrs.frozen(kw_only=True, eq=False)
class SimulatedObject:
    """An object as it is simulated."""

    asset: ObjectAsset
    mass: float  # [kg]
    friction: float


@attrs.frozen(kw_only=True, eq=False)
class SceneObjects:
    """The distinct objects of a scene, and which one each environment holds."""

    bodies: tuple[SimulatedObject, ...]
    env_body: tuple[int, ...]
    """Index into `bodies` of each environment."""

    @property
    def slots(self) -> int:
        """Convex pieces of the object that has most."""
        return max(len(body.asset.pieces) for body in self.bodies)


def scene_objects(scene: SceneSpec) -> SceneObjects:
    """Read the objects of a scene that has some. Files that simulate alike become one body: a library holds one per motion.

    Raises:
        AssetError: an object file cannot be used.
        ConfigError: `env_object` does not fit the scene.
    """
    _check_env_object(scene)
    distinct: dict[bytes, int] = {}
    bodies: list[SimulatedObject] = []
    body_of: list[int] = []
    for spec, asset in zip(scene.objects, _assets(scene.objects), strict=True):
        body = _simulated(spec, asset)
        index = distinct.setdefault(content(body), len(bodies))
        if index == len(bodies):
            bodies.append(body)
        body_of.append(index)
    return SceneObjects(bodies=tuple(bodies), env_body=tuple(body_of[index] for index in scene.env_object))


def content(body: SimulatedObject) -> bytes:
    """Return bytes that are equal for objects that simulate alike."""
    numbers = np.array([body.friction, body.mass, *body.asset.com, *body.asset.gyration.ravel()], dtype=np.float64).tobytes()
    return numbers + b"|".join(piece.vertices.tobytes() for piece in body.asset.pieces)


def _assets(specs: tuple[ObjectSpec, ...]) -> list[ObjectAsset]:
    """Read the files of objects, each once for each number of pieces it may have."""
    wanted = list(dict.fromkeys((spec.path, spec.max_pieces) for spec in specs))
    found = read_objects([path for path, _ in wanted], max_pieces=[count for _, count in wanted])
    by_file = dict(zip(wanted, found, strict=True))
    return [by_file[spec.path, spec.max_pieces] for spec in specs]


def _simulated(spec: ObjectSpec, asset: ObjectAsset) -> SimulatedObject:
    """Settle mass and density: the config's mass, its density, the file's mass, the file's density, the default."""
    density = spec.density
    mass = spec.mass
    if mass is None and density is None:
        mass, density = asset.mass, asset.density
    if mass is None:
        mass = (density or DEFAULT_DENSITY) * asset.volume
    return SimulatedObject(asset=asset, mass=mass, friction=spec.friction)


def _check_env_object(scene: SceneSpec) -> None:
    if len(scene.env_object) != scene.num_envs:
        raise ConfigError(
            f"env_object has {len(scene.env_object)} entries for {scene.num_envs} environments; give one object index for each"
        )
    wrong = [index for index in scene.env_object if not 0 <= index < len(scene.objects)]
    if wrong:
        raise ConfigError(f"env_object holds the index {wrong[0]}; the scene has objects 0 to {len(scene.objects) - 1}")
