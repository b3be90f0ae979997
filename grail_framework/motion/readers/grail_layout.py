"""Where the files of a GRAIL motion library are, and which stems they have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from grail_framework.errors import DataError
from grail_framework.motion.readers.companions import (
    Companions,
    find_companions,
    group_files,
    index_files,
    library_root,
    named_or_usual,
)

if TYPE_CHECKING:
    from grail_framework.config.scene import MotionCfg

__all__ = ["GrailLayout", "find_layout", "find_robot_motions", "group_motions", "index_files"]


@attrs.frozen(kw_only=True)
class GrailLayout:
    """The folders (or single files) of one library; what is None does not exist."""

    robot: Path
    """Folder with one file per motion, or one file with all motions."""
    objects: Path | None
    companions: Companions


def find_robot_motions(cfg: MotionCfg) -> Path | None:
    """Find the folder or file with the robot motions; None where there is none."""
    if cfg.robot_dir is not None:
        return Path(cfg.robot_dir).expanduser()
    if cfg.data is None:
        return None
    data = Path(cfg.data).expanduser()
    if (data / "robot").is_dir():
        return data / "robot"
    return data if data.suffix == ".pkl" or any(data.glob("*.pkl")) else None


def find_layout(cfg: MotionCfg) -> GrailLayout:
    """Find all parts of a library; explicit folders of the configuration override the places where they usually are.

    Raises:
        DataError: there are no robot motions, or a folder the configuration names does not exist.
    """
    robot = find_robot_motions(cfg)
    if robot is None or not robot.exists():
        raise DataError(f"no robot motions: {robot or cfg.data} does not exist or holds no robot/*.pkl; check --data")
    return GrailLayout(
        robot=robot,
        objects=named_or_usual(cfg.object_dir, "object_dir", [library_root(cfg, robot) / "objects"]),
        companions=find_companions(cfg, robot),
    )


def group_motions(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Map the stems of all pickles below a folder to their paths, without the optional table of lengths (`metadata.pkl`)."""
    return {key: paths for key, paths in group_files(folder, (".pkl",)).items() if not key.endswith("metadata")}
