"""Reading motions of the GRAIL layout: the safe reader against joblib and pickle on the same files, and whole clips a second.

Usage: python benchmarks/bench_motion_read.py [DATA]
where DATA is a motion library; without it, that of `GRAIL_TEST_DATA` (grail/largebox_ha) where it is found, else one made on the spot:
325 frames at 50 fps with contact points of both hands on 240 of them.
"""

from __future__ import annotations

import os
import pickle
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import joblib
import numpy as np

from grail_framework.config.scene import MotionCfg
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.safe_pickle import load_safe
from grail_framework.motion.validate import Needs, check_clip
from grail_framework.motion.writer import write_clip
from grail_framework.robots.g1 import g1_43dof
from grail_framework.testing.fakes import standing_clip

if TYPE_CHECKING:
    from collections.abc import Callable

    from grail_framework.robots.spec import RobotSpec

PARTS = ("robot", "objects", "meta")
FRAMES, CONTACT_FRAMES = 325, 240
ROUNDS = 30


def milliseconds(call: Callable[[], object]) -> float:
    """Return the median processor time of a call, after a first one that warms up. [ms]"""
    call()
    times: list[float] = []
    for _ in range(ROUNDS):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return 1e3 * statistics.median(times)


def made_library(folder: Path, robot: RobotSpec) -> Path:
    """Write one motion of the size of the published ones."""
    clip = standing_clip(robot, key="stand", with_object=True)
    track = clip.object
    assert track is not None

    def repeated(value: np.ndarray) -> np.ndarray:
        return np.resize(value, (FRAMES, *value.shape[1:]))

    points = {frame: np.full((4, 3), 0.05, np.float32) for frame in range(FRAMES - CONTACT_FRAMES, FRAMES)}
    contact = {"left": points, "right": points}
    track = attrs.evolve(track, pos=repeated(track.pos), quat=repeated(track.quat), contact_points=contact)
    fields = ("root_pos", "root_quat", "joint_pos", "hand_action")
    values: dict[str, Any] = {name: repeated(getattr(clip, name)) for name in fields if getattr(clip, name) is not None}
    write_clip(attrs.evolve(clip, object=track, **values), folder, robot)
    return folder


def rewritten(source: Path, folder: Path, dump: Callable[[object, Path], object]) -> Path:
    """Write the first motion of a library again, another way."""
    stem = min(path.stem for path in (source / "robot").glob("*.pkl"))
    for part in PARTS:
        path = source / part / f"{stem}.pkl"
        if path.is_file():
            (folder / part).mkdir(parents=True)
            dump(load_safe(path), folder / part / path.name)
    return folder


def pickled(content: object, path: Path) -> None:
    """Write a plain pickle, without joblib."""
    path.write_bytes(pickle.dumps(content, protocol=4))


def measure(name: str, folder: Path, robot: RobotSpec, reference: Callable[[Path], object]) -> None:
    """Print what one motion costs file by file, and as a clip."""
    files = [path for part in PARTS for path in sorted((folder / part).glob("*.pkl"))[:1]]
    safe, usual = (milliseconds(lambda read=read: [read(path) for path in files]) for read in (load_safe, reference))
    source = GrailReader().open(MotionCfg(data=str(folder)))
    clip = milliseconds(lambda: source.read(source.keys[0]))
    motion, _ = source.read(source.keys[0])
    judged = milliseconds(lambda: check_clip(motion, robot, Needs()))
    print(
        f"{name:22} files: safe {safe:6.2f} ms, reference {usual:6.2f} ms, safe/reference {safe / usual:5.2f}; "
        f"clip: {1e3 / clip:5.0f} clips/s read, {1e3 / (clip + judged):5.0f} read and checked"
    )


def read_pickle(path: Path) -> object:
    """Read a plain pickle as the standard library does, which runs what is in it."""
    return pickle.loads(path.read_bytes())


def main() -> None:
    """Measure compressed and plain files of joblib, and plain pickles."""
    robot = g1_43dof()
    real = Path(os.environ.get("GRAIL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "grail" / "largebox_ha"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        given = Path(sys.argv[1]) if len(sys.argv) > 1 else real
        source = given if given.is_dir() else made_library(root / "made", robot)
        for compress in ((3, "zlib"), (0, "plain")):
            target = rewritten(
                source, root / compress[1], lambda content, path, how=compress[0]: joblib.dump(content, path, compress=how)
            )
            measure(f"joblib, {compress[1]}", target, robot, joblib.load)
        measure("pickle, plain", rewritten(source, root / "pickle", pickled), robot, read_pickle)


if __name__ == "__main__":
    main()
