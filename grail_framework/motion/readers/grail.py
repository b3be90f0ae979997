"""The GRAIL/SONIC motion library: joblib pickles in `robot/`, `objects/` and `meta/`, assets in `object_usd/`, shapes in `bps/`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from grail_framework.errors import DataError
from grail_framework.motion.clip import MotionClip
from grail_framework.motion.faults import BadClipError, ClipFault
from grail_framework.motion.readers.companions import load_dict, unmatched
from grail_framework.motion.readers.entry import Entry
from grail_framework.motion.readers.grail_entries import parse_object, parse_robot, parse_table
from grail_framework.motion.readers.grail_layout import GrailLayout, find_layout, find_robot_motions, group_motions
from grail_framework.motion.safe_pickle import load_safe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grail_framework.config.scene import MotionCfg

_log = logging.getLogger(__name__)


class GrailReader:
    """Reads the motion libraries of the GRAIL release, one file per motion or one file for all."""

    name = "grail"
    layout = (
        "DIR/robot/<stem>.pkl with DIR/objects, DIR/meta, DIR/object_usd and DIR/bps beside it, or one .pkl with all motions"
    )

    def detect(self, cfg: MotionCfg) -> bool:
        """Say whether there are robot motions as pickles where the configuration points."""
        robot = find_robot_motions(cfg)
        if robot is None or not robot.exists():
            return False
        return robot.suffix == ".pkl" if robot.is_file() else any(robot.rglob("*.pkl"))

    def open(self, cfg: MotionCfg) -> GrailSource:
        """List the motions of the library.

        Raises:
            DataError: a folder is missing, or the single file cannot be read.
        """
        return GrailSource(find_layout(cfg), cfg)


class GrailSource:
    """An opened library; the files of a motion are read when it is asked for."""

    def __init__(self, layout: GrailLayout, cfg: MotionCfg) -> None:
        self._layout = layout
        self._cfg = cfg
        self._robot = _Entries(layout.robot)
        self._objects = _Entries(layout.objects) if layout.objects is not None else None
        if not self._robot.keys:
            raise DataError(f"{layout.robot}: holds no motion files (.pkl)")
        for fault in self.library_faults():
            _log.warning("%s", fault)

    @property
    def keys(self) -> Sequence[str]:
        """Stems of all motions, sorted."""
        return self._robot.keys

    def read(self, key: str) -> tuple[MotionClip, list[ClipFault]]:
        """Read one motion; the faults are those that do not prevent its use.

        Raises:
            BadClipError: a file of the motion cannot be read.
        """
        notes: list[ClipFault] = []
        beside = self._layout.companions
        robot_entry = self._robot.load(key)
        robot = parse_robot(robot_entry, self._cfg, notes)
        track, object_name = None, ""
        if self._objects is not None and key in self._objects:
            object_entry = self._objects.load(key)
            track, object_name = parse_object(object_entry, robot.fps, notes), object_entry.text("object_name")
        meta = beside.meta_of(key, notes)
        table = parse_table(meta, notes) if meta is not None else None
        if table is None and "table_pos" in robot_entry:
            notes.append(
                robot_entry.fault(
                    "'table_pos' is in the robot file, which is not read: it belongs into meta/<stem>.pkl", fatal=False
                )
            )
        clip = MotionClip(
            key=key,
            path=robot_entry.path,
            fps=robot.fps,
            joint_names=robot.joint_names,
            root_pos=robot.root_pos,
            root_quat=robot.root_quat,
            joint_pos=robot.joint_pos,
            object=track,
            object_usd=beside.usd_of(key),
            object_name=object_name or (meta.text("object_name") if meta is not None else ""),
            hand_action=robot.hand_action,
            table_pos=table.pos if table else None,
            table_quat=table.quat if table else None,
            table_size=table.size if table else None,
            meta=meta.path if meta is not None else None,
            meta_keys=tuple(sorted(map(str, meta.values))) if meta is not None else (),
            bps=beside.bps_of(key, notes),
        )
        return clip, notes

    def library_faults(self) -> list[ClipFault]:
        """Return what is wrong beside the motions: files of no motion, links to nowhere. None of it is fatal."""
        faults = self._layout.companions.leftovers(self.keys)
        if self._objects is not None:
            faults += unmatched("object motions", self._objects.paths(), self.keys)
        return faults


class _Entries:
    """The motion entries of a folder (one file each) or of a single file."""

    def __init__(self, path: Path) -> None:
        self._all: dict[str, Any] | None = None
        self._path = path
        self._paths: dict[str, tuple[Path, ...]] = {}
        if path.is_dir():
            self._paths = group_motions(path)
        else:
            self._all = _load_monolith(path)
        self.keys: Sequence[str] = tuple(sorted(self._paths if self._all is None else self._all))

    def __contains__(self, key: str) -> bool:
        return key in (self._paths if self._all is None else self._all)

    def paths(self) -> dict[str, Path]:
        """Return the file of each motion."""
        return {key: self._path if self._all is not None else self._paths[key][0] for key in self.keys}

    def load(self, key: str) -> Entry:
        """Return the entry of a motion.

        Raises:
            BadClipError: the file cannot be read or holds several motions, or two files have this stem.
        """
        if self._all is not None:
            return self._of_monolith(key, self._all[key])
        path, *others = self._paths[key]
        if others:
            reason = f"{others[0]} has the same; every motion needs one stem of its own, so rename or remove one"
            raise BadClipError(ClipFault(path=path, key=key, reason=reason))
        content = load_dict(path, key)
        nested = [value for value in content.values() if isinstance(value, dict)]
        if len(content) == 1 and nested:
            return Entry(path, key, nested[0])
        if len(nested) == len(content):
            reason = f"holds {len(content)} motions; in a folder each file holds one (name the file itself to read all of them)"
            raise BadClipError(ClipFault(path=path, key=key, reason=reason))
        return Entry(path, key, content)

    def _of_monolith(self, key: str, value: object) -> Entry:
        if not isinstance(value, dict) or not value:
            reason = f"holds a {type(value).__name__} for this motion, allowed: a dictionary"
            raise BadClipError(ClipFault(path=self._path, key=key, reason=reason))
        return Entry(self._path, key, value)


def _load_monolith(path: Path) -> dict[str, Any]:
    content = load_safe(path)
    if not isinstance(content, dict) or not any(isinstance(value, dict) for value in content.values()):
        raise DataError(f"{path}: allowed is a dictionary of motions, each a dictionary")
    if len(content) == 1:
        # The single entry of a per-motion file may be called anything; other files of the motion are found by stem.
        return {path.stem: next(iter(content.values()))}
    return {str(key): value for key, value in sorted(content.items(), key=lambda item: str(item[0]))}
