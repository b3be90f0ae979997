"""The height map: how high the terrain is around the robot, seen along a fan of rays from its root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from grail_framework.errors import ConfigError
from grail_framework.logging.stages import stage

if TYPE_CHECKING:
    from grail_framework.assets.triangles import Faces, Points
    from grail_framework.engine.protocol import SceneSpec
    from grail_framework.envs.tracking_env import TrackingEnv

_SLACK: Final = 1e-6
"""By how much a size may miss a multiple of the resolution. [-]"""


class height_map_z_flat:  # noqa: N801 - terms are named as they are written in a config
    """Give the heights of the terrain above the robot's root, in its heading frame (N, S * S) [m]; normally negative.

    Rays leave the root along (x, y, -1) for the points of a grid, S to a side, turned by the robot's heading alone; number S * ix + iy is
    that of the ix-th x and the iy-th y, from the lowest up. They meet the triangles of the environment's terrain as its file has them,
    placed where the reference has the object. A ray that meets nothing ends at the maximum distance; what lies below z = 0 counts as
    z = 0; where a pose is not finite, 0 is given. These are the rules of the GRAIL release, with its grid as the default.

    The heights are those of the present state and reference whenever observations are computed. The release computes them while a step's
    reference is updated, so there the observation after a full reset still holds those of the last step before it, or zeros at the start.
    The same tensor is returned every time.

    Args:
        env: the environment.
        size: extent of the grid, which is 1 m below the root. [m]
        resolution: distance of its points. [m]
        max_distance: length of a ray that meets nothing. [m]

    Raises:
        ConfigError: the scene has no objects, the size is no multiple of the resolution, or a length is not above 0.
        AssetError: the file of a terrain cannot be read.
    """

    def __init__(self, env: TrackingEnv, size: float = 1.5, resolution: float = 0.15, max_distance: float = 5.0) -> None:
        side = _points_per_side(size, resolution)
        if not max_distance > 0.0:
            raise ConfigError(f"height_map_z_flat: max_distance={max_distance:g}; allowed: a length above 0 [m]")
        spec = env.engine.spec
        if not spec.objects:
            raise ConfigError(
                "height_map_z_flat: the scene has no objects, and terrain is the object of the scene; set scene.object, or remove the term"
            )
        stage("reading the terrain for the height map")
        terrains, env_terrain = _terrains(spec)
        # Warp takes seconds to import and to compile a kernel: only who needs it pays for it.
        from grail_terrain.mdp.ray_casting import POSE_WIDTH, FanCaster, cast

        self._cast: Any = cast
        self._poses = torch.zeros(env.num_envs, POSE_WIDTH, device=env.device)
        self._heights = torch.zeros(env.num_envs, side * side, device=env.device)
        self._caster = FanCaster(
            terrains,
            env_terrain,
            poses=self._poses,
            heights=self._heights,
            size=size,
            max_distance=max_distance,
            num_threads=spec.num_threads or torch.get_num_threads(),
        )

    def __call__(self, env: TrackingEnv) -> torch.Tensor:
        """Give the heights; not to be written to."""
        state, reference = env.state, env.reference
        placed = (state.root_pos_w, state.root_quat_w, reference.object_pos_w, reference.object_quat_w)
        torch.cat(placed, dim=1, out=self._poses)
        return self._cast(self._caster, self._heights, self._poses)


def _points_per_side(size: float, resolution: float) -> int:
    """Return how many points a side of the grid has.

    Raises:
        ConfigError: not above 0, or no multiple.
    """
    if size > 0.0 and resolution > 0.0 and round(size / resolution) >= 1:
        steps = round(size / resolution)
        if abs(steps * resolution - size) <= _SLACK * size:
            return steps + 1
    raise ConfigError(
        f"height_map_z_flat: size={size:g}, resolution={resolution:g}; allowed: lengths above 0 [m], the size a multiple of the resolution"
    )


def _terrains(spec: SceneSpec) -> tuple[list[tuple[Points, Faces]], list[int]]:
    """Read the distinct terrains of a scene, and return which one each environment has; files of equal content count as one."""
    from grail_framework.assets.usd import read_triangles

    distinct: dict[tuple[bytes, bytes], int] = {}
    terrains: list[tuple[Points, Faces]] = []
    of_path: dict[str, int] = {}
    for index in dict.fromkeys(spec.env_object):
        path = spec.objects[index].path
        if path in of_path:
            continue
        vertices, faces = read_triangles(path)
        of_path[path] = distinct.setdefault((vertices.tobytes(), faces.tobytes()), len(terrains))
        if of_path[path] == len(terrains):
            terrains.append((vertices, faces))
    return terrains, [of_path[spec.objects[index].path] for index in spec.env_object]
