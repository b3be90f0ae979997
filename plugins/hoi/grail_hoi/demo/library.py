"""The demo libraries of the four tasks: drafts that pass every check, written as motions with their objects."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from grail_framework.errors import DataError
from grail_framework.motion.clip import HANDS, MotionClip, ObjectTrack
from grail_framework.robots.g1 import g1_43dof
from grail_framework.robots.inverse_kinematics import InverseKinematics
from grail_framework.robots.keyframes import FPS
from grail_framework.tasks.demo_files import DemoMotion, write_library
from grail_hoi.demo.advanced_manip import draft_advanced_manip_ground, draft_advanced_manip_table
from grail_hoi.demo.draft import Pose
from grail_hoi.demo.pnp_ground import draft_pnp_ground
from grail_hoi.demo.pnp_table import draft_pnp_table
from grail_hoi.demo.quality import faults, play, reaches

if TYPE_CHECKING:
    from grail_framework.robots.spec import RobotSpec
    from grail_hoi.demo.draft import Draft
    from grail_hoi.demo.quality import Trial

_ATTEMPTS: Final = 16
_FACING: Final = Rotation.from_euler("z", -90, degrees=True)
"""The release's robots face -y at a table that is wide along x."""


class Drafter(Protocol):
    """Drafts a motion of the kind that belongs to an index; None where chance gave one that cannot be."""

    def __call__(self, robot: RobotSpec, solver: InverseKinematics, index: int, rng: np.random.Generator) -> Draft | None:
        """Return a draft."""
        ...


def make_pnp_table(out: Path, *, motions: int = 8, seed: int = 0) -> Path:
    """Write `motions` pick-ups from a table in the GRAIL layout below `out` and return the folder.

    Raises:
        ConfigError: `motions` or `seed` is too small.
        DataError: a motion could not be made.
    """
    return write_library(Path(out), pnp_table_motion, g1_43dof(), motions=motions, seed=seed)


def make_pnp_ground(out: Path, *, motions: int = 8, seed: int = 0) -> Path:
    """Write `motions` pick-ups from the ground in the GRAIL layout below `out` and return the folder.

    Raises:
        ConfigError: `motions` or `seed` is too small.
        DataError: a motion could not be made.
    """
    return write_library(Path(out), pnp_ground_motion, g1_43dof(), motions=motions, seed=seed)


def make_advanced_manip_table(out: Path, *, motions: int = 8, seed: int = 0) -> Path:
    """Write `motions` manipulations of heavier objects over a table in the GRAIL layout below `out` and return the folder.

    Raises:
        ConfigError: `motions` or `seed` is too small.
        DataError: a motion could not be made.
    """
    return write_library(Path(out), advanced_manip_table_motion, g1_43dof(), motions=motions, seed=seed)


def make_advanced_manip_ground(out: Path, *, motions: int = 8, seed: int = 0) -> Path:
    """Write `motions` manipulations from the ground with both hands in the GRAIL layout below `out` and return the folder.

    Raises:
        ConfigError: `motions` or `seed` is too small.
        DataError: a motion could not be made.
    """
    return write_library(Path(out), advanced_manip_ground_motion, g1_43dof(), motions=motions, seed=seed)


def pnp_table_motion(index: int, *, seed: int) -> DemoMotion:
    """Make the pick-up from a table with an index."""
    return _made("pickup_table", draft_pnp_table, index, seed)


def pnp_ground_motion(index: int, *, seed: int) -> DemoMotion:
    """Make the pick-up from the ground with an index."""
    return _made("pickup_ground", draft_pnp_ground, index, seed)


def advanced_manip_table_motion(index: int, *, seed: int) -> DemoMotion:
    """Make the manipulation over a table with an index."""
    return _made("manipulation_table", draft_advanced_manip_table, index, seed)


def advanced_manip_ground_motion(index: int, *, seed: int) -> DemoMotion:
    """Make the manipulation from the ground with an index."""
    return _made("manipulation_ground", draft_advanced_manip_ground, index, seed)


def drafted(drafter: Drafter, index: int, seed: int) -> tuple[Draft, Trial]:
    """Draft until a draft passes every check; return it and what the simulator made of it.

    Raises:
        DataError: none of many passed.
    """
    robot, solver = g1_43dof(), _solver()
    problem = "no grasp was found"
    for attempt in range(_ATTEMPTS):
        draft = drafter(robot, solver, index, np.random.default_rng([seed, index, attempt]))
        if draft is None or not reaches(draft):
            continue
        trial = play(robot, draft)
        found = faults(robot, draft, trial)
        if not found:
            return draft, trial
        problem = found[0]
    raise DataError(f"motion {index} of seed {seed}: none of {_ATTEMPTS} drafts was good ({problem}); try another seed")


@functools.cache
def _solver() -> InverseKinematics:
    return InverseKinematics(g1_43dof())


def _made(prefix: str, drafter: Drafter, index: int, seed: int) -> DemoMotion:
    draft, trial = drafted(drafter, index, seed)
    clip = to_clip(draft, trial, key=f"{prefix}__{draft.shape.name}__{index:03d}")
    return DemoMotion(clip=clip, meshes=draft.shape.pieces, mass=draft.shape.mass)


def to_clip(draft: Draft, trial: Trial, *, key: str) -> MotionClip:
    """Turn a draft into a motion in the release's world: the robot faces -y."""
    track = draft.track
    table = None if draft.table is None else Pose(pos=_FACING.apply(draft.table.pos), turn=_FACING * draft.table.turn)
    closed = draft.closed()
    action = np.stack([np.where(closed.get(side, np.zeros(draft.num_frames, bool)), 1.0, -1.0) for side in HANDS], axis=1)
    return MotionClip(
        key=key,
        path=Path(f"{key}.pkl"),
        fps=FPS,
        joint_names=track.joint_names,
        root_pos=_FACING.apply(track.root_pos).astype(np.float32),
        root_quat=_turned(track.root_quat),
        joint_pos=track.joint_pos.astype(np.float32),
        object=ObjectTrack(
            pos=_FACING.apply(trial.object_pos).astype(np.float32),
            quat=_turned(trial.object_quat),
            fps=FPS,
            contact_points=_contact_points(draft),
        ),
        object_name=draft.shape.name,
        hand_action=action.astype(np.float32),
        table_pos=None if table is None else table.pos.astype(np.float32),
        table_quat=None if table is None else table.turn.as_quat(scalar_first=True, canonical=True).astype(np.float32),
        table_size=None if table is None else np.array(draft.table_size, dtype=np.float32),
    )


def _turned(quat: np.ndarray) -> np.ndarray:
    turned = _FACING * Rotation.from_quat(quat, scalar_first=True)
    values = turned.as_quat(scalar_first=True)
    # q and -q are one rotation; neighbours of one sign can be interpolated.
    flips = np.concatenate(([1.0], np.sign((values[1:] * values[:-1]).sum(axis=1))))
    return (values * np.cumprod(flips)[:, None]).astype(np.float32)


def _contact_points(draft: Draft) -> dict[str, dict[int, np.ndarray]]:
    """Return the contact points of both hands by frame: those of the grasp, while the object is held."""
    frames = np.flatnonzero(draft.held())
    points = {grasp.side: grasp.points.astype(np.float32) for grasp in draft.grasps}
    return {side: {int(frame): points[side] for frame in frames} if side in points else {} for side in HANDS}
