"""Robots from URDF and MJCF files, through MuJoCo's own parser; USD goes to the assets' reader."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

import mujoco as _mujoco
import numpy as np

from grail_framework.errors import AssetError
from grail_framework.robots.hulls import MAX_CORNERS, corners_of_graph
from grail_framework.robots.links import AssetJoint, AssetLink, RobotAsset, inertia_row, quat4, vec3
from grail_framework.robots.spec import ColliderSpec
from grail_framework.robots.urdf import urdf_for_mujoco

if TYPE_CHECKING:
    from pathlib import Path

mujoco: Any = _mujoco  # its extension modules carry no types

_USD: Final = (".usd", ".usda", ".usdc", ".usdz")
_XML: Final = (".urdf", ".xml", ".mjcf")
_PRIMITIVES: Final = {
    mujoco.mjtGeom.mjGEOM_BOX: ("box", 3),
    mujoco.mjtGeom.mjGEOM_SPHERE: ("sphere", 1),
    mujoco.mjtGeom.mjGEOM_CAPSULE: ("capsule", 2),
    mujoco.mjtGeom.mjGEOM_CYLINDER: ("cylinder", 2),
}
"""MuJoCo's shape: ours, and how many numbers its size has."""


def read_robot_file(path: Path) -> RobotAsset:
    """Read the links of the robot in a URDF, MJCF or USD file.

    Meshes collide as their convex hulls, as they do in MuJoCo and by default in Isaac Lab.

    Raises:
        AssetError: the file is missing, of another type or damaged; a mesh is missing; the root is no floating base; a link has
            several joints; a collision shape that cannot be simulated.
    """
    kinds = ", ".join((*_XML, *_USD))
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise AssetError(f"{path}: {what}; robot.asset takes the path of one robot file ({kinds})")
    suffix = path.suffix.lower()
    if suffix in _USD:
        from grail_framework.assets.usd_robot import read_usd_robot  # pxr takes half a second to load

        return read_usd_robot(path)
    if suffix == ".xacro":
        raise AssetError(f"{path}: a xacro is no URDF yet; write it out with `xacro {path.name} > robot.urdf`")
    if suffix not in _XML:
        raise AssetError(f"{path}: no robot file by its ending {suffix!r}; allowed: {kinds}")
    return _read_xml(path)


def _read_xml(path: Path) -> RobotAsset:
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise AssetError(f"{path}: not a readable XML file ({error})") from error
    if root.tag not in ("robot", "mujoco"):
        raise AssetError(f"{path}: its outermost element is <{root.tag}>; a URDF has <robot>, an MJCF has <mujoco>")
    try:
        spec = mujoco.MjSpec.from_string(urdf_for_mujoco(root, path)) if root.tag == "robot" else _open_mjcf(path)
        for mesh in spec.meshes:
            mesh.maxhullvert = MAX_CORNERS
        model = spec.compile()
    except ValueError as error:
        raise AssetError(f"{path}: MuJoCo cannot read it: {' '.join(str(error).split())}") from error
    return _from_model(model, path)


def _open_mjcf(path: Path) -> Any:
    """Open an MJCF file without what only matters to the eye, to sensing and to control: it may refer to what is not there."""
    spec = mujoco.MjSpec.from_file(str(path))
    for geom in list(spec.geoms):
        geom.material = ""
        # Geometry weighs where a body has no inertia of its own, so only that of weighed bodies can go.
        if geom.contype == 0 and geom.conaffinity == 0 and geom.parent.explicitinertial:
            spec.delete(geom)
    used = {geom.meshname for geom in spec.geoms}
    unseen = [mesh for mesh in spec.meshes if mesh.name not in used]
    for thing in (*spec.textures, *spec.materials, *unseen, *spec.sensors, *spec.actuators, *spec.keys):
        spec.delete(thing)
    folder = path.parent / (spec.meshdir or "")
    for mesh in spec.meshes:
        if mesh.file and not (folder / mesh.file).is_file():
            raise AssetError(
                f"{path}: the mesh {mesh.file!r} is not at {folder / mesh.file}; put the meshes there, or name their folder in "
                '<compiler meshdir="...">'
            )
    return spec


def _from_model(model: Any, path: Path) -> RobotAsset:
    base = _floating_base(model, path)
    bodies = [body for body in range(base, model.nbody) if model.body_rootid[body] == base]
    names = {body: model.body(body).name or f"body{body}" for body in bodies}
    links = []
    for body in bodies:
        is_root = body == base
        rotation = _matrix(model.body_iquat[body])
        links.append(
            AssetLink(
                name=names[body],
                parent=None if is_root else names[int(model.body_parentid[body])],
                pos=vec3(model.body_pos[body]),
                quat=quat4(model.body_quat[body]),
                mass=float(model.body_mass[body]),
                com=vec3(model.body_ipos[body]),
                inertia=inertia_row(rotation @ np.diag(model.body_inertia[body]) @ rotation.T),
                joint=None if is_root else _joint(model, body, path),
                colliders=_colliders(model, body, path),
            )
        )
    return RobotAsset(path=path, links=tuple(links), excluded_pairs=_excluded(model, names), notes=_notes(model, bodies))


def _floating_base(model: Any, path: Path) -> int:
    """Return the body that a free joint sets free."""
    free = [int(model.jnt_bodyid[joint]) for joint in range(model.njnt) if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE]
    hinged = {int(model.body_rootid[model.jnt_bodyid[joint]]) for joint in range(model.njnt)}
    bases = [body for body in free if body in hinged and (model.body_rootid == body).sum() > 1]
    if len(bases) == 1:
        return bases[0]
    if not bases:
        raise AssetError(
            f"{path}: no floating base: no body with links below it has a free joint; write <freejoint/> into the root body"
        )
    names = ", ".join(model.body(body).name for body in bases)
    raise AssetError(f"{path}: {len(bases)} robots ({names}); robot.asset takes a file with one")


def _joint(model: Any, body: int, path: Path) -> AssetJoint | None:
    count, joint = int(model.body_jntnum[body]), int(model.body_jntadr[body])
    if count == 0:
        return None
    if count > 1:
        raise AssetError(f"{path}: the body {model.body(body).name!r} has {count} joints; give each a body of its own")
    name = model.joint(joint).name
    if model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_HINGE:
        return AssetJoint(name=name, kind=mujoco.mjtJoint(model.jnt_type[joint]).name.removeprefix("mjJNT_").lower())
    if abs(float(model.qpos0[model.jnt_qposadr[joint]])) > 1e-9:
        raise AssetError(f"{path}: the joint {name!r} has a reference angle (ref); write the body's pose at angle 0 instead")
    lower, upper = (float(value) for value in model.jnt_range[joint])
    return AssetJoint(
        name=name,
        kind="hinge",
        axis=vec3(model.jnt_axis[joint]),
        limits=(lower, upper) if model.jnt_limited[joint] else None,
        anchor=vec3(model.jnt_pos[joint]),
    )


def _colliders(model: Any, body: int, path: Path) -> tuple[ColliderSpec, ...]:
    found = []
    first = int(model.body_geomadr[body])
    for geom in range(first, first + int(model.body_geomnum[body])):
        if model.geom_contype[geom] == 0 and model.geom_conaffinity[geom] == 0:
            continue
        kind = mujoco.mjtGeom(model.geom_type[geom])
        pos, quat = vec3(model.geom_pos[geom]), quat4(model.geom_quat[geom])
        if kind == mujoco.mjtGeom.mjGEOM_MESH:
            mesh = int(model.geom_dataid[geom])
            start, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
            graph = model.mesh_graph[int(model.mesh_graphadr[mesh]) :]
            corners = corners_of_graph(model.mesh_vert[start : start + count], graph)
            found.append(ColliderSpec(shape="mesh", vertices=corners, pos=pos, quat=quat))
        elif kind in _PRIMITIVES:
            shape, numbers = _PRIMITIVES[kind]
            size = tuple(float(value) for value in model.geom_size[geom][:numbers])
            found.append(ColliderSpec(shape=shape, size=size, pos=pos, quat=quat))
        else:
            allowed = ", ".join((*(shape for shape, _ in _PRIMITIVES.values()), "mesh"))
            what = kind.name.removeprefix("mjGEOM_").lower()
            raise AssetError(f"{path}: the body {model.body(body).name!r} collides with a {what}; allowed: {allowed}")
    return tuple(found)


def _excluded(model: Any, names: dict[int, str]) -> tuple[tuple[str, str], ...]:
    pairs = [(int(signature) >> 16, int(signature) & 0xFFFF) for signature in model.exclude_signature]
    return tuple((names[first], names[second]) for first, second in pairs if first in names and second in names)


def _notes(model: Any, bodies: list[int]) -> tuple[str, ...]:
    others = [model.body(body).name for body in range(1, model.nbody) if body not in set(bodies)]
    notes = [f"bodies that are no part of the robot: {', '.join(others[:6])}"] if others else []
    if model.neq:
        notes.append(f"{model.neq} equality constraints (mimic joints, loops)")
    if model.ntendon:
        notes.append(f"{model.ntendon} tendons")
    return tuple(notes)


def _matrix(quat: np.ndarray) -> np.ndarray:
    """Return the rotation matrix (3, 3) of a unit quaternion wxyz."""
    flat = np.zeros(9)
    mujoco.mju_quat2Mat(flat, quat / math.sqrt(float(quat @ quat)))
    return flat.reshape(3, 3)
