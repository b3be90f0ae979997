"""Motions as CSV tables: a row a frame, root position [m], root quaternion, joint angles [rad].

- Without a header: x, y, z, four quaternion components, then the 29 joints in the order of the Unitree G1 MJCF (left leg, right leg,
  waist, left arm, right arm).
- With a header: columns by name, in any order. Position `x y z`, quaternion `qw qx qy qz` (each may carry `root_`, `pos_`, `quat_`,
  `rot_`: `root_pos_x`, `root_quat_w`), joints by their names, `left_knee`, `left_knee_joint` or `left_knee_joint_dof`. Columns `frame`
  and `time` are ignored.

Files of different sources write the quaternion as wxyz (ProtoMotions) or xyzw (LAFAN1 as retargeted by Unitree), and none states it:
it is detected and reported, or refused where it does not show. The frame rate is 30 unless the user gives one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from grail_framework.motion.faults import BadClipError, ClipFault
from grail_framework.motion.readers.entry import Entry
from grail_framework.motion.readers.joints import JOINT_NAMES, complete, joint_name
from grail_framework.motion.readers.orientation import root_quaternions
from grail_framework.motion.readers.stem_source import FileMotion, StemSource, frame_rate, motion_files
from grail_framework.motion.safe_pickle import MAX_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.config.scene import MotionCfg

_ROOT: Final = 7
_IGNORED: Final = ("frame", "time", "timestamp", "t", "index")
_ROOT_COLUMN: Final = re.compile(r"(?:root|base|pelvis)?_?(?:trans|pos|position|quat|quaternion|rot|q)?_?([wxyz])")
_QUATERNION_COLUMN: Final = re.compile(r"(?:root|base|pelvis)?_?(?:quat|quaternion|rot|q)_?[wxyz]")


class CsvReader:
    """Reads folders of CSV tables, one per motion."""

    name = "csv"
    layout = "DIR/<stem>.csv: x, y, z, quaternion, 29 joints in the order of the Unitree G1 MJCF, or columns by name"

    def detect(self, cfg: MotionCfg) -> bool:
        """Say whether there are CSV tables where the configuration points, and neither pickles nor npz archives."""
        return motion_files(cfg, ".csv") is not None and motion_files(cfg, ".npz") is None

    def open(self, cfg: MotionCfg) -> StemSource:
        """List the motions.

        Raises:
            DataError: there are none.
        """
        return StemSource(cfg, ".csv", load_csv, parse_csv)


def load_csv(path: Path, key: str) -> Entry:
    """Read one table as `columns` (its header, None without one) and `rows` (T, columns).

    Raises:
        BadClipError: it is no table of numbers.
    """

    def fail(reason: str, frame: int | None = None) -> BadClipError:
        return BadClipError(ClipFault(path=path, key=key, frame=frame, reason=reason))

    try:
        if path.stat().st_size > MAX_BYTES:
            raise fail(f"is larger than {MAX_BYTES} bytes, which no motion needs")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise fail(f"no readable text ({error})") from error
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    if not lines:
        raise fail("is empty")
    separator = next((mark for mark in (",", ";", "\t") if mark in lines[0]), None)
    cells = [cell.strip().strip('"') for cell in lines[0].split(separator)]
    header = None if all(_is_number(cell) for cell in cells) else cells
    rows = lines if header is None else lines[1:]
    if not rows:
        raise fail("has a header and no rows")
    try:
        table = np.loadtxt(rows, delimiter=separator, dtype=np.float64, ndmin=2, comments=None)
    except ValueError as error:
        raise fail(*_first_bad_row(rows, separator, len(cells), str(error))) from error
    if table.shape[1] != len(cells):
        raise fail(f"has {len(cells)} columns in its header and {table.shape[1]} in its rows", 0)
    values: dict[Any, Any] = {"columns": header, "rows": table}
    return Entry(path, key, values)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _first_bad_row(rows: list[str], separator: str | None, width: int, error: str) -> tuple[str, int | None]:
    for frame, row in enumerate(rows):
        cells = row.split(separator)
        bad = next((cell for cell in cells if not _is_number(cell)), None)
        if bad is not None:
            return f"holds {bad.strip()!r}, allowed: numbers", frame
        if len(cells) != width:
            return f"has {len(cells)} columns in this row and {width} in the first; is the file truncated?", frame
    return f"no table of numbers ({error})", None


def parse_csv(entry: Entry, cfg: MotionCfg, notes: list[ClipFault]) -> FileMotion:
    """Make a motion of a table; what was detected or assumed is appended to `notes`.

    Raises:
        BadClipError: the columns are not those of a motion, or the order of the quaternion does not show.
    """
    columns: list[str] | None = entry.values["columns"]
    rows = entry.array("rows", None, None)
    if columns is None:
        names = _names_of_width(entry, rows.shape[1])
        root_pos, root_quat, joints = rows[:, :3], rows[:, 3:_ROOT], rows[:, _ROOT:]
        root_quat = root_quaternions(entry, "the root rotation", root_quat, given=cfg.quat_order, usual=None, notes=notes)
    else:
        root_pos, root_quat, names, joints = _by_name(entry, columns, rows)
    names, joints = complete(entry, names, joints, map_23dof=cfg.map_23dof, notes=notes)
    return FileMotion(
        fps=frame_rate(entry, cfg, notes), joint_names=names, root_pos=root_pos, root_quat=root_quat, joint_pos=joints
    )


def _names_of_width(entry: Entry, width: int) -> tuple[str, ...]:
    if width == _ROOT + len(JOINT_NAMES):
        return JOINT_NAMES
    entry.fail(
        f"has {width} columns and no header, allowed: {_ROOT + len(JOINT_NAMES)} (x, y, z, quaternion and the {len(JOINT_NAMES)} "
        "joints of the Unitree G1 MJCF); name the columns in a first line if they are others"
    )


def _by_name(entry: Entry, columns: list[str], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
    position: dict[str, int] = {}
    quaternion: dict[str, int] = {}
    joints: dict[str, int] = {}
    for index, column in enumerate(columns):
        name = column.lower()
        root = _ROOT_COLUMN.fullmatch(name)
        if name in _IGNORED:
            continue
        kind, label = joints, joint_name(name)
        if root is not None:
            kind, label = (quaternion if _QUATERNION_COLUMN.fullmatch(name) else position), root.group(1)
        if label in kind:
            entry.fail(f"the columns {columns[kind[label]]!r} and {column!r} are the same")
        kind[label] = index
    for what, found, wanted in (("position", position, "xyz"), ("quaternion", quaternion, "wxyz")):
        if sorted(found) != sorted(wanted):
            example = ", ".join(f"root_{'quat' if len(wanted) == 4 else 'pos'}_{axis}" for axis in wanted)
            entry.fail(f"the header names no whole root {what}, allowed: {example}; it has {', '.join(columns[:9])}")
    return (
        rows[:, [position[axis] for axis in "xyz"]],
        rows[:, [quaternion[axis] for axis in "wxyz"]],
        tuple(joints),
        rows[:, list(joints.values())],
    )
