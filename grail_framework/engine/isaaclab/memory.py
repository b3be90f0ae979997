"""How much memory a scene takes per environment, and whether it is there: asked before any world is built.

The arrays of the solver are counted from the shapes that MuJoCo-Warp declares, those of a step from what it allocates in one; of what
Newton and Isaac Lab keep the rows are counted; what the environment and training take is measured.
"""

from __future__ import annotations

import dataclasses
import math
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.engine.objects import SceneObjects
    from grail_framework.engine.protocol import SceneSpec
    from grail_framework.robots.spec import RobotSpec

KIB: Final = 2**10
GIB: Final = 2**30

# MuJoCo-Warp 3.12, with Isaac Lab's settings.
_TILE: Final = 16
_PYRAMID: Final = 4
"""Constraint rows of a contact of three dimensions."""
_FREE_INERTIA: Final = 21
"""Non-zeros of the lower half of a free body's six by six inertia."""
_CCD_ITERATIONS: Final = 35
_HORIZON: Final = 24
_FACES_PER_ITERATION: Final = 5
_WORD: Final = 4
_VEC3: Final = 12
_CANDIDATE: Final = 5 * _WORD
"""A pair whose bounds overlap: two geoms, two numbers, a world. [bytes]"""

_BOX_CORNERS: Final = 4
_BOX_DEGREE: Final = 3

_FIXED: Final = 1.5 * GIB
"""What does not depend on the number of environments: CUDA context, kernels, meshes, networks. [bytes]"""
_PER_BODY: Final = 960
_PER_DOF: Final = 820
_PER_SHAPE: Final = 500
_PER_PAIR: Final = 8
_PER_CONTACT: Final = 96
"""Newton's model, states and contacts, Isaac Lab's data, this engine's, and the solver's model, which has a row per world. [bytes]"""
_TRAINING: Final = 800 * KIB
"""State, reference window, observations and graphs of an environment, and a rollout of 24 steps: the first are 565 KiB of the 1,367 that
an environment of pnp_table takes on an H200 beside what is counted here, the rollout is 210. [bytes]"""
_LEAST_SHOWN: Final = 64


@attrs.frozen(kw_only=True)
class WorldSize:
    """What the memory of one environment depends on."""

    bodies: int
    """Links of the robot, world, object and table. [-]"""
    dofs: int
    """Degrees of freedom. [-]"""
    shapes: int
    """Collision shapes. [-]"""
    contacts: int
    """Contact points per environment that are made room for. [-]"""
    constraints: int
    """Constraint rows per environment that are made room for. [-]"""
    inertia: int
    """Non-zeros of the lower half of the mass matrix. [-]"""
    row: int
    """Most degrees of freedom that a constraint row acts on. [-]"""
    pairs: int
    """Pairs of shapes that may touch. [-]"""
    searched: int
    """Pairs per environment that room is made for in the general search for contacts of convex shapes; 0: no pair needs it. [-]"""
    corners: int
    """Most corners of a face, where a mesh may touch another or a box; 0: none may. [-]"""
    degree: int
    """Most faces that meet in a corner, likewise. [-]"""


def world_size(spec: SceneSpec, objects: SceneObjects | None, *, contacts: int, constraints: int) -> WorldSize:
    """Count what stands in an environment of a scene.

    Args:
        spec: the scene.
        objects: its objects; None: it has none.
        contacts: contact points per environment.
        constraints: constraint rows per environment.

    Raises:
        AssetError: MuJoCo refuses a convex piece of an object.
    """
    slots = 0 if objects is None else objects.slots
    has_object, has_table = objects is not None, spec.table_size is not None
    free = has_object and spec.object_dynamic
    movers = _movers(spec.robot)
    joints_above = [len(movers[body.name]) for body in spec.robot.bodies if body.joint is not None]
    # Two links of the robot touch, or one touches the object.
    linked = max(len(one | other) for one, other in product(movers.values(), repeat=2))
    colliders = sum(len(body.colliders) for body in spec.robot.bodies)
    shapes = 1 + colliders + slots + has_table
    apart = math.comb(slots, 2) + (0 if spec.robot.self_collision else math.comb(colliders, 2))
    kinds = _meetings(spec)
    corners, degree = _faces(spec, objects) if any(_by_faces(*kind) for kind in kinds) else (0, 0)
    return WorldSize(
        bodies=1 + len(spec.robot.bodies) + has_object + has_table,
        dofs=6 + len(spec.robot.joints) + 6 * free,
        shapes=shapes,
        contacts=contacts,
        constraints=constraints,
        inertia=_FREE_INERTIA * (1 + free) + sum(6 + count for count in joints_above),
        row=6 + max(linked, max(map(len, movers.values())) + 6 * free),
        pairs=math.comb(shapes, 2) - apart,
        searched=contacts if any(_by_search(*kind) for kind in kinds) else 0,
        corners=corners,
        degree=degree,
    )


def bytes_per_env(size: WorldSize) -> int:
    """Return the memory of one environment: solver, Newton's and Isaac Lab's arrays and what training keeps of it. [bytes]"""
    return solver_bytes(size) + step_bytes(size) + model_bytes(size) + _TRAINING


def model_bytes(size: WorldSize) -> int:
    """Return the size of one environment's part of the models and of the states of Newton and Isaac Lab. [bytes]"""
    rows = _PER_BODY * size.bodies + _PER_DOF * size.dofs + _PER_SHAPE * size.shapes
    return rows + _PER_PAIR * size.pairs + _PER_CONTACT * size.contacts


def solver_bytes(size: WorldSize) -> int:
    """Return the size of one world's part of MuJoCo-Warp's data, from the shapes that it declares. [bytes]"""
    from mujoco_warp import Constraint, Contact, Data

    dims = _dimensions(size)
    # The contacts' flex fields are empty without a flex, and the sparse Jacobian's size is no dimension of the declaration.
    plain = sum(_declared(cls, dims, but=but) for cls, but in ((Data, ()), (Contact, _FLEX), (Constraint, _JACOBIAN)))
    return plain + size.constraints * (2 * _WORD + 2 * _WORD * size.row)


def step_bytes(size: WorldSize) -> int:
    """Return the most memory that one world takes within a step, in collision detection or in the solver. [bytes]

    MuJoCo-Warp allocates it anew in each step and gives it back; a graph keeps it.
    """
    collision = _CANDIDATE * size.contacts + size.searched * (_polytope_bytes() + _clipping_bytes(size.corners, size.degree))
    padded = _padded(size.dofs + 1)
    solver = 2 * _WORD * padded**2 + size.constraints * (3 * _WORD + _VEC3) + 6 * _WORD * padded
    return max(collision, solver)


def _polytope_bytes() -> int:
    """Return what the general search takes for a pair: a polytope that grows by two corners and some faces in an iteration. [bytes]"""
    vertices, faces = 10 + 2 * _CCD_ITERATIONS, 6 + _FACES_PER_ITERATION * _CCD_ITERATIONS
    return vertices * (_VEC3 + _WORD) + faces * (2 * _WORD + _VEC3) + _HORIZON * _WORD


def _clipping_bytes(corners: int, degree: int) -> int:
    """Return what is taken for a pair to find several points between two faces by clipping one to the other. [bytes]"""
    # Two polygons of twice the corners; a plane for each edge; the two faces. Two numbers, two normals and an edge for each face.
    return corners * (4 * _VEC3 + (_VEC3 + _WORD) + 2 * _VEC3) + degree * (2 * _WORD + 3 * _VEC3)


def check_memory(size: WorldSize, num_envs: int, device: str, *, free: int | None = None) -> None:
    """Demand that the environments fit into what is free.

    Args:
        size: one environment.
        num_envs: how many.
        device: cpu or cuda:N.
        free: memory to count with [bytes]; None: what is free on the device now.

    Raises:
        ConfigError: they do not; it says how many do.
    """
    free = free_memory(device) if free is None else free
    each = bytes_per_env(size)
    needed = _FIXED + each * num_envs
    if needed <= free:
        return
    fits = max(int((free - _FIXED) // each), 0)
    fits -= fits % _LEAST_SHOWN if fits > _LEAST_SHOWN else 0
    advice = (
        f"about {fits} fit: use --num-envs {fits}" if fits else "not one fits: free memory on it first, or use another device"
    )
    raise ConfigError(
        f"num_envs: got {num_envs}, which need {needed / GIB:.1f} GiB on {device} ({each / KIB:.0f} KiB each and {_FIXED / GIB:.1f} GiB "
        f"once), and {free / GIB:.1f} GiB are free there; {advice}"
    )


def free_memory(device: str) -> int:
    """Return the free memory of a device, or of the machine for the CPU. [bytes]"""
    import torch

    if torch.device(device).type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    (available,) = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(available) * KIB


_FLEX: Final = ("flex", "elem", "vert")
_JACOBIAN: Final = ("J", "J_colind", "J_rownnz", "J_rowadr")


def _dimensions(size: WorldSize) -> dict[str, int]:
    """Return the dimensions of MuJoCo-Warp's arrays for one world; those not named here are 0: there is no tendon, site or sensor."""
    return {
        "nworld": 1,
        "nbody": size.bodies,
        "njnt": size.dofs,
        "nq": size.dofs + 2,
        "nv": size.dofs,
        "nu": size.dofs,
        "nJmom": size.dofs,
        "ngeom": size.shapes,
        "ntree": 3,
        "nmocap": 2,
        "nC": size.inertia,
        "nD": 2 * size.inertia - size.dofs,
        "qld_total": 4 * size.inertia,  # dense by block; about this for a humanoid
        "naconmax": size.contacts,
        "nmaxpyramid": _PYRAMID,
        "njmax": size.constraints,
        "njmax_pad": _padded(size.constraints),
    }


def _declared(cls: Any, dims: Mapping[str, int], *, but: tuple[str, ...]) -> int:
    """Add up the arrays of a dataclass whose fields are declared with shapes of named dimensions."""
    import warp as wp

    total = 0
    for field in dataclasses.fields(cls):
        shape = getattr(field.type, "shape", None)
        # Anything without a row per world or contact is shared.
        if not shape or shape[0] not in ("nworld", "naconmax") or field.name in but:
            continue
        count = math.prod(dims.get(dim, 0) if isinstance(dim, str) else dim for dim in shape)
        total += count * wp.types.type_size_in_bytes(cast("Any", field.type).dtype)
    return total


def _movers(robot: RobotSpec) -> dict[str, frozenset[str]]:
    """Return which joints move each body."""
    found: dict[str, frozenset[str]] = {}
    for body in robot.bodies:
        above = frozenset() if body.parent is None else found[body.parent]
        found[body.name] = above if body.joint is None else above | {body.joint.name}
    return found


def _meetings(spec: SceneSpec) -> set[tuple[str, str]]:
    """Return the kinds of shapes that may touch, in alphabetical order; the ground touches all of them in closed form."""
    robot = {collider.shape for body in spec.robot.bodies for collider in body.colliders}
    thing, table = {"mesh"} if spec.objects else set(), {"box"} if spec.table_size is not None else set()
    found = set(product(robot, thing | table)) | (set(product(thing, table)) if spec.object_dynamic else set())
    if spec.robot.self_collision:
        found |= set(combinations(sorted(robot), 2)) | {(kind, kind) for kind in robot}
    return {(min(pair), max(pair)) for pair in found}


def _by_search(one: str, other: str) -> bool:
    """Whether MuJoCo-Warp searches for the contact of two kinds of shapes by GJK and EPA; box against box is turned off."""
    kinds = {one, other}
    return "mesh" in kinds or ("cylinder" in kinds and "sphere" not in kinds)


def _by_faces(one: str, other: str) -> bool:
    """Whether it then clips face against face."""
    return "mesh" in (one, other) and {one, other} <= {"box", "mesh"}


def _faces(spec: SceneSpec, objects: SceneObjects | None) -> tuple[int, int]:
    """Return the most corners of a face, and the most faces in a corner, of all meshes of a scene as MuJoCo compiles them.

    Raises:
        AssetError: MuJoCo refuses a mesh.
    """
    from grail_framework.engine.isaaclab.mesh_variants import compile_hulls
    from grail_framework.robots.builder import build_robot

    models = []
    if objects is not None:
        models.append(compile_hulls([piece.vertices for body in objects.bodies for piece in body.asset.pieces]))
    if any(collider.shape == "mesh" for body in spec.robot.bodies for collider in body.colliders):
        models.append(build_robot(spec.robot).compile())
    most = [max(int(getattr(model, name)) for model in models) for name in ("npolygonmax", "nmeshdegmax")]
    return max(most[0], _BOX_CORNERS), max(most[1], _BOX_DEGREE)


def _padded(count: int) -> int:
    return -(-count // _TILE) * _TILE
