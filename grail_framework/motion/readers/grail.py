"""The GRAIL/SONIC motion library: joblib pickles in `robot/`, `objects/` and `meta/`, assets in `object_usd/`, shapes in `bps/`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from grail_framework.errors import DataError
from grail_framework.motion.clip import MotionClip
from grail_framework.motion.faults import BadClipError, ClipFault
from grail_framework.motion.readers.entry import Entry
from grail_framework.motion.readers.grail_entries import JOINT_NAMES, parse_object, parse_robot, parse_table
from grail_framework.motion.readers.grail_layout import GrailLayout, find_layout, find_robot_motions, index_motions
from grail_framework.motion.safe_pickle import load_safe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grail_framework.config.scene import MotionCfg

_log = logging.getLogger(__name__)
_BPS_WIDTH = 10


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
            DataError: a folder is missing, two files have one stem, or the single file cannot be read.
        """
        return GrailSource(find_layout(cfg))


class GrailSource:
    """An opened library; the files of a motion are read when it is asked for."""

    def __init__(self, layout: GrailLayout) -> None:
        self._layout = layout
        self._robot = _Entries(layout.robot)
        self._objects = _Entries(layout.objects) if layout.objects is not None else None
        if not self._robot.keys:
            raise DataError(f"{layout.robot}: holds no motion files (.pkl)")
        self._report_leftovers()

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
        robot_entry = self._robot.load(key)
        robot = parse_robot(robot_entry, notes)
        track, object_name = None, ""
        if self._objects is not None and key in self._objects.keys:
            object_entry = self._objects.load(key)
            track, object_name = parse_object(object_entry, robot.fps, notes), object_entry.text("object_name")
        meta = self._meta(key)
        table = parse_table(meta, notes) if meta is not None else None
        clip = MotionClip(
            key=key,
            path=robot_entry.path,
            fps=robot.fps,
            joint_names=JOINT_NAMES,
            root_pos=robot.root_pos,
            root_quat=robot.root_quat,
            joint_pos=robot.joint_pos,
            object=track,
            object_usd=self._layout.usd_of(key),
            object_name=object_name or (meta.text("object_name") if meta is not None else ""),
            hand_action=robot.hand_action,
            table_pos=table.pos if table else None,
            table_quat=table.quat if table else None,
            table_size=table.size if table else None,
            bps=self._bps(key, notes),
        )
        return clip, notes

    def _meta(self, key: str) -> Entry | None:
        if self._layout.meta is None:
            return None
        path = self._layout.meta / f"{key}.pkl"
        return Entry(path, key, _load_dict(path, key)) if path.is_file() else None

    def _bps(self, key: str, notes: list[ClipFault]) -> np.ndarray | None:
        if self._layout.bps is None:
            return None
        path = self._layout.bps / f"{key}.npy"
        if not path.is_file():
            notes.append(ClipFault(path=path, key=key, reason="no basis point set for this motion", fatal=False))
            return None
        try:
            # Mapped rather than read: a header that claims more data than the file has is refused before memory is taken.
            value = np.array(np.load(path, allow_pickle=False, mmap_mode="r"), dtype=np.float32)
        except (ValueError, OSError, EOFError) as error:
            raise BadClipError(ClipFault(path=path, key=key, reason=f"no readable array ({error})")) from error
        if value.shape != (_BPS_WIDTH,) or not np.isfinite(value).all():
            reason = f"a basis point set of the shape {value.shape}, allowed: {_BPS_WIDTH} finite numbers"
            raise BadClipError(ClipFault(path=path, key=key, reason=reason))
        return value

    def _report_leftovers(self) -> None:
        motions = set(self.keys)
        parts: list[tuple[str, set[str]]] = [("object assets", set(self._layout.usd))]
        if self._objects is not None:
            parts.append(("object motions", set(self._objects.keys)))
        for what, stems in parts:
            extra = sorted(stems - motions)
            if extra:
                _log.warning("%d %s have no robot motion, the first: %s", len(extra), what, ", ".join(extra[:5]))


class _Entries:
    """The motion entries of a folder (one file each) or of a single file."""

    def __init__(self, path: Path) -> None:
        self._all: dict[str, dict[Any, Any]] | None = None
        self._path = path
        self._paths: dict[str, Path] = {}
        if path.is_dir():
            self._paths = index_motions(path)
        else:
            self._all = _load_monolith(path)
        self.keys: Sequence[str] = tuple(sorted(self._paths if self._all is None else self._all))

    def load(self, key: str) -> Entry:
        """Return the entry of a motion.

        Raises:
            BadClipError: the file cannot be read or holds several motions.
        """
        if self._all is not None:
            return Entry(self._path, key, self._all[key])
        path = self._paths[key]
        content = _load_dict(path, key)
        nested = [value for value in content.values() if isinstance(value, dict)]
        if len(content) == 1 and nested:
            return Entry(path, key, nested[0])
        if len(nested) == len(content):
            reason = f"holds {len(content)} motions; in a folder each file holds one (name the file itself to read all of them)"
            raise BadClipError(ClipFault(path=path, key=key, reason=reason))
        return Entry(path, key, content)


def _load_dict(path: Path, key: str) -> dict[Any, Any]:
    try:
        content = load_safe(path)
    except DataError as error:
        raise BadClipError(ClipFault(path=path, key=key, reason=str(error).removeprefix(f"{path}: "))) from error
    if not isinstance(content, dict) or not content:
        raise BadClipError(ClipFault(path=path, key=key, reason=f"holds a {type(content).__name__}, allowed: a dictionary"))
    return content


def _load_monolith(path: Path) -> dict[str, dict[Any, Any]]:
    content = load_safe(path)
    if not isinstance(content, dict) or not content or not all(isinstance(value, dict) for value in content.values()):
        raise DataError(f"{path}: allowed is a dictionary of motions, each a dictionary")
    if len(content) == 1:
        # The single entry of a per-motion file may be called anything; other files of the motion are found by stem.
        return {path.stem: next(iter(content.values()))}
    return {str(key): value for key, value in sorted(content.items(), key=lambda item: str(item[0]))}
