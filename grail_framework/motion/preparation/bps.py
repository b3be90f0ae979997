"""Basis point sets: the shape of an object as distances from fixed points around it.

Prokudin, Lassner and Romero, "Efficient Learning on Point Clouds with Basis Point Sets", ICCV 2019; basis, normalisation and sample
count are those of the GRAIL release. One thing differs: the release seeds one generator per folder, so that the samples of a large
mesh depend on the files before it; here every mesh starts from the same seed, so that its values depend on the mesh alone. (The first
large mesh of a folder has the release's values.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUM_BASIS: Final = 10
"""Basis points. [-]"""
NUM_SAMPLES: Final = 2048
"""A mesh with more vertices is represented by as many random points of its surface. [-]"""
SEED: Final = 42
_GOLDEN: Final = (1.0 + 5.0**0.5) / 2.0


def basis_points(count: int = NUM_BASIS) -> NDArray[np.float32]:
    """Spread points over the unit sphere along a Fibonacci spiral; (count, 3)."""
    index = np.arange(count)
    theta = np.arccos(1.0 - 2.0 * (index + 0.5) / count)
    phi = 2.0 * np.pi * index / _GOLDEN
    points = np.stack((np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)), axis=-1)
    return points.astype(np.float32)


def compute_bps(
    points: NDArray[np.floating],
    triangles: NDArray[np.integer],
    *,
    basis: NDArray[np.floating] | None = None,
    num_samples: int = NUM_SAMPLES,
    seed: int = SEED,
) -> NDArray[np.float32]:
    """Return the distance of each basis point to the nearest point of a mesh that is centred and scaled to the unit ball.

    Args:
        points: (V, 3) vertices, any unit.
        triangles: (F, 3) indices; used where there are more vertices than `num_samples`.
        basis: (d, 3); None: the ten points of `basis_points`.
        num_samples: vertices up to which the vertices themselves are used, and points that are drawn beyond.
        seed: of the draw.

    Returns:
        (d,) float32, the same for any size and place of the mesh.

    Raises:
        AssetError: there are no points, all of them are the same, or some are not finite.
    """
    basis = basis_points() if basis is None else basis
    cloud = np.asarray(points, dtype=np.float32).reshape(-1, 3)
    if len(cloud) == 0:
        raise AssetError("the file has no mesh geometry; a basis point set needs at least one Mesh prim with points")
    if not np.isfinite(cloud).all():
        raise AssetError("the mesh has points that are not finite")
    if len(cloud) > num_samples:
        cloud = sample_surface(cloud, triangles, num_samples, seed)
    cloud = cloud.astype(np.float64)
    cloud -= cloud.mean(axis=0)
    radius = np.linalg.norm(cloud, axis=-1).max()
    if radius <= 1e-6:
        raise AssetError("all points of the mesh are the same")
    cloud /= radius
    distance = np.linalg.norm(basis[:, None].astype(np.float64) - cloud, axis=-1)
    return distance.min(axis=1).astype(np.float32)


def sample_surface(points: NDArray[np.floating], triangles: NDArray[np.integer], count: int, seed: int) -> NDArray[np.float32]:
    """Draw points (count, 3) from the surface of a mesh, each part of it as likely as its area.

    Raises:
        AssetError: the mesh has no faces.
    """
    if len(triangles) == 0:
        raise AssetError("the mesh has no faces to draw points from")
    corners = np.asarray(points, dtype=np.float32)[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.maximum(0.5 * np.linalg.norm(normal, axis=-1), 1e-12)
    # The order of the draws is the release's, with the generator it uses.
    generator = np.random.RandomState(seed)
    chosen = corners[generator.choice(len(corners), size=count, p=area / area.sum())]
    root, share = np.sqrt(generator.rand(count, 1)), generator.rand(count, 1)
    drawn = (1.0 - root) * chosen[:, 0] + root * (1.0 - share) * chosen[:, 1] + root * share * chosen[:, 2]
    return drawn.astype(np.float32)
