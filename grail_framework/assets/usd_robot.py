"""Robots from USD files: rigid bodies, the physics joints between them, collision shapes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pxr.Tf
import pxr.Usd
import pxr.UsdGeom
import pxr.UsdPhysics
from scipy.spatial.transform import RigidTransform, Rotation

import grail_framework.assets.usd_schemas  # noqa: F401 - before any stage is opened
from grail_framework.assets.primitives import SHAPES
from grail_framework.assets.usd import first_reason, quiet
from grail_framework.errors import AssetError
from grail_framework.robots.hulls import hull_corners
from grail_framework.robots.links import AssetJoint, AssetLink, RobotAsset, inertia_row, parents_first, quat4, vec3
from grail_framework.robots.spec import ColliderSpec

if TYPE_CHECKING:
    from pathlib import Path

# The bindings' stubs call half of what they return optional; their values are checked where they enter.
Tf: Any = pxr.Tf
Usd: Any = pxr.Usd
UsdGeom: Any = pxr.UsdGeom
UsdPhysics: Any = pxr.UsdPhysics

_AXES: Final = {"X": (1.0, 0.0, 0.0), "Y": (0.0, 1.0, 0.0), "Z": (0.0, 0.0, 1.0)}
_TURN_Z_TO: Final = {"X": (math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0), "Y": (math.sqrt(0.5), -math.sqrt(0.5), 0.0, 0.0)}
"""Rotation (wxyz) that takes the z axis to another one."""


def read_usd_robot(path: Path) -> RobotAsset:
    """Read the one articulation of a USD file: rigid bodies tied by physics joints, named as their prims.

    Raises:
        AssetError: not readable; not in metres with z up; no rigid bodies; a body fixed to the world; joints that form no tree; a
            body without mass and inertia; a collision shape that cannot be simulated.
    """
    with quiet() as diagnostics:
        try:
            stage = Usd.Stage.Open(str(path))
        except Tf.ErrorException as error:
            raise AssetError(f"{path}: not a readable USD file ({first_reason(error)}); export it again") from error
        problems = [item.commentary for item in diagnostics.TakeUncoalescedDiagnostics()]
        if problems:
            raise AssetError(f"{path}: {problems[0]}; put the missing layer beside the file or flatten the stage")
        return _Reader(stage, path).read()


class _Reader:
    """One pass over a stage."""

    def __init__(self, stage: Any, path: Path) -> None:
        self._stage, self._path = stage, path
        self._cache = UsdGeom.XformCache(Usd.TimeCode.EarliestTime())
        self._prims = list(Usd.PrimRange(stage.GetPseudoRoot(), Usd.TraverseInstanceProxies()))
        self._bodies = {prim.GetPath(): prim for prim in self._prims if prim.HasAPI(UsdPhysics.RigidBodyAPI)}

    def read(self) -> RobotAsset:
        self._check_stage()
        joints = self._joints()
        tied = {prim for ends in joints.values() for prim in (ends[0], ends[1].GetPath())}
        loose = [prim.GetName() for path, prim in self._bodies.items() if path not in tied and len(self._bodies) > 1]
        links = [self._link(prim, joints.get(path)) for path, prim in self._bodies.items() if prim.GetName() not in loose]
        notes = (f"bodies that no joint ties to the robot: {', '.join(loose[:6])}",) if loose else ()
        return RobotAsset(
            path=self._path, links=parents_first(links, self._path), excluded_pairs=self._excluded(loose), notes=notes
        )

    def _check_stage(self) -> None:
        unit = UsdGeom.GetStageMetersPerUnit(self._stage) if UsdGeom.StageHasAuthoredMetersPerUnit(self._stage) else 1.0
        if not math.isclose(unit, 1.0, rel_tol=1e-6):
            raise AssetError(f"{self._path}: its unit is {unit:g} m; export the robot in metres (metersPerUnit = 1)")
        if UsdGeom.GetStageUpAxis(self._stage) != UsdGeom.Tokens.z:
            raise AssetError(f"{self._path}: its y axis points up; export the robot with z up (upAxis = Z)")
        if not self._bodies:
            raise AssetError(f"{self._path}: no rigid bodies; the robot's links need PhysicsRigidBodyAPI")
        names = [prim.GetName() for prim in self._bodies.values()]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise AssetError(f"{self._path}: two rigid bodies are called {twice!r}; links are told apart by name")

    def _joints(self) -> dict[Any, tuple[Any, Any, Any]]:
        """Return for the path of each child body: its parent's path, the child, the joint between them."""
        found: dict[Any, tuple[Any, Any, Any]] = {}
        for prim in self._prims:
            if not prim.IsA(UsdPhysics.Joint):
                continue
            joint = UsdPhysics.Joint(prim)
            if not joint.GetJointEnabledAttr().Get() or joint.GetExcludeFromArticulationAttr().Get():
                continue
            parent, child = (self._body_of(end.GetTargets()) for end in (joint.GetBody0Rel(), joint.GetBody1Rel()))
            if parent is None and child is None:
                raise AssetError(
                    f"{self._path}: the joint {prim.GetName()!r} names no rigid bodies; give it a body 0 and a body 1"
                )
            if parent is None or child is None:
                raise AssetError(
                    f"{self._path}: no floating base: the joint {prim.GetName()!r} ties {(child or parent or prim).GetName()!r} to the "
                    "world; delete or disable that joint"
                )
            if child.GetPath() in found:
                raise AssetError(f"{self._path}: two joints move the link {child.GetName()!r}; links must form a tree")
            found[child.GetPath()] = (parent.GetPath(), child, joint)
        return found

    def _body_of(self, targets: Any) -> Any:
        """Return the rigid body that a joint's target is; None for the world."""
        if not targets:
            return None
        if targets[0] not in self._bodies:
            prim = self._stage.GetPrimAtPath(targets[0])
            if prim and any(prim.GetPath().HasPrefix(path) for path in self._bodies):
                raise AssetError(
                    f"{self._path}: a joint targets {targets[0]}, which is part of a rigid body; target the body itself"
                )
            return None
        return self._bodies[targets[0]]

    def _link(self, prim: Any, ends: tuple[Any, Any, Any] | None) -> AssetLink:
        pose = RigidTransform.identity()
        joint, parent = None, None
        if ends is not None:
            first, second = (_local_frame(ends[2], end) for end in "01")
            pose = first * second.inv()
            parent = self._bodies[ends[0]].GetName()
            joint = _joint(ends[2].GetPrim(), second)
        mass, com, inertia = self._mass(prim)
        return AssetLink(
            name=prim.GetName(),
            parent=parent,
            pos=vec3(pose.translation),
            quat=quat4(pose.rotation.as_quat(scalar_first=True)),
            mass=mass,
            com=com,
            inertia=inertia,
            joint=joint,
            colliders=tuple(self._colliders(prim)),
        )

    def _mass(self, prim: Any) -> tuple[float, Any, Any]:
        mass = UsdPhysics.MassAPI(prim)
        total = float(mass.GetMassAttr().Get() or 0.0) if prim.HasAPI(UsdPhysics.MassAPI) else 0.0
        moments = np.asarray(mass.GetDiagonalInertiaAttr().Get() or (0.0, 0.0, 0.0), dtype=float) if total else np.zeros(3)
        if total <= 0.0 or not (moments > 0.0).all():
            raise AssetError(
                f"{self._path}: the link {prim.GetName()!r} gives no mass or no inertia; write physics:mass, physics:centerOfMass and "
                "physics:diagonalInertia of PhysicsMassAPI"
            )
        com = np.asarray(mass.GetCenterOfMassAttr().Get(), dtype=float)
        com = com if np.isfinite(com).all() else np.zeros(3)  # unwritten, it is -inf: the origin
        axes = _rotation(mass.GetPrincipalAxesAttr().Get()).as_matrix()
        return total, vec3(com), inertia_row(axes @ np.diag(moments) @ axes.T)

    def _colliders(self, body: Any) -> list[ColliderSpec]:
        found = []
        for prim in self._prims:
            if not prim.HasAPI(UsdPhysics.CollisionAPI) or not UsdPhysics.CollisionAPI(prim).GetCollisionEnabledAttr().Get():
                continue
            if self._owner(prim) != body:
                continue
            shapes = [prim] if prim.IsA(UsdGeom.Gprim) else _shapes_below(prim)
            for shape in shapes:
                try:
                    found.append(_collider(shape, self._to_body(shape, body)))
                except AssetError as error:
                    raise AssetError(f"{self._path}: {shape.GetPath()}: {error}") from error
        return found

    def _owner(self, prim: Any) -> Any:
        """Return the rigid body that a prim is part of: the nearest one above it."""
        while prim and prim.GetPath() not in self._bodies:
            prim = prim.GetParent()
        return prim

    def _to_body(self, prim: Any, body: Any) -> np.ndarray:
        """Return the 4x4 matrix from prim coordinates to the body's frame, for row vectors as USD has them."""
        frame = self._cache.GetLocalToWorldTransform(body).RemoveScaleShear()
        return np.array(self._cache.GetLocalToWorldTransform(prim) * frame.GetInverse())

    def _excluded(self, loose: list[str]) -> tuple[tuple[str, str], ...]:
        return tuple(
            (prim.GetName(), target.name)
            for prim in self._bodies.values()
            if prim.HasAPI(UsdPhysics.FilteredPairsAPI)
            for target in UsdPhysics.FilteredPairsAPI(prim).GetFilteredPairsRel().GetTargets()
            if target in self._bodies and not {prim.GetName(), target.name} & set(loose)
        )


def _local_frame(joint: Any, end: str) -> RigidTransform:
    """Return the joint's frame in its body 0 or 1."""
    pos = getattr(joint, f"GetLocalPos{end}Attr")().Get()
    quat = getattr(joint, f"GetLocalRot{end}Attr")().Get()
    return RigidTransform.from_components(np.asarray(pos, dtype=float), _rotation(quat))


def _rotation(quat: Any) -> Rotation:
    """Turn a USD quaternion into a rotation; the zero quaternion, which USD writes for none, into the identity."""
    values = (quat.GetReal(), *quat.GetImaginary()) if quat is not None else (0.0, 0.0, 0.0, 0.0)
    return Rotation.from_quat(values if any(values) else (1.0, 0.0, 0.0, 0.0), scalar_first=True)


def _joint(prim: Any, frame: RigidTransform) -> AssetJoint | None:
    if prim.IsA(UsdPhysics.FixedJoint):
        return None
    if not prim.IsA(UsdPhysics.RevoluteJoint):
        return AssetJoint(name=prim.GetName(), kind=str(prim.GetTypeName()))
    revolute = UsdPhysics.RevoluteJoint(prim)
    limits = (float(revolute.GetLowerLimitAttr().Get()), float(revolute.GetUpperLimitAttr().Get()))  # [deg]
    limited = all(math.isfinite(limit) for limit in limits) and limits[0] < limits[1]
    return AssetJoint(
        name=prim.GetName(),
        kind="hinge",
        axis=vec3(frame.rotation.apply(_AXES[str(revolute.GetAxisAttr().Get())])),
        limits=(math.radians(limits[0]), math.radians(limits[1])) if limited else None,
        anchor=vec3(frame.translation),
    )


def _shapes_below(prim: Any) -> list[Any]:
    return [below for below in Usd.PrimRange(prim, Usd.TraverseInstanceProxies()) if below.IsA(UsdGeom.Gprim)]


def _collider(prim: Any, matrix: np.ndarray) -> ColliderSpec:
    """Turn a shape prim into a collider; round shapes that are stretched become hulls of their points."""
    if prim.IsA(UsdGeom.Mesh):
        return _hull(np.asarray(UsdGeom.Mesh(prim).GetPointsAttr().Get() or (), dtype=float), matrix)
    kind = str(prim.GetTypeName())
    if kind not in SHAPES:
        raise AssetError(f"a {kind} cannot collide; allowed: Mesh, {', '.join(SHAPES)}")
    scale = np.linalg.norm(matrix[:3, :3], axis=1)
    turn = matrix[:3, :3] / scale[:, None]
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-4) or np.linalg.det(turn) < 0.0:
        return _hull(SHAPES[kind](prim), matrix)
    rotation = Rotation.from_matrix(turn.T)
    if kind == "Cube":
        half = 0.5 * float(prim.GetAttribute("size").Get())
        return _primitive("box", tuple(float(half * axis) for axis in scale), matrix, rotation)
    if not np.allclose(scale, scale[0], rtol=1e-4):
        return _hull(SHAPES[kind](prim), matrix)
    radius = float(prim.GetAttribute("radius").Get() * scale[0])
    if kind == "Sphere":
        return _primitive("sphere", (radius,), matrix, rotation)
    axis = str(prim.GetAttribute("axis").Get() or "Z")
    if axis in _TURN_Z_TO:
        rotation = rotation * Rotation.from_quat(_TURN_Z_TO[axis], scalar_first=True)
    half = float(0.5 * prim.GetAttribute("height").Get() * scale[0])
    return _primitive(kind.lower(), (radius, half), matrix, rotation)


def _primitive(shape: str, size: tuple[float, ...], matrix: np.ndarray, rotation: Rotation) -> ColliderSpec:
    return ColliderSpec(shape=shape, size=size, pos=vec3(matrix[3, :3]), quat=quat4(rotation.as_quat(scalar_first=True)))


def _hull(points: np.ndarray, matrix: np.ndarray) -> ColliderSpec:
    return ColliderSpec(shape="mesh", vertices=hull_corners(points.reshape(-1, 3) @ matrix[:3, :3] + matrix[3, :3]))
