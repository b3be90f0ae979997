"""The demo library of `terrain_tracking`: stairs, curbs and slopes, each with a walk over it that passes every check."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from scipy.spatial.transform import Rotation

from grail_framework.assets.usd_writer import write_object_usd
from grail_framework.errors import ConfigError, DataError
from grail_framework.motion.clip import MotionClip, ObjectTrack
from grail_framework.robots.g1 import g1_29dof
from grail_framework.robots.inverse_kinematics import InverseKinematics
from grail_framework.robots.keyframes import FPS
from grail_framework.tasks.demo_files import DemoMotion, write_library
from grail_terrain.demo.profiles import block, curb, slope, stairs
from grail_terrain.demo.quality import faults
from grail_terrain.demo.walking import Gait, walk

if TYPE_CHECKING:
    from grail_terrain.demo.profiles import Profile
    from grail_terrain.demo.walking import Walk

_ATTEMPTS: Final = 10
HIGHEST_DOWN: Final = 0.065
"""Steps that are higher are not walked down: the foot behind would have to leave the ground with its heel first. [m]"""
_ALLOWED: Final = {"step_height": (0.02, 0.20), "step_depth": (0.23, 0.36), "step_count": (1, 12), "pitch": (2.0, 18.0)}
"""Smallest and largest of each parameter; beyond, the G1's legs are too short or its feet too long."""


@attrs.frozen(kw_only=True)
class Sizes:
    """What a user fixes of the terrains; None: drawn for each."""

    step_height: float | None = None
    step_depth: float | None = None
    step_count: int | None = None
    pitch: float | None = None


def make_terrain_tracking(
    out: Path,
    *,
    motions: int = 9,
    seed: int = 0,
    step_height: float | None = None,
    step_depth: float | None = None,
    step_count: int | None = None,
    pitch: float | None = None,
) -> Path:
    """Write `motions` walks with their terrains and `flat_placeholder.usd` in the GRAIL layout below `out` and return the folder.

    Stairs, curbs and slopes take turns, up and down where the steps are low enough for that. Each walk starts and ends standing.

    Args:
        out: the folder.
        motions: how many.
        seed: varies what is not fixed.
        step_height: of stairs and curbs [m].
        step_depth: of a tread, and of a stride on curbs and slopes [m].
        step_count: treads of stairs, strides along a curb or a slope [-].
        pitch: of the slopes [deg].

    Raises:
        ConfigError: a number is out of range.
        DataError: a motion could not be made.
    """
    sizes = Sizes(step_height=step_height, step_depth=step_depth, step_count=step_count, pitch=pitch)
    _check(sizes)
    make = functools.partial(terrain_motion, sizes=sizes)
    library = write_library(Path(out), make, g1_29dof(), motions=motions, seed=seed)
    # What stands in environments of motions on flat ground: a little box below it, which nothing meets.
    points, faces = block((-0.01, 0.01), (-1.01, -0.99), (-1.01, -0.99), half_width=0.01)
    write_object_usd(library / "flat_placeholder.usd", [(points, faces)])
    return library


def terrain_motion(index: int, *, seed: int, sizes: Sizes | None = None) -> DemoMotion:
    """Make the walk with an index.

    Raises:
        DataError: none of several variations was good.
    """
    robot, problem = g1_29dof(), ""
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([seed, index, attempt])
        profile, gait = _draft(index, sizes or Sizes(), rng)
        made = walk(_solver(), profile, gait)
        found = faults(robot, made)
        if not found:
            return _motion(made, f"{profile.name}__{index:03d}", yaw=float(rng.uniform(-np.pi, np.pi)))
        problem = f"{profile.name}: {found[0]}"
    raise DataError(
        f"motion {index} of seed {seed}: none of {_ATTEMPTS} walks was good ({problem}); try another seed, or lower and deeper steps"
    )


def _check(sizes: Sizes) -> None:
    for name, (least, most) in _ALLOWED.items():
        value = getattr(sizes, name)
        if value is not None and not least <= value <= most:
            raise ConfigError(f"{name}={value:g}: allowed: {least:g} to {most:g}")
    if sizes.step_count is not None and sizes.step_count != int(sizes.step_count):
        raise ConfigError(f"step_count={sizes.step_count:g}: allowed: a whole number")


def _draft(index: int, sizes: Sizes, rng: np.random.Generator) -> tuple[Profile, Gait]:
    """Draw the terrain of an index and how it is walked over."""
    kind, variant = index % 3, index // 3 % 3
    first = int(rng.integers(2))
    if kind == 2:
        pitch = float(np.radians(_or(sizes.pitch, rng.uniform(7.0, 12.0))))
        stride, count = _or(sizes.step_depth, rng.uniform(0.24, 0.26)), _or(sizes.step_count, 4)
        return slope(up=variant != 1, pitch=pitch, stride=stride, count=count), Gait(first=first)
    # What goes down as high as it came up is low.
    low = variant == (2 if kind == 0 else 1) and _or(sizes.step_height, 0.0) <= HIGHEST_DOWN
    height = _or(sizes.step_height, rng.uniform(0.045, 0.06) if low else rng.uniform(0.10, 0.15))
    depth = _or(sizes.step_depth, rng.uniform(0.24, 0.25) if low else rng.uniform(0.26, 0.29))
    gait = Gait(first=first, swing=0.64) if low else Gait(first=first, swing=0.7, heel_up=0.6)
    if kind == 0:
        count = _or(sizes.step_count, 4 if low else int(rng.integers(3, 5)))
        return stairs(up=not low, rise=height, depth=depth, count=count), gait
    return curb(rise=height, stride=depth, count=_or(sizes.step_count, 3), off=low), gait


def _or[T: (int, float)](fixed: T | None, drawn: T) -> T:
    return drawn if fixed is None else fixed


@functools.cache
def _solver() -> InverseKinematics:
    return InverseKinematics(g1_29dof())


def _motion(made: Walk, key: str, *, yaw: float) -> DemoMotion:
    """Turn a walk and its terrain about the start, as a motion and the object that belongs to it."""
    turn, track, profile = Rotation.from_euler("z", yaw), made.track, made.profile
    frames = len(track.root_pos)
    identity = np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1)).astype(np.float32)
    quat = (turn * Rotation.from_quat(track.root_quat, scalar_first=True)).as_quat(scalar_first=True)
    flips = np.concatenate(([1.0], np.sign((quat[1:] * quat[:-1]).sum(axis=1))))  # neighbours of one sign can be interpolated
    clip = MotionClip(
        key=key,
        path=Path(f"{key}.pkl"),
        fps=FPS,
        joint_names=track.joint_names,
        root_pos=turn.apply(track.root_pos).astype(np.float32),
        root_quat=(quat * np.cumprod(flips)[:, None]).astype(np.float32),
        joint_pos=track.joint_pos.astype(np.float32),
        object=ObjectTrack(pos=np.zeros((frames, 3), dtype=np.float32), quat=identity, fps=FPS),
        object_name=profile.name,
    )
    return DemoMotion(clip=clip, meshes=tuple((turn.apply(points), faces) for points, faces in profile.meshes()), fixed=True)
