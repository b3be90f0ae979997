"""A G1 that stands on a terrain for a second, for the tests of terrain on every engine."""

from __future__ import annotations

import attrs
import numpy as np
import torch
import trimesh
from scipy.spatial.transform import Rotation

from grail_framework.robots.g1 import g1_43dof

from .scenes import default_targets, everything, resting

FEET = ("left_ankle_roll_link", "right_ankle_roll_link")
SOLE = 0.757
"""From the sole up to the root, in the default pose. [m]"""
SECONDS = 1.0
WEIGHT = 9.81 * sum(body.mass for body in g1_43dof().bodies)
"""[N]"""


def stiff_robot():
    """The G1 with stiff legs: its own gains are for a policy that balances, and let it topple in a second on any ground."""
    robot = g1_43dof()
    legs = ("hip", "knee", "ankle", "waist")
    bodies = tuple(
        attrs.evolve(
            body, joint=attrs.evolve(body.joint, stiffness=20.0 * body.joint.stiffness, damping=5.0 * body.joint.damping)
        )
        if body.joint is not None and any(part in body.joint.name for part in legs)
        else body
        for body in robot.bodies
    )
    return attrs.evolve(robot, bodies=bodies)


def stand(engine, places):
    """Put the robot on each place and hold its default pose; return what is seen of it."""
    scene = engine.spec
    feet = [scene.robot.body_names.index(foot) for foot in FEET]
    x, y, yaw, level = torch.tensor(places).T
    half = 0.5 * torch.deg2rad(yaw)
    turned = torch.stack((half.cos(), torch.zeros_like(half), torch.zeros_like(half), half.sin()), dim=1)
    start = resting(scene, 0.0, root_quat_w=turned, object_pos_w=torch.zeros(len(places), 3))
    root = torch.stack((x, y, level + SOLE), dim=1)
    engine.reset(everything(scene), attrs.evolve(start, root_pos_w=root))
    forces, poses = [], []
    for step in range(round(SECONDS / scene.step_dt)):
        engine.step(default_targets(engine))
        forces.append(engine.state.contact_forces["object"].clone())
        if step % 10 == 9:
            poses.append((engine.state.body_pos_w[:, feet].clone(), engine.state.body_quat_w[:, feet].clone()))
    quat = engine.state.root_quat_w
    return {
        "sunk": root[:, 2] - engine.state.root_pos_w[:, 2],
        "moved": (root - engine.state.root_pos_w)[:, :2].norm(dim=1),
        "up": 1.0 - 2.0 * (quat[:, 1] ** 2 + quat[:, 2] ** 2),
        "forces": torch.stack(forces),
        "ground": engine.state.contact_forces["ground"].clone(),
        "poses": poses,
    }


def foot_corners(robot, poses):
    """Return the lower corners of the soles' and toes' boxes (T, N, feet, 8, 3)."""
    corners = []
    for box in next(body for body in robot.bodies if body.name == FEET[0]).colliders:
        signs = np.array([(a, b, -1) for a in (-1, 1) for b in (-1, 1)])
        corners.append(np.array(box.pos) + signs * np.array(box.size))
    local = np.concatenate(corners)
    found = []
    for pos, quat in poses:
        axes = Rotation.from_quat(quat.reshape(-1, 4).numpy(), scalar_first=True).as_matrix()
        found.append(pos.numpy()[:, :, None] + (axes @ local.T).transpose(0, 2, 1).reshape(*pos.shape[:2], -1, 3))
    return np.stack(found)


def depth(mesh, points):
    """Return how far inside a closed part of the mesh the deepest of the points (P, 3) is. [m]"""
    deepest = 0.0
    for part in mesh.split(only_watertight=True):
        near = points[((points > part.bounds[0]) & (points < part.bounds[1])).all(axis=1)]
        if len(near):
            deepest = max(deepest, trimesh.proximity.signed_distance(part, near).max())
    return deepest
