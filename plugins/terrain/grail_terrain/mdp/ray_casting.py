"""Casting rays against terrain with Warp's mesh queries, as one operation of torch.

With `ray_kernel` the only module here that imports Warp, which takes seconds: it is imported when a term is built that casts rays.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import numpy as np
import torch
import warp as _warp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

wp: Any = _warp  # its launches and arrays carry no types
_log: Final = logging.getLogger(__name__)

POSE_WIDTH: Final = 14
"""Root position and orientation, terrain position and orientation; quaternions wxyz."""
_ENVS_PER_THREAD: Final = 16
"""Fewest environments worth a thread of their own on a CPU: some milliseconds of rays."""


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep what Warp says of itself and of kernels it loads off the console, which may be somebody's JSON."""
    level = wp.config.log_level
    wp.config.log_level = wp.LOG_WARNING
    try:
        yield
    finally:
        wp.config.log_level = level


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Send to the log what native code writes to stderr: where there is no GPU, that there is none."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as written:
        try:
            os.dup2(written.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            for line in written.read().decode(errors="replace").splitlines():
                _log.debug("%s", line)


def _start_warp() -> None:
    with _quietly(), contextlib.nullcontext() if torch.cuda.is_available() else _without_stderr():
        wp.init()


class FanCaster:
    """Casts a fan of rays in every environment, each against its own terrain, into the same tensors again and again.

    On a GPU that is one launch on torch's current stream: it can be captured in a CUDA graph, allocates nothing and waits for nothing. On
    a CPU the environments are shared out among threads. It has no `__dict__`: what Warp keeps is no memory of an environment's step.
    """

    __slots__ = ("__weakref__", "_device", "_launches", "_meshes", "_pool", "number")

    def __init__(
        self,
        terrains: Sequence[tuple[NDArray[np.floating], NDArray[np.integer]]],
        env_terrain: Sequence[int],
        *,
        poses: torch.Tensor,
        heights: torch.Tensor,
        size: float,
        max_distance: float,
        num_threads: int = 1,
    ) -> None:
        """Build the meshes and compile the kernel, unless it is in Warp's cache.

        Args:
            terrains: vertices (V, 3) [m] and triangles (F, 3) of each distinct terrain, in its own frame.
            env_terrain: (N,) which of them each environment has.
            poses: (N, 14) where `cast` finds the poses: see `POSE_WIDTH`.
            heights: (N, S * S) where it writes the heights, row by row along x.
            size: extent of the grid of S x S ray ends 1 m below the root. [m]
            max_distance: a ray that meets nothing within ends there. [m]
            num_threads: on a CPU, how many threads may be used.
        """
        _start_warp()
        self._device = wp.device_from_torch(poses.device)
        parts = _bounds(len(poses), 1 if self._device.is_cuda else num_threads)
        with _quietly():
            tables = self._build(terrains, np.asarray(env_terrain, dtype=np.int64))
            self._launches = self._record((wp.from_torch(poses), *tables), heights, (size, max_distance), parts)
            # The meshes are built on a stream of Warp's.
            wp.synchronize_device(self._device)
        self._pool = ThreadPoolExecutor(len(self._launches), thread_name_prefix="rays") if len(self._launches) > 1 else None
        self.number = next(_numbers)
        """What `cast` knows it by."""
        _casters[self.number] = self

    def _build(
        self, terrains: Sequence[tuple[NDArray[np.floating], NDArray[np.integer]]], of_env: NDArray[np.int64]
    ) -> tuple[Any, Any]:
        """Build the meshes, and return which one each environment has and how it is turned, (N,) both."""
        turns = [square_turn(*terrain) for terrain in terrains]
        self._meshes = [_mesh(*terrain, turn, self._device) for terrain, turn in zip(terrains, turns, strict=True)]
        ids = np.array([mesh.id for mesh in self._meshes], dtype=np.uint64)
        quats = np.array([(0.0, 0.0, np.sin(turn / 2.0), np.cos(turn / 2.0)) for turn in turns], dtype=np.float32)  # xyzw
        return (
            wp.array(ids[of_env], dtype=wp.uint64, device=self._device),
            wp.array(quats[of_env], dtype=wp.quat, device=self._device),
        )

    def _record(
        self, arrays: tuple[Any, ...], heights: torch.Tensor, lengths: tuple[float, float], bounds: list[int]
    ) -> list[Any]:
        """Return a launch for the environments from each bound to the next."""
        from grail_terrain.mdp.ray_kernel import cast_fan

        side = round(heights.shape[1] ** 0.5)
        results = wp.from_torch(heights.view(-1, side, side))
        size, max_distance = lengths
        return [
            wp.launch(
                cast_fan,
                dim=(end - start, side, side),
                inputs=[*(array[start:end] for array in arrays), 0.5 * size, size / (side - 1), max_distance],
                outputs=[results[start:end]],
                device=self._device,
                record_cmd=True,
            )
            for start, end in itertools.pairwise(bounds)
        ]

    def launch(self) -> None:
        """Cast all rays, in the order of torch's current stream."""
        if self._device.is_cuda:
            stream = wp.stream_from_torch(torch.cuda.current_stream(wp.device_to_torch(self._device)))
            self._launches[0].launch(stream)
        elif self._pool is None:
            self._launches[0].launch()
        else:
            for _ in self._pool.map(_launch, self._launches):
                pass


def cast(caster: FanCaster, heights: torch.Tensor, poses: torch.Tensor) -> torch.Tensor:
    """Cast all rays from the poses, and return the heights: the tensors that the caster was made with.

    An operation of torch's, so that everything that watches or records operations sees it.
    """
    return torch.ops.grail_terrain.cast_fan(heights, poses, caster.number)


def square_turn(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> float:
    """Return by how much to turn a mesh about z for most of its edges to run along x or y. [rad]

    The tree of a mesh keeps triangles in boxes along the axes. A flight of stairs that stands askew in its file fills them badly: rays
    take twice to three times as long.

    Args:
        vertices: (V, 3).
        faces: (F, 3) indices.
    """
    corners = vertices[faces][..., :2]
    edges = (corners - np.roll(corners, 1, axis=1)).reshape(-1, 2).astype(np.float64)
    along = edges[:, 0] + 1j * edges[:, 1]
    lengths = np.abs(along)
    along, lengths = along[lengths > 0.0], lengths[lengths > 0.0]
    # The mean direction of edges, by length; four times the angle makes one of all that are at right angles.
    return -float(np.angle((lengths * (along / lengths) ** 4).sum())) / 4.0


def _mesh(vertices: NDArray[np.floating], faces: NDArray[np.integer], turn: float, device: Any) -> Any:
    cos, sin = np.cos(turn), np.sin(turn)
    turned = vertices @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    points = wp.array(np.ascontiguousarray(turned, dtype=np.float32), dtype=wp.vec3, device=device)
    indices = wp.array(np.ascontiguousarray(faces, dtype=np.int32).ravel(), dtype=wp.int32, device=device)
    # Terrain does not change, so the tree that takes longest to build and is fastest to ask pays.
    return wp.Mesh(points, indices, bvh_constructor="sah")


def _bounds(num_envs: int, num_threads: int) -> list[int]:
    """Return where to cut the environments so that each thread has an equal part worth having."""
    parts = max(min(num_threads, num_envs // _ENVS_PER_THREAD), 1)
    return [num_envs * part // parts for part in range(parts + 1)]


def _launch(command: Any) -> None:
    command.launch()


_numbers: Final = itertools.count()
_casters: Final[WeakValueDictionary[int, FanCaster]] = WeakValueDictionary()
"""Casters that are in use: operations of torch take tensors and numbers only."""
_library: Final = torch.library.Library("grail_terrain", "DEF")
_library.define("cast_fan(Tensor(a!) heights, Tensor poses, int caster) -> Tensor(a!)")


def _cast_fan(heights: torch.Tensor, poses: torch.Tensor, caster: int) -> torch.Tensor:
    del poses  # the caster knows where they are
    _casters[caster].launch()
    return heights


_library.impl("cast_fan", _cast_fan, "CPU")
_library.impl("cast_fan", _cast_fan, "CUDA")
