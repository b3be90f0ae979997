"""Concave meshes into convex pieces with CoACD (Wei et al., Approximate Convex Decomposition for 3D Meshes, 2022), cached by content."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from grail_framework.assets.cache import cache_folder, content_key, load_entry, store_entry
from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_log: Final = logging.getLogger(__name__)

SETTINGS: Final[dict[str, float]] = {
    "threshold": 0.05,
    "seed": 0,
    "resolution": 1000,
    "mcts_iterations": 100,
    "mcts_max_depth": 2,
    "preprocess_resolution": 30,
}
"""CoACD's. Resolution and search take a third of its defaults' time and gave pieces as good on a cup and a torus; the last is that of the
voxels by which open or self-intersecting meshes are made solid."""
TIME_LIMIT: Final = 900.0
"""For one mesh. [s]"""


@attrs.frozen(kw_only=True, eq=False)
class Decomposition:
    """A mesh in convex pieces."""

    pieces: tuple[NDArray[np.float64], ...]
    """Points of each piece (P, 3), whose convex hull it is. [m]"""
    reach: float
    """How far the pieces stick out of the mesh. [m]"""


def decompose(
    vertices: NDArray[np.float64], faces: NDArray[np.int64], max_pieces: int, *, time_limit: float = TIME_LIMIT
) -> Decomposition:
    """Split a mesh into at most `max_pieces` convex pieces; the same mesh and bound always give the same pieces.

    The result is kept in the user's cache folder, below `grail_framework/convex`.

    Args:
        vertices: (V, 3) [m].
        faces: (F, 3) indices.
        max_pieces: at least 1; pieces are merged until no more are left.
        time_limit: of CoACD [s].

    Raises:
        AssetError: CoACD failed or did not end within the time limit.
    """
    settings = {**SETTINGS, "max_convex_hull": max_pieces}
    key = content_key((vertices, faces, sorted(settings.items()), version("coacd")))
    entry = cache_folder() / "convex" / f"{key}.npz"
    found = _understood(load_entry(entry), entry)
    if found is None:
        _log.info("splitting a concave mesh of %d faces into convex pieces; kept as %s", len(faces), entry)
        result = _run(vertices, faces, settings, time_limit)
        found = _understood(result, entry)
        if result is None or found is None or not found.pieces:
            raise AssetError("CoACD found no convex piece; is the mesh a solid? Repair it, or split it into convex meshes")
        store_entry(entry, result)
    return found


def _understood(result: dict[str, NDArray[np.float64]] | None, entry: Path) -> Decomposition | None:
    if result is None:
        return None
    corners, counts, reach = (result.get(name) for name in ("corners", "counts", "reach"))
    if corners is None or counts is None or reach is None or counts.sum() != len(corners) or not np.isfinite(corners).all():
        _log.warning("%s is damaged (its arrays do not fit together): computing it anew", entry)
        return None
    pieces = np.split(corners, np.cumsum(counts.astype(np.int64))[:-1])
    return Decomposition(pieces=tuple(piece for piece in pieces if len(piece)), reach=float(reach))


def _run(
    vertices: NDArray[np.float64], faces: NDArray[np.int64], settings: dict[str, float], time_limit: float
) -> dict[str, NDArray[np.float64]] | None:
    with tempfile.TemporaryDirectory(prefix="grail-coacd-") as folder:
        request, result = Path(folder) / "request.npz", Path(folder) / "result.npz"
        np.savez(request, allow_pickle=False, vertices=vertices, faces=faces, settings=json.dumps(settings))
        command = [sys.executable, "-m", "grail_framework.assets.coacd_process", str(request), str(result)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=time_limit, check=False)
        except subprocess.TimeoutExpired as error:
            raise AssetError(
                f"CoACD did not split the mesh ({len(faces)} faces) within {time_limit:g} s; simplify it, or split it into convex meshes"
            ) from error
        if done.returncode != 0:
            last = ([line for line in done.stderr.splitlines() if line.strip()] or ["no message"])[-1]
            raise AssetError(
                f"CoACD failed on the mesh ({len(faces)} faces, exit status {done.returncode}: {last}); repair it, or split it into "
                "convex meshes"
            )
        return load_entry(result)
