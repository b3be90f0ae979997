"""Writing of demonstration libraries: one motion after another, on as many processors as there are, the same files on any number."""

from __future__ import annotations

import logging
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Protocol

import attrs
import numpy as np

from grail_framework.errors import ConfigError
from grail_framework.motion.preparation.bps import basis_points, compute_bps
from grail_framework.motion.writer import write_clip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from grail_framework.motion.clip import MotionClip
    from grail_framework.robots.spec import RobotSpec

_log = logging.getLogger(__name__)

Mesh = tuple["NDArray[np.float64]", "NDArray[np.int64]"]


@attrs.frozen(kw_only=True, eq=False)
class DemoMotion:
    """A motion to be written, and the object that belongs to it."""

    clip: MotionClip
    meshes: tuple[Mesh, ...] = ()
    """Vertices (V, 3) [m] and triangles (F, 3) of the object's parts, object frame; none: no object."""
    mass: float | None = None
    """[kg]"""
    fixed: bool = False
    """The object is terrain, written as the triangles it is; nobody asks for its shape in a few numbers (BPS)."""


class MotionMaker(Protocol):
    """Makes the motion of an index; importable by name, so that other processes can."""

    def __call__(self, index: int, *, seed: int) -> DemoMotion:
        """Return the motion, which depends on nothing but index and seed."""
        ...


def write_library(
    out: Path, make: MotionMaker, robot: RobotSpec, *, motions: int, seed: int, processes: int | None = None
) -> Path:
    """Write motions 0 to `motions` - 1 in the GRAIL layout below `out` and return it; tells the log about each.

    Args:
        out: the library's folder, made where it is missing.
        make: makes one motion.
        robot: whose joints the motions move.
        motions: how many, at least 1.
        seed: at least 0.
        processes: at most so many at a time; None: one per processor, and one alone for a library of one or two motions.

    Raises:
        ConfigError: `motions` or `seed` is too small.
        DataError: a motion could not be made.
    """
    if motions < 1:
        raise ConfigError(f"a demo library of {motions} motions was asked for; allowed: at least 1")
    if seed < 0:
        raise ConfigError(f"the seed is {seed}; allowed: 0 and above")
    workers = min(motions, os.cpu_count() or 1) if processes is None else processes
    if processes is None and motions <= 2:
        workers = 1  # starting another process takes longer than a motion
    for count, key in enumerate(_write_all(out, make, robot, motions, seed, workers), start=1):
        _log.info("motion %d of %d: %s", count, motions, key)
    if (out / "bps").is_dir():
        np.save(out / "bps" / "_basis.npy", basis_points())
    return out


def _write_all(out: Path, make: MotionMaker, robot: RobotSpec, motions: int, seed: int, workers: int) -> Iterator[str]:
    if workers <= 1:
        yield from (_write_one(out, make, robot, index, seed) for index in range(motions))
        return
    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        jobs = [pool.submit(_write_one, out, make, robot, index, seed) for index in range(motions)]
        try:
            yield from (job.result() for job in jobs)
        finally:
            pool.shutdown(cancel_futures=True)


def _write_one(out: Path, make: MotionMaker, robot: RobotSpec, index: int, seed: int) -> str:
    made = make(index, seed=seed)
    clip = made.clip
    if made.meshes:
        # pxr is needed for objects alone.
        from grail_framework.assets.usd_writer import write_object_usd

        path = out / "object_usd" / f"{clip.key}.usd"
        if made.fixed:
            write_object_usd(path, made.meshes, approximation="none")
        else:
            write_object_usd(path, made.meshes, mass=made.mass)
            clip = attrs.evolve(clip, bps=_bps(made.meshes))
    write_clip(clip, out, robot)
    return clip.key


def _bps(meshes: tuple[Mesh, ...]) -> NDArray[np.float32]:
    points = np.concatenate([points for points, _ in meshes])
    starts = np.cumsum([0, *(len(points) for points, _ in meshes[:-1])])
    triangles = np.concatenate([faces + start for (_, faces), start in zip(meshes, starts, strict=True)])
    return compute_bps(points.astype(np.float32), triangles)
