"""Reading motions of the GRAIL layout: the safe reader against joblib and pickle on the same files, and whole clips a second."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from grail_framework.bench.record import Goal, Row, Samples
from grail_framework.config.hardware import is_installed
from grail_framework.config.scene import MotionCfg
from grail_framework.errors import DataError
from grail_framework.motion.clip import MotionClip, ObjectTrack
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.safe_pickle import load_safe
from grail_framework.motion.validate import Needs, check_clip
from grail_framework.motion.writer import write_clip

if TYPE_CHECKING:
    from collections.abc import Callable

    from grail_framework.robots.spec import RobotSpec

PARTS: Final = ("robot", "objects", "meta")
FRAMES: Final = 325
CONTACT_FRAMES: Final = 240
FPS: Final = 50.0
ROUNDS: Final = 5
"""How often a motion is read in one measured block."""
CLIPS_GOAL: Final = Goal(bound=100.0, at_least=True, of_figure=True)
_JOBLIB: Final = "joblib"


@attrs.frozen(kw_only=True)
class Encoding:
    """A way to write a motion's files, and the usual way to read them, which runs what is in them."""

    name: str
    write: Callable[[object, Path], object]
    read: Callable[[Path], object]
    reader: str


def measure_reading(data: str | None, folder: Path, robot: RobotSpec, repeats: int) -> tuple[list[Row], list[str]]:
    """Read one motion, rewritten in each encoding; return the rows, and what was left out.

    Raises:
        DataError: the library `data` holds no motion in the GRAIL layout.
    """
    source = _made_library(folder / "made", robot) if data is None else Path(data).expanduser()
    rows: list[Row] = []
    for encoding in _encodings():
        # What is read back without protection was read with it and written here.
        target = _rewritten(source, folder / encoding.name.replace(" ", "_"), encoding)
        rows += _rows(encoding, target, robot, repeats)
    notes = [] if is_installed(_JOBLIB) else [f"files of {_JOBLIB} were left out: the package {_JOBLIB} is not installed"]
    return rows, notes


def _encodings() -> list[Encoding]:
    found = [Encoding(name="plain pickle", write=_write_pickle, read=_read_pickle, reader="pickle.loads")]
    if is_installed(_JOBLIB):
        import joblib

        found += [
            Encoding(
                name=f"joblib {name}",
                write=lambda content, path, how=compress: joblib.dump(content, path, compress=how),
                read=joblib.load,
                reader="joblib.load",
            )
            for name, compress in (("plain", 0), ("zlib", 3))
        ]
    return found


def _rows(encoding: Encoding, folder: Path, robot: RobotSpec, repeats: int) -> list[Row]:
    files = [path for part in PARTS for path in sorted((folder / part).glob("*.pkl"))[:1]]
    source = GrailReader().open(MotionCfg(data=str(folder)))
    motion, _ = source.read(source.keys[0])
    conditions = {"files": encoding.name, "bytes": sum(path.stat().st_size for path in files), "frames": len(motion.root_pos)}
    safe, usual = _in_turns(
        lambda: [load_safe(path) for path in files], lambda: [encoding.read(path) for path in files], repeats
    )
    read, judged = _in_turns(lambda: source.read(source.keys[0]), lambda: check_clip(motion, robot, Needs()), repeats)
    return [
        Row(
            unit="ms",
            figure=Samples(name=f"read a motion's files safely, {encoding.name}", values=[1e3 * took for took in safe]),
            reference=Samples(name=encoding.reader, values=[1e3 * took for took in usual]),
            conditions=conditions,
        ),
        Row(
            unit="clips/s",
            figure=Samples(name=f"read motions, {encoding.name}", values=[1.0 / took for took in read]),
            goal=CLIPS_GOAL,
            conditions=conditions,
            details={
                "read_and_checked_clips_per_s": 1.0
                / (Samples(name="", values=read).median + Samples(name="", values=judged).median)
            },
        ),
    ]


def _in_turns(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[list[float], list[float]]:
    """Processor time of a call of each, in turns, after a first one that warms up. [s]"""
    times: tuple[list[float], list[float]] = ([], [])
    first()
    second()
    for repeat in range(repeats):
        for which in (0, 1) if repeat % 2 else (1, 0):
            began = time.process_time()
            for _ in range(ROUNDS):
                (first, second)[which]()
            times[which].append((time.process_time() - began) / ROUNDS)
    return times


def _rewritten(source: Path, folder: Path, encoding: Encoding) -> Path:
    """Write the first motion of a library again, another way."""
    stem = min((path.stem for path in (source / "robot").glob("*.pkl")), default=None)
    if stem is None:
        raise DataError(f"--data: {source} holds no robot/*.pkl; the benchmark reads a motion of the GRAIL layout")
    for part in PARTS:
        path = source / part / f"{stem}.pkl"
        if path.is_file():
            (folder / part).mkdir(parents=True)
            encoding.write(load_safe(path), folder / part / path.name)
    return folder


def _made_library(folder: Path, robot: RobotSpec) -> Path:
    """Write one motion of the size of the published ones: standing, an object before it, both hands on it most of the time."""
    described = robot.num_motion_joints
    pose = np.array([joint.default_pos for joint in robot.joints[:described]], dtype=np.float32)
    root_pos = np.tile(np.array([0.0, 0.0, robot.spawn_height], np.float32), (FRAMES, 1))
    upright = np.tile(np.array([1.0, 0.0, 0.0, 0.0], np.float32), (FRAMES, 1))
    points = {frame: np.full((4, 3), 0.05, np.float32) for frame in range(FRAMES - CONTACT_FRAMES, FRAMES)}
    track = ObjectTrack(
        pos=root_pos + np.array([0.4, 0.0, 0.0], np.float32),
        quat=upright,
        fps=FPS,
        contact_points={"left": points, "right": points},
    )
    clip = MotionClip(
        key="stand",
        path=Path("stand.pkl"),
        fps=FPS,
        joint_names=robot.joint_names[:described],
        root_pos=root_pos,
        root_quat=upright,
        joint_pos=np.tile(pose, (FRAMES, 1)),
        object=track,
        hand_action=np.ones((FRAMES, 2), np.float32),
    )
    write_clip(clip, folder, robot)
    return folder


def _write_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=4))


def _read_pickle(path: Path) -> Any:
    return pickle.loads(path.read_bytes())
