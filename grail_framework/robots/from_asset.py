"""A user's own robot file in place of a registered robot's figures, joined by joint name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import attrs
import mujoco as _mujoco
import numpy as np
from scipy.spatial.transform import RigidTransform, Rotation

from grail_framework.errors import AssetError, suggest
from grail_framework.robots.builder import build_robot
from grail_framework.robots.links import inertia_matrix, inertia_row, quat4, vec3
from grail_framework.robots.robot_file import read_robot_file

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.robots.links import AssetLink, RobotAsset
    from grail_framework.robots.spec import BodySpec, ColliderSpec, JointSpec, RobotSpec

mujoco: Any = _mujoco  # its extension modules carry no types

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class _Placed:
    """A link with its pose in the root's frame where every joint is at 0."""

    link: AssetLink
    pose: RigidTransform


def robot_from_asset(path: Path, like: RobotSpec) -> RobotSpec:
    """Describe the robot of a URDF, MJCF or USD file under the names of a registered robot.

    From the file: kinematics, inertias, joint limits, collision shapes. From `like`: names and order of bodies and joints, gains,
    armature, efforts, default pose, action scales, hand primitives, tracked bodies. A link is the one that the joint of the same
    name moves, whatever the file calls it; links without a joint (palms) are found by their own name. All other links are joined
    to the one they hang on; joints that `like` does not know are held at 0. Links whose shapes overlap in the default pose are kept
    from colliding. What was joined, held or left out is logged.

    Args:
        path: the robot file.
        like: the registered robot whose joints the file has.

    Raises:
        AssetError: the file cannot be read; a joint or a named link is missing; a joint is no hinge; the links hang together in
            another order; a moving link has no mass; nothing in the file collides.
    """
    asset = read_robot_file(path)
    placed = _place(asset)
    chosen = _choose(asset, placed, like)
    owner = _owners(asset, chosen)
    held = _held(asset, chosen)
    bodies = tuple(_body(body, asset, placed, chosen, owner, like) for body in like.bodies)
    _check_order(bodies, asset)
    _check_shapes(bodies, asset)
    name_of = {link: body for body, link in chosen.items()}
    of_file = [(name_of[owner[first]], name_of[owner[second]]) for first, second in asset.excluded_pairs]
    robot = attrs.evolve(
        like,
        bodies=bodies,
        excluded_pairs=_without_repeats([*like.excluded_pairs, *of_file]),
        source=f"{path}; actuators, default pose and names of {like.name}",
    )
    touching = _touching(robot)
    _report(asset, like, held, touching)
    return attrs.evolve(robot, excluded_pairs=_without_repeats([*robot.excluded_pairs, *touching]))


def _place(asset: RobotAsset) -> dict[str, _Placed]:
    """Find where every link is, with its origin moved to the point its joint turns about."""
    placed: dict[str, _Placed] = {}
    frame: dict[str, RigidTransform] = {}  # of the file, origins where the file has them
    for link in asset.links:
        local = _transform(link.pos, link.quat)
        frame[link.name] = local if link.parent is None else frame[link.parent] * local
        anchor = link.joint.anchor if link.joint is not None else (0.0, 0.0, 0.0)
        moved = attrs.evolve(
            link,
            com=vec3(np.subtract(link.com, anchor)),
            colliders=tuple(attrs.evolve(shape, pos=vec3(np.subtract(shape.pos, anchor))) for shape in link.colliders),
        )
        placed[link.name] = _Placed(link=moved, pose=frame[link.name] * RigidTransform.from_translation(anchor))
    return placed


def _choose(asset: RobotAsset, placed: dict[str, _Placed], like: RobotSpec) -> dict[str, str]:
    """Find the link of the file that each body of the robot is."""
    moved_by = {link.joint.name: link for link in asset.links if link.joint is not None}
    missing = [name for name in like.joint_names if name not in moved_by]
    if missing:
        hints = "; ".join(f"{name!r}: {suggest(name, moved_by)}" for name in missing[:3])
        raise AssetError(
            f"{asset.path}: {len(missing)} of the {like.num_joints} joints of {like.name!r} are missing ({hints}). Joints are "
            "mapped by name: rename them in the file, or choose the registered robot that has its joints (`grail terms list --kind robot`)"
        )
    wrong = next((name for name in like.joint_names if (joint := moved_by[name].joint) and joint.kind != "hinge"), None)
    if wrong is not None:
        kind = joint.kind if (joint := moved_by[wrong].joint) else ""
        raise AssetError(
            f"{asset.path}: the joint {wrong!r} is of type {kind!r}; {like.name!r} drives a hinge (revolute) there"
        )
    root = like.bodies[0].name
    chosen = {root: root if root in placed else asset.links[0].name}
    for body in like.bodies[1:]:
        if body.joint is not None:
            chosen[body.name] = moved_by[body.joint.name].name
        elif body.name in placed:
            chosen[body.name] = body.name
        else:
            raise AssetError(
                f"{asset.path}: no link {body.name!r} ({suggest(body.name, placed)}). The file was probably made with fixed links "
                "merged into their parents: make it again without (URDF importers: merge fixed joints off; MuJoCo: "
                f'<compiler fusestatic="false"/>), or give the link back as a body of its own inside {body.parent!r}'
            )
    return chosen


def _owners(asset: RobotAsset, chosen: dict[str, str]) -> dict[str, str]:
    """Find the chosen link that each link of the file is rigidly part of: the next one up the tree, else the root."""
    kept = set(chosen.values())
    parent = {link.name: link.parent for link in asset.links}
    root = next(iter(chosen.values()))
    owner: dict[str, str] = {}
    for link in asset.links:  # parents come first
        above = owner[link.parent] if link.parent is not None else root
        owner[link.name] = link.name if link.name in kept else above
    line = root
    while (up := parent[line]) is not None:
        owner[up], line = root, up
    return owner


def _held(asset: RobotAsset, chosen: dict[str, str]) -> list[str]:
    kept = set(chosen.values())
    return [link.joint.name for link in asset.links if link.joint is not None and link.name not in kept]


def _body(
    body: BodySpec,
    asset: RobotAsset,
    placed: dict[str, _Placed],
    chosen: dict[str, str],
    owner: dict[str, str],
    like: RobotSpec,
) -> BodySpec:
    """Put one body together: the chosen link and all that is rigidly part of it."""
    name = chosen[body.name]
    own = placed[name]
    parts = [placed[link.name] for link in asset.links if owner[link.name] == name]
    inverse = own.pose.inv()
    mass, com, inertia = _join([(part.link, inverse * part.pose) for part in parts])
    if mass <= 0.0 and body.parent is not None and body.joint is not None:
        raise AssetError(f"{asset.path}: the link {name!r} moves and has no mass; write its mass and inertia into the file")
    parent = None
    relative = RigidTransform.identity()
    if body.parent is not None:
        above = own.link.parent
        if above is None:
            raise AssetError(f"{asset.path}: the link {name!r} is the root, and {like.name!r} has {body.parent!r} above it")
        parent_link = owner[above]
        parent = next(ours for ours, theirs in chosen.items() if theirs == parent_link)
        relative = placed[parent_link].pose.inv() * own.pose
    pos, quat = _pose(relative)
    shapes = [(shape, inverse * part.pose) for part in parts for shape in part.link.colliders]
    return attrs.evolve(
        body,
        parent=parent,
        pos=pos,
        quat=quat,
        mass=mass,
        com=com,
        inertia=inertia,
        joint=_joint(body.joint, own.link) if body.joint is not None else None,
        colliders=tuple(_moved(shape, pose) for shape, pose in shapes),
    )


def _join(parts: list[tuple[AssetLink, RigidTransform]]) -> tuple[float, Any, Any]:
    """Return mass, centre of mass and inertia of rigidly joined links, each with its pose in the common frame (parallel axes)."""
    total = sum(link.mass for link, _ in parts)
    if total <= 0.0:
        return 0.0, (0.0, 0.0, 0.0), (0.0,) * 6
    centres = [pose.apply(link.com) for link, pose in parts]
    com = sum(link.mass * centre for (link, _), centre in zip(parts, centres, strict=True)) / total
    inertia = np.zeros((3, 3))
    for (link, pose), centre in zip(parts, centres, strict=True):
        turn, arm = pose.rotation.as_matrix(), centre - com
        inertia += turn @ inertia_matrix(link.inertia) @ turn.T + link.mass * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    return total, vec3(com), inertia_row(inertia)


def _joint(joint: JointSpec, link: AssetLink) -> JointSpec:
    found = link.joint
    if found is None:
        return joint
    lower, upper = found.limits or (joint.lower, joint.upper)
    return attrs.evolve(joint, axis=found.axis, lower=lower, upper=upper)


def _moved(shape: ColliderSpec, pose: RigidTransform) -> ColliderSpec:
    pos, quat = _pose(pose * _transform(shape.pos, shape.quat))
    return attrs.evolve(shape, pos=pos, quat=quat)


def _check_order(bodies: tuple[BodySpec, ...], asset: RobotAsset) -> None:
    seen: set[str | None] = {None}
    for body in bodies:
        if body.parent not in seen:
            raise AssetError(
                f"{asset.path}: {body.name!r} hangs on {body.parent!r}, which is further down the chain of the registered robot; "
                "register a robot of its own for another chain of joints (plugin hook grail_register_robots)"
            )
        seen.add(body.name)


def _check_shapes(bodies: tuple[BodySpec, ...], asset: RobotAsset) -> None:
    if not any(body.colliders for body in bodies):
        raise AssetError(
            f"{asset.path}: nothing in it collides, so the robot would fall through the ground; give the links collision shapes "
            "(URDF: <collision>; MJCF: geoms with contype and conaffinity not 0; USD: prims with PhysicsCollisionAPI)"
        )


def _touching(robot: RobotSpec) -> list[tuple[str, str]]:
    """Find the pairs of links that overlap in the default pose, far from the ground."""
    try:
        model = build_robot(robot).compile()
    except ValueError as error:
        raise AssetError(f"{robot.source}: MuJoCo cannot simulate it: {' '.join(str(error).split())}") from error
    data = mujoco.MjData(model)
    data.qpos[model.jnt_qposadr[[model.joint(joint.name).id for joint in robot.joints]]] = [
        joint.default_pos for joint in robot.joints
    ]
    mujoco.mj_forward(model, data)
    order = {name: index for index, name in enumerate(robot.body_names)}
    found = set()
    for contact in data.contact[: data.ncon]:
        first, second = (model.body(model.geom_bodyid[geom]).name for geom in (contact.geom1, contact.geom2))
        found.add((first, second) if order[first] < order[second] else (second, first))
    return sorted(found)


def _report(asset: RobotAsset, like: RobotSpec, held: list[str], touching: list[tuple[str, str]]) -> None:
    _log.info("%s: %d links under the names of %s", asset.path, len(asset.links), like.name)
    if held:
        _log.warning("%s: %s has no joint %s; held at 0", asset.path, like.name, ", ".join(held))
    if touching:
        pairs = ", ".join(f"{first} and {second}" for first, second in touching)
        _log.warning("%s: these overlap in the default pose and do not collide: %s", asset.path, pairs)
    for note in asset.notes:
        _log.warning("%s: left out: %s", asset.path, note)


def _transform(pos: object, quat: object) -> RigidTransform:
    return RigidTransform.from_components(np.asarray(pos, dtype=float), Rotation.from_quat(np.asarray(quat), scalar_first=True))


def _pose(transform: RigidTransform) -> Any:
    quat = transform.rotation.as_quat(scalar_first=True, canonical=True)
    return vec3(transform.translation), quat4(quat)


def _without_repeats(pairs: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Keep the first of each pair of distinct links, whatever their order."""
    found: dict[frozenset[str], tuple[str, str]] = {}
    for first, second in pairs:
        if first != second:
            found.setdefault(frozenset((first, second)), (first, second))
    return tuple(found.values())
