"""Meshes that the asset tests share, made by trimesh or by hand."""

from __future__ import annotations

import numpy as np
import trimesh
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

ELL_OUTLINE = [(0.0, 0.0), (0.2, 0.0), (0.2, 0.1), (0.1, 0.1), (0.1, 0.2), (0.0, 0.2)]
"""An L: a square of 20 cm with a quarter cut out."""


def ell_polygons() -> tuple[list[tuple[float, float, float]], list[tuple[int, ...]]]:
    """The L extruded by 20 cm, its two ends polygons of six corners that are not convex."""
    points = [(x, y, z) for z in (0.0, 0.2) for x, y in ELL_OUTLINE]
    sides = [(i, (i + 1) % 6, 6 + (i + 1) % 6, 6 + i) for i in range(6)]
    return points, [(5, 4, 3, 2, 1, 0), (6, 7, 8, 9, 10, 11), *sides]


def ell() -> trimesh.Trimesh:
    points, polygons = ell_polygons()
    ends = [(0, 2, 1), (0, 3, 2), (0, 5, 3), (5, 4, 3), (6, 7, 8), (6, 8, 9), (6, 9, 11), (9, 10, 11)]
    sides = [triangle for a, b, c, d in polygons[2:] for triangle in ((a, b, c), (a, c, d))]
    return trimesh.Trimesh(points, ends + sides, process=False)


def mug() -> trimesh.Trimesh:
    """A cup of 8 cm and 10 cm, walls of 5 mm, turned from its profile, with no handle."""
    profile = [(0.0, 0.0), (0.04, 0.0), (0.04, 0.1), (0.035, 0.1), (0.035, 0.005), (0.0, 0.005)]
    return trimesh.creation.revolve(profile, sections=32)


def torus() -> trimesh.Trimesh:
    return trimesh.creation.torus(0.08, 0.02, major_sections=24, minor_sections=12)


def rounded_slab() -> np.ndarray:
    """Corners of a tilted slab of 2 x 1.2 x 0.06 m, a superquadric: its sides are almost flat, as those of reconstructed stairs are."""

    def power(values: np.ndarray) -> np.ndarray:
        return np.sign(values) * np.abs(values) ** 0.1

    height, around = np.meshgrid(
        np.linspace(-0.5 * np.pi, 0.5 * np.pi, 10)[1:-1], np.linspace(-np.pi, np.pi, 20, endpoint=False), indexing="ij"
    )
    width = power(np.cos(height))
    sides = np.stack(
        (width * power(np.cos(around)), 0.6 * width * power(np.sin(around)), 0.03 * power(np.sin(height))), axis=-1
    )
    points = np.concatenate((sides.reshape(-1, 3), [(0.0, 0.0, 0.03), (0.0, 0.0, -0.03)]))
    return points @ Rotation.from_euler("zxy", [0.5, 0.03, 0.02]).as_matrix().T


def arrays(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    return np.array(mesh.vertices, dtype=np.float64), np.array(mesh.faces, dtype=np.int64)


def union_volume(pieces, samples: int = 200_000) -> float:
    """Volume of the union of convex pieces, by counting points of a low-discrepancy grid in their half-spaces."""
    corners = np.concatenate([piece.vertices for piece in pieces])
    low, high = corners.min(axis=0), corners.max(axis=0)
    unit = np.arange(1, samples + 1)[:, None] * (0.8191725133961645, 0.6710436067037893, 0.5497004779019703) % 1.0
    points = low + unit * (high - low)
    inside = np.zeros(samples, dtype=bool)
    for piece in pieces:
        equations = ConvexHull(piece.vertices).equations
        inside |= (points @ equations[:, :3].T + equations[:, 3] <= 1e-9).all(axis=1)
    return float(inside.mean() * np.prod(high - low))
