"""Where the files of a GRAIL motion library are, and which stems they have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from grail_framework.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grail_framework.config.scene import MotionCfg

_USD_SUFFIXES = (".usd", ".usda", ".usdc")
_PLACEHOLDER = "flat_placeholder"
"""Stem of the stand-in asset of flat ground; it belongs to no motion."""


@attrs.frozen(kw_only=True)
class GrailLayout:
    """The folders (or single files) of one library; what is None does not exist."""

    robot: Path
    """Folder with one file per motion, or one file with all motions."""
    objects: Path | None
    meta: Path | None
    bps: Path | None
    usd: dict[str, Path]
    """Object assets by stem."""
    common_usd: Path | None
    """One asset for all motions, where the configuration names a single file."""

    def usd_of(self, key: str) -> Path | None:
        """The object asset of a motion."""
        return self.common_usd or self.usd.get(key)


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
    root = _library_root(cfg, robot)
    real = root.resolve()
    usual_bps = [root / "bps"]
    if real.name.endswith("_ha"):
        usual_bps.append(real.with_name(real.name.removesuffix("_ha")) / "bps")
    usd, common_usd = _find_usd(cfg, root)
    return GrailLayout(
        robot=robot,
        objects=_named_or_usual(cfg.object_dir, "object_dir", [root / "objects"]),
        meta=_named_or_usual(cfg.meta_dir, "meta_dir", [robot.parent / "meta", root / "meta"]),
        bps=_named_or_usual(cfg.bps_dir, "bps_dir", usual_bps),
        usd=usd,
        common_usd=common_usd,
    )


def index_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Map the stems of all files below a folder to their paths, sorted by stem.

    Raises:
        DataError: two files have one stem.
    """
    return _by_stem(path for path in folder.rglob("*") if path.suffix in suffixes)


def index_motions(folder: Path) -> dict[str, Path]:
    """Map the stems of all pickles below a folder to their paths, without the optional table of lengths (`metadata.pkl`).

    Raises:
        DataError: two files have one stem.
    """
    return {key: path for key, path in index_files(folder, (".pkl",)).items() if not key.endswith("metadata")}


def _library_root(cfg: MotionCfg, robot: Path) -> Path:
    """The folder the other parts are beside, whether the library, its robot folder or one file of it was named."""
    named = Path(cfg.data).expanduser() if cfg.data is not None else robot
    folder = named if named.is_dir() else named.parent
    return folder.parent if folder.name == "robot" else folder


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(paths):
        other = found.setdefault(path.stem, path)
        if other != path:
            raise DataError(f"{other} and {path} have one stem; every motion needs a stem of its own, so rename or remove one")
    return dict(sorted(found.items()))


def _named_or_usual(named: str | None, field: str, usual: list[Path]) -> Path | None:
    if named is not None:
        path = Path(named).expanduser()
        if not path.exists():
            raise DataError(f"motion.{field}: {path} does not exist")
        return path
    return next((path for path in usual if path.exists()), None)


def _find_usd(cfg: MotionCfg, root: Path) -> tuple[dict[str, Path], Path | None]:
    usual = root / "object_usd"
    if cfg.object_usd is None:
        return (_usd_folder(usual), None) if usual.is_dir() else ({}, None)
    if isinstance(cfg.object_usd, tuple):
        return _usd_list(cfg.object_usd, usual), None
    path = Path(cfg.object_usd).expanduser()
    if not path.exists():
        raise DataError(f"motion.object_usd: {path} does not exist")
    if path.is_dir():
        return _usd_folder(path), None
    if path.suffix == ".txt":
        return _usd_list(path.read_text(encoding="utf-8").split("\n"), path.parent), None
    return {}, path


def _usd_folder(folder: Path) -> dict[str, Path]:
    return {key: path for key, path in index_files(folder, _USD_SUFFIXES).items() if key != _PLACEHOLDER}


def _usd_list(entries: Iterable[str], base: Path) -> dict[str, Path]:
    """Resolve a list whose entries are files, or regular expressions matched whole against the file names of `base`."""
    present = list(_usd_folder(base).values()) if base.is_dir() else []
    found: list[Path] = []
    for entry in (entry.strip() for entry in entries):
        path = Path(entry).expanduser()
        if not entry or entry.startswith("#"):
            continue
        if path.exists() or (base / path).exists():
            found.append(path if path.exists() else base / path)
            continue
        try:
            hits = [usd for usd in present if re.fullmatch(entry, usd.name) or re.fullmatch(entry, usd.stem)]
        except re.error:
            hits = []
        if not hits:
            raise DataError(f"motion.object_usd: {entry!r} is no file and matches no asset in {base}")
        found.extend(hits)
    return _by_stem(dict.fromkeys(found))
