"""Names, types and the header of a packed store.

A store is a folder: `store.json` (the header: what it is, for which robot and rate, and size and hash of the other files), `index.json`
(names, faults, and the files it was made from), `motions.npy` (one record per motion), and the rows of all motions behind one another in
`robot.npy`, `objects.npy`, `contacts.npy` and `hands.npy`. Nothing in it is a pickle.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, Self

import attrs
import numpy as np

from grail_framework.errors import DataError
from grail_framework.motion.compact import CONTACT_RUN, HAND_RUN, MOTION, POSE_WIDTH

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grail_framework.robots.spec import RobotSpec

FORMAT: Final = "grail-packed-motions"
VERSION: Final = 1
STORE_FOLDER: Final = "packed"
"""Folder of the store inside the library it was made from."""
HEADER: Final = "store.json"
INDEX: Final = "index.json"
_FLOAT: Final = np.dtype("<f4")


class StoreError(DataError):
    """A packed store that is damaged, of another version, or not made from what is there."""


@attrs.frozen(kw_only=True)
class StoreKey:
    """What must be equal for a store to stand in for the files."""

    joints: tuple[tuple[str, float, float], ...]
    """Motion joints of the robot in its order, with the range they were checked against. [rad]"""
    fps: float
    reader: str
    options: Mapping[str, Any]
    """What besides the files decides what is read from them."""

    @classmethod
    def of(cls, robot: RobotSpec, *, fps: float, reader: str, options: Mapping[str, Any]) -> Self:
        """Make the key for a robot, a target rate, a reader and its options."""
        joints = tuple((joint.name, joint.lower, joint.upper) for joint in robot.joints[: robot.num_motion_joints])
        return cls(joints=joints, fps=fps, reader=reader, options=dict(options))

    def to_plain(self) -> dict[str, Any]:
        """Return plain values as JSON has them."""
        return json.loads(json.dumps({name: getattr(self, name) for name in ("joints", "fps", "reader", "options")}))

    def differences(self, plain: Mapping[str, Any], *, ignore: tuple[str, ...] = ()) -> list[str]:
        """Say in which parts the key of a store, as plain values, differs from this one."""
        words = {
            "joints": "the robot's joints",
            "fps": "target_fps",
            "reader": "the reader",
            "options": "paths or format options",
        }
        own = self.to_plain()
        return [words[name] for name in own if name not in ignore and own[name] != plain.get(name)]


def arrays(num_joints: int) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Return dtype and shape of a row of each array file, by its stem."""
    return {
        "motions": (MOTION, ()),
        "robot": (_FLOAT, (POSE_WIDTH + num_joints,)),
        "objects": (_FLOAT, (POSE_WIDTH,)),
        "contacts": (CONTACT_RUN, ()),
        "hands": (HAND_RUN, ()),
    }


def is_store(folder: Path) -> bool:
    """Say whether a folder is a packed store, whole or not."""
    return (folder / HEADER).is_file()


def seal(header: Mapping[str, Any]) -> str:
    """Return the header as text, with a hash of itself."""
    return json.dumps({**header, "blake2b": _hash_of(header)}, indent=1) + "\n"


def read_header(folder: Path) -> dict[str, Any]:
    """Read and check the header of a store.

    Raises:
        StoreError: there is none, it was changed, or it is of another format version.
    """
    path = folder / HEADER
    try:
        header = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise StoreError(f"{path} is no header of a packed store")
    if header.get("version") != VERSION:
        raise StoreError(f"{path} is of format version {header.get('version')}, this release reads {VERSION}")
    given = header.pop("blake2b", None)
    if given != _hash_of(header):
        raise StoreError(f"{path} was changed after it was written")
    return header


def hash_file(path: Path) -> str:
    """Return the blake2b of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _hash_of(header: Mapping[str, Any]) -> str:
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
