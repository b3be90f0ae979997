"""A synthetic motion library of any size, written by the project's own writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from grail_framework.config import MotionCfg
from grail_framework.motion.compact import CONTACT_RUN, HAND_RUN, MOTION, CompactMotions, MotionFiles, MotionRows, checksums
from grail_framework.motion.loading import load_library
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.store import STORE_FOLDER, StoreWriter
from grail_framework.motion.store.finding import key_of
from grail_framework.motion.store.sources import list_sources

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.motion.library import MotionLibrary
    from grail_framework.robots.spec import RobotSpec

SHORTEST: Final = 100
"""Frames of the shortest clip; the longest has half as many more."""
_CHUNK: Final = 1000


def write_library(folder: Path, clips: int, robot: RobotSpec) -> MotionCfg:
    """Write a store of clips of 100 to 150 random frames, and a stand-in file for each.

    The files are there so that loading compares as many of them as a real library has motions.
    """
    (folder / "robot").mkdir(parents=True)
    cfg = MotionCfg(data=str(folder), derive="on_demand")
    keys = [f"clip_{index:06d}" for index in range(clips)]
    files = [MotionFiles(robot=folder / "robot" / f"{key}.pkl") for key in keys]
    for file in files:
        file.robot.touch()
    chunk = _chunk(robot, min(_CHUNK, clips), np.random.default_rng(0))
    with StoreWriter(folder / STORE_FOLDER, key_of(cfg, robot, GrailReader())) as writer:
        for start in range(0, clips, _CHUNK):
            stop = min(start + _CHUNK, clips)
            if stop - start < len(chunk.motions):
                chunk = _chunk(robot, stop - start, np.random.default_rng(0))
            writer.append(attrs.evolve(chunk, keys=tuple(keys[start:stop]), files=tuple(files[start:stop])))
        writer.finish(list_sources(cfg).with_digests())
    return cfg


def load(cfg: MotionCfg, robot: RobotSpec, device: str) -> MotionLibrary:
    """Load a library as a run does."""
    return load_library(cfg, robot, device=device, need_object=False, need_table=False, readers=[GrailReader()])


def _chunk(robot: RobotSpec, count: int, rng: np.random.Generator) -> CompactMotions:
    """Make robot-only motions that walk at random."""
    motions = np.zeros(count, dtype=MOTION)
    lengths = rng.integers(SHORTEST, SHORTEST + SHORTEST // 2 + 1, count)
    motions["num_frames"], motions["first_contact"] = lengths, lengths
    for name in ("object_rows", "contact_runs", "hand_runs"):
        motions[name] = 1
    motions["table_quat"][:, 0] = 1.0
    rows = rng.normal(scale=0.01, size=(int(lengths.sum()), 7 + robot.num_motion_joints)).astype(np.float32).cumsum(axis=0)
    rows[:, 3:7] = [1.0, 0.0, 0.0, 0.0]
    objects = np.tile(np.array([0, 0, 0, 1, 0, 0, 0], dtype=np.float32), (count, 1))
    hands = np.zeros(count, dtype=HAND_RUN)
    hands["value"] = -1.0
    packed = MotionRows(robot=rows, objects=objects, contacts=np.zeros(count, dtype=CONTACT_RUN), hands=hands)
    motions["checksum"] = checksums(motions, packed)
    nothing = (None,) * count
    return CompactMotions(keys=(), files=(), object_names=("",) * count, object_usd=nothing, motions=motions, rows=packed)
