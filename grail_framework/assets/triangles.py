"""Triangle meshes as a solid: connected parts, closedness, volume, mass properties, inside and outside. Pure numpy and scipy.

A mesh is vertices (V, 3) [m] and faces (F, 3) indices. Vertices at the same place (to a millionth of the extent) count as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type Points = NDArray[np.float64]
    type Faces = NDArray[np.int64]

_WELD: Final = 1e-6
"""Distance below which vertices count as one, as a share of the mesh's extent. [-]"""
_THIN: Final = 1e-3
"""Share of its hull's volume below which a closed mesh is a folded sheet that encloses nothing. [-]"""
_PROBES: Final = 1600
_SURFACE_SAMPLES: Final = 20_000
_NEAREST: Final = 8
"""Samples by which `how_far_beyond` finds the triangles that may be nearest to a probe."""


@attrs.frozen(kw_only=True, eq=False)
class Solid:
    """Volume, centre of mass and inertia of a body of density 1 kg/m^3."""

    volume: float
    """[m^3]"""
    com: Points  # (3,) [m]
    inertia: Points  # (3, 3) about the centre of mass [m^5]

    def scaled(self, density: float) -> Solid:
        """Return the same shape `density` times as heavy; `volume` is then a mass."""
        return Solid(volume=density * self.volume, com=self.com, inertia=density * self.inertia)


def clean(vertices: Points, faces: Faces) -> tuple[Points, Faces]:
    """Weld vertices at the same place; drop vertices of no face, faces that are a line or a point, and faces that are there twice.

    Of two faces back to back both go where that leaves a closed mesh: they are the wall between two solids drawn as one. Elsewhere
    the first stays: a surface drawn for both sides.
    """
    extent, origin = float(np.ptp(vertices, axis=0).max()), vertices.min(axis=0)
    named, faces = np.unique(faces, return_inverse=True)  # a part of a large mesh names few of its vertices
    vertices, faces = vertices[named], faces.reshape(-1, 3)
    grid = np.round((vertices - origin) / max(_WELD * extent, 1e-300)).astype(np.int64)
    _, first, welded = np.unique(grid, axis=0, return_index=True, return_inverse=True)
    faces = welded.reshape(-1)[faces]
    distinct = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    faces = faces[distinct]
    _, once, times = np.unique(np.sort(faces, axis=1), axis=0, return_index=True, return_counts=True)
    single = faces[np.sort(once[times % 2 == 1])]
    kept = single if len(single) and is_closed(single) else faces[np.sort(once)]
    used, renumbered = np.unique(kept, return_inverse=True)
    return vertices[first[used]], renumbered.reshape(-1, 3)


def parts(vertices: Points, faces: Faces) -> list[tuple[Points, Faces]]:
    """Split a mesh into its connected parts, cleaned, in the order of their first faces.

    What the file itself indexes as a closed part stays one, also where it touches another at an edge or a side. All other faces are
    welded first, and belong together where a vertex joins them; where such a part comes apart into closed ones at the edges of more
    than two faces, these are the parts.
    """
    found, open_faces = [], []
    for own in _by_label(_labels_by_vertex(faces, len(vertices)), faces):
        part = clean(vertices, own) if len(own) >= 4 else None
        if part is not None and _can_close(part[1]):
            found.append(part)
        else:
            open_faces.append(own)
    if open_faces:
        welded, left = clean(vertices, np.concatenate(open_faces))
        for own in _by_label(_labels_by_vertex(left, len(welded)), left):
            pieces = [clean(welded, some) for some in _by_label(_labels_by_edge(own), own)]
            found += pieces if all(_can_close(some) for _, some in pieces) or not is_closed(own) else [clean(welded, own)]
    return [part for part in found if len(part[1])]


def _can_close(faces: Faces) -> bool:
    """Whether a part is closed once its faces are turned to agree."""
    return len(faces) >= 4 and is_closed(consistent(faces))


def _by_label(label: NDArray[np.int64], faces: Faces) -> list[Faces]:
    """Group faces by label, in the order of the groups' first faces."""
    _, first, number = np.unique(label, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[number.reshape(-1)]
    order = np.argsort(rank, kind="stable")
    return np.split(faces[order], np.flatnonzero(np.diff(rank[order])) + 1) if len(faces) else []


def _labels_by_vertex(faces: Faces, num_vertices: int) -> NDArray[np.int64]:
    """Number faces (F,) by the part they are in, where a common vertex joins."""
    links = (np.ones(2 * len(faces)), (faces[:, [0, 0]].ravel(), faces[:, [1, 2]].ravel()))
    return connected_components(coo_array(links, shape=(num_vertices, num_vertices)), directed=False)[1][faces[:, 0]]


def _labels_by_edge(faces: Faces) -> NDArray[np.int64]:
    """Number faces (F,) by the part they are in, where an edge of two faces joins."""
    edges = np.sort(np.concatenate((faces[:, (0, 1)], faces[:, (1, 2)], faces[:, (2, 0)])), axis=1)
    _, edge, count = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    edge = edge.reshape(-1)
    pairs = np.argsort(edge, kind="stable")
    pairs = (pairs[count[edge[pairs]] == 2] % len(faces)).reshape(-1, 2)
    links = (np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1]))
    return connected_components(coo_array(links, shape=(len(faces), len(faces))), directed=False)[1]


def is_closed(faces: Faces) -> bool:
    """Whether every edge of a cleaned mesh is run through equally often in both directions."""
    edges = np.concatenate((faces[:, (0, 1)], faces[:, (1, 2)], faces[:, (2, 0)]))
    forward, ways = np.unique(edges, axis=0, return_counts=True)
    backward, ways_back = np.unique(edges[:, ::-1], axis=0, return_counts=True)
    return bool(np.array_equal(forward, backward) and np.array_equal(ways, ways_back))


def consistent(faces: Faces) -> Faces:
    """Turn faces over until neighbours agree, for a mesh of one part whose edges have two faces each; else return it as it is."""
    edges = np.concatenate((faces[:, (0, 1)], faces[:, (1, 2)], faces[:, (2, 0)]))
    owner = np.tile(np.arange(len(faces)), 3)
    _, edge, count = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    if not (count == 2).all():
        return faces
    pairs = np.argsort(edge.reshape(-1), kind="stable").reshape(-1, 2)
    first, second = owner[pairs[:, 0]], owner[pairs[:, 1]]
    # Two faces agree where they run through their common edge in opposite directions.
    disagree = (edges[pairs[:, 0], 0] == edges[pairs[:, 1], 0]).astype(np.int64)
    # Each face stands twice, as it is and turned over; neighbours are joined so that they agree.
    n = len(faces)
    rows = np.concatenate((first, first + n))
    columns = np.concatenate((second + n * disagree, second + n * (1 - disagree)))
    _, label = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), shape=(2 * n, 2 * n)), directed=False)
    turned = label[:n] != label[0]
    return np.where(turned[:, None], faces[:, ::-1], faces)


def signed_volume(vertices: Points, faces: Faces) -> float:
    """Volume inside a closed mesh [m^3], negative where its faces look inwards (divergence theorem)."""
    a, b, c = (vertices[faces[:, k]] - vertices[0] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


def area(vertices: Points, faces: Faces) -> float:
    """Area of all faces. [m^2]"""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())


def encloses(vertices: Points, faces: Faces, hull_volume: float) -> bool:
    """Whether a cleaned mesh is closed and no folded sheet."""
    return is_closed(faces) and abs(signed_volume(vertices, faces)) > _THIN * hull_volume


def solid(vertices: Points, faces: Faces) -> Solid:
    """Return the mass properties of the body inside a closed mesh, by summing signed tetrahedra with the origin at a vertex.

    A mesh whose faces look inwards gives the same body.
    """
    origin = vertices.mean(axis=0)
    corners = vertices[faces] - origin
    volumes = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0
    if volumes.sum() < 0.0:
        volumes = -volumes
    volume = float(volumes.sum())
    total = corners.sum(axis=1)
    com = volumes @ total / (4.0 * volume)
    # Second moments of a tetrahedron with one corner at the origin: V/20 (sum of the corners' products + product of their sum).
    second = np.einsum("f,fki,fkj->ij", volumes, corners, corners) + np.einsum("f,fi,fj->ij", volumes, total, total)
    covariance = second / 20.0 - volume * np.outer(com, com)
    return Solid(volume=volume, com=com + origin, inertia=np.trace(covariance) * np.eye(3) - covariance)


def combined(bodies: list[Solid]) -> Solid:
    """Return the mass properties of rigidly joined bodies; a cavity is a body of negative volume and inertia."""
    volume = sum(body.volume for body in bodies)
    com = sum((body.volume * body.com for body in bodies), np.zeros(3)) / volume
    inertia = np.zeros((3, 3))
    for body in bodies:
        arm = body.com - com
        inertia += body.inertia + body.volume * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    return Solid(volume=volume, com=com, inertia=inertia)


def winding_number(points: Points, vertices: Points, faces: Faces) -> NDArray[np.float64]:
    """How often a closed mesh goes around each point (P,): about 0 outside and 1 inside (sum of the solid angles of its faces).

    The formula is van Oosterom and Strackee's.
    """
    turns = np.empty(len(points))
    rows = max(1, 2_000_000 // max(len(faces), 1))
    for start in range(0, len(points), rows):
        to_corner = vertices[None] - points[start : start + rows, None]
        length = np.linalg.norm(to_corner, axis=2)
        (a, b, c), (la, lb, lc) = (to_corner[:, faces[:, k]] for k in range(3)), (length[:, faces[:, k]] for k in range(3))
        ab, bc, ca = (np.einsum("pfi,pfi->pf", u, v) for u, v in ((a, b), (b, c), (c, a)))
        volume = np.einsum("pfi,pfi->pf", a, np.cross(b, c))
        turns[start : start + rows] = np.arctan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb).sum(axis=1) / (2.0 * np.pi)
    return turns


def surface_samples(vertices: Points, faces: Faces, count: int) -> tuple[Points, NDArray[np.int64]]:
    """Return (count, 3) points spread evenly over the faces, and the faces they are on; always the same for the same mesh."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    cumulative = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    face = np.searchsorted(cumulative, (np.arange(count) + 0.5) / count * cumulative[-1]).clip(max=len(faces) - 1)
    # The plastic number's low-discrepancy sequence (Roberts), folded into the triangle.
    first, second = (np.arange(1, count + 1)[:, None] * (0.7548776662466927, 0.5698402909980532) % 1.0).T
    folded = first + second > 1.0
    first, second = np.where(folded, 1.0 - first, first)[:, None], np.where(folded, 1.0 - second, second)[:, None]
    return a[face] + first * (b - a)[face] + second * (c - a)[face], face


def how_far_beyond(pieces: list[tuple[Points, Faces]], vertices: Points, faces: Faces) -> float:
    """Return how far the surfaces of pieces stick out of a mesh, at sampled points [m]; what is inside the mesh does not count."""
    probes = np.concatenate([surface_samples(*piece, max(_PROBES // len(pieces), 20))[0] for piece in pieces])
    probes = probes[np.abs(winding_number(probes, vertices, faces)) < 0.5]
    samples, face = surface_samples(vertices, faces, _SURFACE_SAMPLES)
    _, nearest = KDTree(samples).query(probes, k=_NEAREST)
    farthest = 0.0
    for probe, candidates in zip(probes, face[nearest], strict=True):
        farthest = max(farthest, min(_distance(probe, *vertices[faces[one]]) for one in np.unique(candidates)))
    return farthest


def _distance(point: Points, a: Points, b: Points, c: Points) -> float:
    """Distance of a point (3,) to a triangle. [m]"""
    basis = np.stack((b - a, c - a))
    gram = basis @ basis.T
    weights = np.linalg.lstsq(gram, basis @ (point - a), rcond=None)[0]
    if (weights >= 0.0).all() and weights.sum() <= 1.0:
        return float(np.linalg.norm(a + weights @ basis - point))
    return min(_distance_to_segment(point, p, q) for p, q in ((a, b), (b, c), (c, a)))


def _distance_to_segment(point: Points, start: Points, end: Points) -> float:
    along = end - start
    share = np.clip((point - start) @ along / max(along @ along, 1e-300), 0.0, 1.0)
    return float(np.linalg.norm(start + share * along - point))
