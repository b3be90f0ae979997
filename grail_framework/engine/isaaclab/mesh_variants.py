"""Every world its own collision meshes in Newton's MuJoCo solver.

The solver makes one MuJoCo model, of the first world, and repeats it: masses, friction and poses are then set per world, but each
world collides with the first one's meshes. MuJoCo-Warp itself can refer to another mesh in every world, so all meshes of the
simulation are compiled into one table, and each world's geoms are pointed at their own.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import attrs
import mujoco as _mujoco
import newton
import numpy as np
import warp as wp

from grail_framework.engine.polygons import mend_polygon_normals
from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

mujoco: Any = _mujoco  # its extension modules carry no types

_MESH: Final = int(mujoco.mjtGeom.mjGEOM_MESH)
_TABLE_SIZES: Final = ("nmesh", "npolygonmax")
"""How the names of a model's sizes begin that describe its meshes."""


@attrs.frozen(kw_only=True, eq=False)
class CollisionMesh:
    """A mesh as MuJoCo's compiler takes it."""

    vertices: NDArray[np.float32]  # (V, 3) [m]
    faces: NDArray[np.int32]  # (F, 3)
    max_hull_vertices: int
    """Most corners its convex hull may keep; -1: all."""

    @property
    def content(self) -> tuple[bytes, bytes, int]:
        """What is equal for meshes that collide alike."""
        return self.vertices.tobytes(), self.faces.tobytes(), self.max_hull_vertices


def give_each_world_its_meshes(solver: Any, variant: Sequence[int]) -> None:
    """Let every world collide with the meshes Newton's model has for it, their normals mended. Call it before any step or capture.

    Args:
        solver: Newton's `SolverMuJoCo` with contacts of its own.
        variant: (num_envs,) number of what each world holds; worlds of one number are alike.

    Raises:
        AssetError: MuJoCo refuses a mesh.
    """
    geoms = np.flatnonzero(solver.mjw_model.geom_type.numpy() == _MESH)
    if not len(geoms):
        return
    _, first_world, of_world = np.unique(np.asarray(variant), return_index=True, return_inverse=True)
    if len(first_world) == 1:  # the first world's meshes are right for all
        mend_polygon_normals(solver.mj_model)
        solver.mjw_model.mesh_polynormal.assign(solver.mj_model.mesh_polynormal.astype(np.float32))
        return
    meshes, mesh_of = _distinct(solver.model, solver.mjc_geom_to_newton_shape.numpy()[first_world][:, geoms])
    put_meshes(solver.mjw_model, compile_meshes(meshes), geoms, mesh_of[of_world])
    # Meshes are stored about their centre along their principal axes: each geom's pose depends on its mesh.
    solver.notify_model_changed(newton.ModelFlags.SHAPE_PROPERTIES)


def compile_meshes(meshes: Sequence[CollisionMesh]) -> Any:
    """Return MuJoCo's model of a world whose geom k is of mesh k.

    Raises:
        AssetError: MuJoCo refuses a mesh.
    """
    spec = mujoco.MjSpec()
    for index, mesh in enumerate(meshes):
        name = f"mesh {index}"
        spec.add_mesh(
            name=name, uservert=mesh.vertices.ravel(), userface=mesh.faces.ravel(), maxhullvert=mesh.max_hull_vertices
        )
        # Able to collide, else its hull would be left out; no two of them with each other.
        spec.worldbody.add_geom(type=_MESH, meshname=name, contype=1, conaffinity=0)
    try:
        model = spec.compile()
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise AssetError(
            f"MuJoCo refuses a convex piece of an object ({reason}); repair the object's mesh, or decompose it anew"
        ) from error
    mend_polygon_normals(model)
    return model


def compile_hulls(points: Sequence[NDArray[np.float64]]) -> Any:
    """Return MuJoCo's model of a world whose geom k is the convex hull of points k (P, 3) [m].

    Raises:
        AssetError: MuJoCo refuses a hull.
    """
    no_faces = np.empty((0, 3), dtype=np.int32)
    return compile_meshes(
        [CollisionMesh(vertices=corners.astype(np.float32), faces=no_faces, max_hull_vertices=-1) for corners in points]
    )


def put_meshes(model: Any, compiled: Any, geoms: NDArray[np.intp], mesh_of: NDArray[np.intp]) -> None:
    """Replace a MuJoCo-Warp model's meshes and point the geoms of every world at theirs, bounds included.

    The geoms' poses are left as they are: `geom_pos` and `geom_quat` must follow the meshes' own.

    Args:
        model: the `mujoco_warp` model, changed in place.
        compiled: what `compile_meshes` returned.
        geoms: (M,) geoms that are meshes, all there are.
        mesh_of: (num_envs, M) mesh of each.
    """
    device = model.geom_dataid.device
    for field in dataclasses.fields(model):
        if field.name.startswith("mesh_"):
            dtype = getattr(model, field.name).dtype
            setattr(model, field.name, wp.array(getattr(compiled, field.name), dtype=dtype, device=device))
        elif field.name.startswith(_TABLE_SIZES):
            setattr(model, field.name, int(getattr(compiled, field.name)))
    for name, own in (
        ("geom_dataid", mesh_of),
        ("geom_rbound", compiled.geom_rbound[mesh_of]),
        ("geom_aabb", compiled.geom_aabb[mesh_of].reshape(*mesh_of.shape, 2, 3)),
    ):
        shared = getattr(model, name)
        values = np.repeat(shared.numpy(), len(mesh_of) // shared.shape[0], axis=0)
        values[:, geoms] = own
        setattr(model, name, wp.array(values, dtype=shared.dtype, device=device))


def _distinct(model: Any, shapes: NDArray[np.int32]) -> tuple[list[CollisionMesh], NDArray[np.intp]]:
    """Return the distinct meshes of Newton's shapes (K, M), and which one each shape has (K, M)."""
    scales = model.shape_scale.numpy()
    number: dict[tuple[bytes, bytes, int], int] = {}
    meshes: list[CollisionMesh] = []
    mesh_of = np.empty(shapes.shape, dtype=np.intp)
    for place, shape in np.ndenumerate(shapes):
        source = model.shape_source[shape]
        mesh = CollisionMesh(
            vertices=np.ascontiguousarray(source.vertices * scales[shape], dtype=np.float32),
            faces=np.ascontiguousarray(source.indices, dtype=np.int32).reshape(-1, 3),
            max_hull_vertices=int(source.maxhullvert),
        )
        mesh_of[place] = number.setdefault(mesh.content, len(meshes))
        if mesh_of[place] == len(meshes):
            meshes.append(mesh)
    return meshes, mesh_of
