"""The USD files Isaac Lab builds a scene from: robot, objects, table, ground. Kept in the user's cache, named by their content.

Newton's MuJoCo solver wants homogeneous worlds: the same number and type of shapes at each position of every environment. So an
object is a fixed number of convex meshes; where it has fewer pieces, specks deep inside its largest piece fill the rest.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pxr.Gf
import pxr.Sdf
import pxr.Usd
import pxr.UsdGeom
import pxr.UsdPhysics
import pxr.UsdShade
import pxr.Vt
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from grail_framework.assets.cache import cache_folder, content_key
from grail_framework.engine.objects import content
from grail_framework.robots.builder import build_robot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from grail_framework.assets.convex import ConvexPiece
    from grail_framework.engine.objects import SimulatedObject
    from grail_framework.robots.spec import RobotSpec

# The bindings' stubs call half of what they return optional.
Gf: Any = pxr.Gf
Sdf: Any = pxr.Sdf
Usd: Any = pxr.Usd
UsdGeom: Any = pxr.UsdGeom
UsdPhysics: Any = pxr.UsdPhysics
UsdShade: Any = pxr.UsdShade
Vt: Any = pxr.Vt

_RECIPE: Final = 5
"""Counts up when a file would be written otherwise."""
_GROUND_PRIORITY: Final = 1
_OBJECT_PRIORITY: Final = 2
"""As in the mujoco engine: where two surfaces meet, the friction of the higher priority counts."""
_ALL_CORNERS: Final = -1
_SPECK: Final = 0.02
"""Size of a filling mesh against the piece it hides in. [-]"""


def robot_usd(robot: RobotSpec, *, actuated: bool) -> Path:
    """Convert a robot to USD through MJCF, or find it converted.

    Args:
        robot: what to convert.
        actuated: keep its position actuators as MuJoCo's, for a solver that knows them; else its drives are left to the engine.

    Raises:
        AssetError: a collider of an unknown shape.
    """
    spec = build_robot(robot)
    if not actuated:
        for actuator in list(spec.actuators):
            spec.delete(actuator)
    spec.compile()  # the writer needs what compilation settles
    xml = spec.to_xml()

    def convert(folder: Path) -> None:
        from mujoco_usd_converter import Converter

        source = folder / f"{robot.name}.xml"
        source.write_text(xml, encoding="utf-8")
        with _without_messages():
            Converter(scene=False).convert(str(source), str(folder / "usd"))

    return _cached("robot", (robot.name, xml), convert) / "usd" / f"{robot.name}.usda"


def object_usd(body: SimulatedObject, *, slots: int, dynamic: bool, fixed: bool = True) -> Path:
    """Write an object of exactly `slots` convex meshes, with the mass, inertia and friction it is simulated with.

    Where it is not dynamic it is a kinematic body. If `fixed`, a joint ties that to the world: Newton then moves it, but never
    integrates it. PhysX takes kinematic bodies as they are.
    """

    def write(folder: Path) -> None:
        stage, root = _new_stage(folder / "object.usdc", "Object")
        _add_body(stage, root, dynamic=dynamic, fixed=fixed)
        _add_mass(root, body.mass, body.asset.com, body.mass * body.asset.gyration)
        material = _material(stage, body.friction)
        pieces = [piece.vertices for piece in body.asset.pieces]
        pieces += [_speck(max(body.asset.pieces, key=lambda piece: piece.volume))] * (slots - len(pieces))
        for index, points in enumerate(pieces):
            _add_hull(stage, f"/Object/piece_{index}", points, material)
        stage.GetRootLayer().Save()

    return _cached("object", (content(body), slots, dynamic, fixed), write) / "object.usdc"


def table_usd(size: tuple[float, float, float], *, fixed: bool = True) -> Path:
    """Write a kinematic box of the given extent [m]; `fixed` as for objects."""

    def write(folder: Path) -> None:
        stage, root = _new_stage(folder / "table.usda", "Table")
        _add_body(stage, root, dynamic=False, fixed=fixed)
        _add_mass(root, 1.0, np.zeros(3), np.eye(3))
        cube = UsdGeom.Cube.Define(stage, "/Table/box")
        cube.CreateSizeAttr(1.0)
        UsdGeom.XformCommonAPI(cube).SetScale(Gf.Vec3f(*size))
        _make_collider(cube.GetPrim(), _material(stage, 1.0), priority=0)
        stage.GetRootLayer().Save()

    return _cached("table", (size, fixed), write) / "table.usda"


def ground_usd(friction: float) -> Path:
    """Write an endless plane at z = 0."""

    def write(folder: Path) -> None:
        stage, _ = _new_stage(folder / "ground.usda", "Ground")
        plane = UsdGeom.Plane.Define(stage, "/Ground/plane")
        plane.CreateAxisAttr(UsdGeom.Tokens.z)
        _make_collider(plane.GetPrim(), _material(stage, friction), priority=_GROUND_PRIORITY)
        stage.GetRootLayer().Save()

    return _cached("ground", (friction,), write) / "ground.usda"


def _cached(kind: str, parts: tuple[object, ...], write: Callable[[Path], None]) -> Path:
    """Return the folder of an entry, made by `write` in a temporary folder where it is not there yet."""
    parent = cache_folder() / "isaaclab" / kind
    folder = parent / content_key((_RECIPE, *parts))
    if folder.is_dir():
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
    try:
        write(fresh)
        os.replace(fresh, folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _new_stage(path: Path, name: str) -> tuple[Any, Any]:
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, f"/{name}").GetPrim()
    stage.SetDefaultPrim(root)
    return stage, root


def _add_body(stage: Any, root: Any, *, dynamic: bool, fixed: bool) -> None:
    body = UsdPhysics.RigidBodyAPI.Apply(root)
    if dynamic:
        return
    body.CreateKinematicEnabledAttr(True)
    if fixed:
        # Without a joint of its own it would get a free one, and the solver six degrees of freedom to hold still.
        joint = UsdPhysics.FixedJoint.Define(stage, root.GetPath().AppendChild("fixed"))
        joint.CreateBody1Rel().SetTargets([root.GetPath()])


def _add_mass(root: Any, mass: float, com: NDArray[np.float64], inertia: NDArray[np.float64]) -> None:
    api = UsdPhysics.MassAPI.Apply(root)
    api.CreateMassAttr(float(mass))
    api.CreateCenterOfMassAttr(Gf.Vec3f(*(float(value) for value in com)))
    moments, axes = np.linalg.eigh(inertia)
    if np.linalg.det(axes) < 0:
        axes[:, 0] *= -1.0
    x, y, z, w = (float(value) for value in Rotation.from_matrix(axes).as_quat())
    api.CreateDiagonalInertiaAttr(Gf.Vec3f(*(float(value) for value in moments)))
    api.CreatePrincipalAxesAttr(Gf.Quatf(w, x, y, z))


def _material(stage: Any, friction: float) -> Any:
    material = UsdShade.Material.Define(stage, stage.GetDefaultPrim().GetPath().AppendChild("surface"))
    api = UsdPhysics.MaterialAPI.Apply(material.GetPrim())
    api.CreateStaticFrictionAttr(float(friction))
    api.CreateDynamicFrictionAttr(float(friction))
    api.CreateRestitutionAttr(0.0)
    # PhysX knows no priorities. Robot and table have a friction of 1, so the product with theirs is the other's.
    material.GetPrim().AddAppliedSchema("PhysxMaterialAPI")
    for quantity in ("friction", "restitution"):
        mode = material.GetPrim().CreateAttribute(
            f"physxMaterial:{quantity}CombineMode", Sdf.ValueTypeNames.Token, custom=False
        )
        mode.Set("multiply")
    return material


def _make_collider(prim: Any, material: Any, *, priority: int) -> None:
    UsdPhysics.CollisionAPI.Apply(prim)
    UsdShade.MaterialBindingAPI.Apply(prim).Bind(material, materialPurpose="physics")
    prim.CreateAttribute("mjc:priority", Sdf.ValueTypeNames.Int, custom=False).Set(priority)


def _add_hull(stage: Any, path: str, points: NDArray[np.float64], material: Any) -> None:
    """Add a collider that is the convex hull of points (P, 3) [m]."""
    hull = ConvexHull(points)
    corners = points[hull.vertices]
    index = {int(old): new for new, old in enumerate(hull.vertices)}
    faces = np.array([[index[int(corner)] for corner in face] for face in hull.simplices])
    # scipy's triangles have no common sense of rotation; their planes' normals point outwards.
    a, b, c = (corners[faces[:, k]] for k in range(3))
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), hull.equations[:, :3]) < 0
    faces[inward] = faces[inward][:, ::-1]
    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(corners, dtype=np.float32)))
    mesh.CreateFaceVertexCountsAttr([3] * len(faces))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(faces, dtype=np.int32).ravel()))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    _make_collider(mesh.GetPrim(), material, priority=_OBJECT_PRIORITY)
    UsdPhysics.MeshCollisionAPI.Apply(mesh.GetPrim()).CreateApproximationAttr(UsdPhysics.Tokens.convexHull)
    # Newton would keep 64 of the corners: a round piece would lose millimetres, and lie on other faces than in the other engines.
    mesh.GetPrim().CreateAttribute("newton:maxHullVertices", Sdf.ValueTypeNames.Int, custom=False).Set(_ALL_CORNERS)


def _speck(piece: ConvexPiece) -> NDArray[np.float64]:
    """Return a piece shrunk about its middle (V, 3): it is never the first to touch anything. [m]"""
    middle = piece.vertices.mean(axis=0)
    return middle + _SPECK * (piece.vertices - middle)


@contextmanager
def _without_messages() -> Iterator[None]:
    """Keep USD's status messages off the console."""
    from grail_framework.assets.usd import quiet

    with quiet():
        yield
