"""Motions that are one file each, found by their stems: what the npz and CSV readers share."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from grail_framework.errors import DataError
from grail_framework.motion.clip import MotionClip
from grail_framework.motion.faults import BadClipError, ClipFault
from grail_framework.motion.readers.companions import find_companions, group_files
from grail_framework.motion.readers.grail_entries import parse_table
from grail_framework.motion.readers.grail_layout import find_robot_motions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from grail_framework.config.scene import MotionCfg
    from grail_framework.motion.clip import ObjectTrack
    from grail_framework.motion.readers.entry import Entry

_log = logging.getLogger(__name__)
DEFAULT_FPS = 30.0
"""Frame rate of files that do not state theirs, where the user gives none (LAFAN1 retargeted by Unitree, ProtoMotions). [1/s]"""


@attrs.frozen(kw_only=True, eq=False)
class FileMotion:
    """What one file says about the robot, and about the object where it has one."""

    fps: float
    joint_names: tuple[str, ...]
    root_pos: np.ndarray  # (T, 3)
    root_quat: np.ndarray  # (T, 4) wxyz
    joint_pos: np.ndarray  # (T, len(joint_names))
    object: ObjectTrack | None = None
    object_name: str = ""
    hand_action: np.ndarray | None = None  # (T, 2)


def motion_files(cfg: MotionCfg, suffix: str) -> Path | None:
    """Return the file or folder of motions with this suffix, looking at names only; None: there is none, or pickles are there.

    A folder with pickles is a library of the GRAIL layout, whatever else it holds.
    """
    where = cfg.robot_dir or cfg.data
    if where is None:
        return None
    path = Path(where).expanduser()
    if path.is_file():
        return path if path.suffix == suffix else None
    if not path.is_dir():
        return None
    path = path / "robot" if (path / "robot").is_dir() else path
    pickles = find_robot_motions(cfg)
    if pickles is not None and any(pickles.rglob("*.pkl")):
        return None
    return path if any(path.rglob(f"*{suffix}")) else None


class StemSource:
    """An opened library of one file per motion, with the assets, tables and basis point sets beside it."""

    def __init__(
        self,
        cfg: MotionCfg,
        suffix: str,
        load: Callable[[Path, str], Entry],
        parse: Callable[[Entry, MotionCfg, list[ClipFault]], FileMotion],
    ) -> None:
        """List the motions.

        Args:
            cfg: where they are.
            suffix: of their files.
            load: reads a file into an entry.
            parse: makes a motion of an entry; what was assumed is appended to the list.

        Raises:
            DataError: there are none.
        """
        folder = motion_files(cfg, suffix)
        if folder is None:
            raise DataError(f"{cfg.robot_dir or cfg.data}: holds no motion files (*{suffix}); check --data")
        self._cfg, self._load, self._parse = cfg, load, parse
        self._beside = find_companions(cfg, folder)
        self._paths = {folder.stem: (folder,)} if folder.is_file() else group_files(folder, (suffix,))
        self.keys: Sequence[str] = tuple(self._paths)
        for fault in self.library_faults():
            _log.warning("%s", fault)

    def read(self, key: str) -> tuple[MotionClip, list[ClipFault]]:
        """Read one motion; the faults are those that do not prevent its use.

        Raises:
            BadClipError: a file of the motion cannot be read.
        """
        path, *others = self._paths[key]
        if others:
            reason = f"{others[0]} has the same; every motion needs one stem of its own, so rename or remove one"
            raise BadClipError(ClipFault(path=path, key=key, reason=reason))
        notes: list[ClipFault] = []
        motion = self._parse(self._load(path, key), self._cfg, notes)
        meta = self._beside.meta_of(key, notes)
        table = parse_table(meta, notes) if meta is not None else None
        clip = MotionClip(
            key=key,
            path=path,
            fps=motion.fps,
            joint_names=motion.joint_names,
            root_pos=motion.root_pos,
            root_quat=motion.root_quat,
            joint_pos=motion.joint_pos,
            object=motion.object,
            object_usd=self._beside.usd_of(key),
            object_name=motion.object_name or (meta.text("object_name") if meta is not None else ""),
            hand_action=motion.hand_action,
            table_pos=table.pos if table else None,
            table_quat=table.quat if table else None,
            table_size=table.size if table else None,
            meta=meta.path if meta is not None else None,
            meta_keys=tuple(sorted(map(str, meta.values))) if meta is not None else (),
            bps=self._beside.bps_of(key, notes),
        )
        return clip, notes

    def library_faults(self) -> list[ClipFault]:
        """Return what is wrong beside the motions: assets of no motion, links to nowhere. None of it is fatal."""
        return self._beside.leftovers(self.keys)


def frame_rate(entry: Entry, cfg: MotionCfg, notes: list[ClipFault]) -> float:
    """Return the rate of a file: its own `fps`, else the one the user gives, else 30, which is noted."""
    if "fps" not in entry and cfg.source_fps is None:
        notes.append(entry.fault(f"no frame rate; {DEFAULT_FPS:g} is assumed (motion.source_fps names another)", fatal=False))
    return entry.number("fps", cfg.source_fps or DEFAULT_FPS)
