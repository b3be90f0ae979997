"""What lies beside the motions of a library, found by their stems: object assets, meta files, basis point sets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from grail_framework.errors import DataError
from grail_framework.motion.faults import BadClipError, ClipFault
from grail_framework.motion.readers.entry import Entry
from grail_framework.motion.safe_pickle import load_safe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from grail_framework.config.scene import MotionCfg

USD_SUFFIXES: Final = (".usd", ".usda", ".usdc", ".usdz")
_PLACEHOLDER: Final = "flat_placeholder"
"""Stem of the stand-in asset of flat ground; it belongs to no motion."""
_BPS_WIDTH: Final = 10


@attrs.frozen(kw_only=True)
class Companions:
    """Folders beside the motions; what is None does not exist."""

    meta: Path | None
    bps: Path | None
    usd: dict[str, tuple[Path, ...]]
    """Object assets by stem; more than one is a fault of the motion."""
    common_usd: Path | None
    """One asset for all motions, where the configuration names a single file."""
    broken_links: tuple[Path, ...] = ()
    """Folders that are links to nowhere."""

    def usd_of(self, key: str) -> Path | None:
        """Return the object asset of a motion.

        Raises:
            BadClipError: there are two.
        """
        if self.common_usd is not None:
            return self.common_usd
        found = self.usd.get(key, ())
        if len(found) > 1:
            raise BadClipError(ClipFault(path=found[0], key=key, reason=f"has one stem with {found[1]}: remove or rename one"))
        return found[0] if found else None

    def meta_of(self, key: str, notes: list[ClipFault]) -> Entry | None:
        """Read the meta file of a motion; that it is missing where others are there is noted.

        Raises:
            BadClipError: it cannot be read.
        """
        if self.meta is None:
            return None
        path = self.meta / f"{key}.pkl"
        if not path.is_file():
            notes.append(ClipFault(path=path, key=key, reason="no meta file for this motion", fatal=False))
            return None
        content = load_dict(path, key)
        nested = next(iter(content.values()))
        return Entry(path, key, nested if len(content) == 1 and isinstance(nested, dict) else content)

    def bps_of(self, key: str, notes: list[ClipFault]) -> np.ndarray | None:
        """Read the basis point set of a motion; that it is missing where others are there is noted.

        Raises:
            BadClipError: it cannot be read, or has another width.
        """
        if self.bps is None:
            return None
        path = self.bps / f"{key}.npy"
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

    def leftovers(self, keys: Collection[str]) -> list[ClipFault]:
        """Return faults of what belongs to no motion, and of links to nowhere. None is fatal."""
        faults = [
            ClipFault(path=path, key="", reason=f"is a link to {path.readlink()}, which does not exist", fatal=False)
            for path in self.broken_links
        ]
        return faults + unmatched("object assets", {stem: paths[0] for stem, paths in self.usd.items()}, keys)


def unmatched(what: str, files: Mapping[str, Path], keys: Collection[str]) -> list[ClipFault]:
    """Return a fault for files whose stems are no motions."""
    extra = sorted(set(files).difference(keys))
    if not extra:
        return []
    reason = f"{len(extra)} {what} have no robot motion, the first: {', '.join(extra[:5])}"
    return [ClipFault(path=files[extra[0]], key=extra[0], reason=reason, fatal=False)]


def load_dict(path: Path, key: str) -> dict[Any, Any]:
    """Read a pickle that holds a dictionary.

    Raises:
        BadClipError: it cannot be read, is refused, or holds something else.
    """
    try:
        content = load_safe(path)
    except DataError as error:
        raise BadClipError(ClipFault(path=path, key=key, reason=str(error).removeprefix(f"{path}: "))) from error
    if not isinstance(content, dict) or not content:
        raise BadClipError(ClipFault(path=path, key=key, reason=f"holds a {type(content).__name__}, allowed: a dictionary"))
    return content


def find_companions(cfg: MotionCfg, motions: Path) -> Companions:
    """Find what lies beside the motions; explicit folders of the configuration override the places where they usually are.

    Args:
        cfg: the configuration.
        motions: the folder or file the motions are in.

    Raises:
        DataError: a folder the configuration names does not exist.
    """
    root = library_root(cfg, motions)
    real = root.resolve()
    usual_bps = [root / "bps"]
    if real.name.endswith("_ha"):
        usual_bps.append(real.with_name(real.name.removesuffix("_ha")) / "bps")
    usd, common_usd = _find_usd(cfg, root)
    return Companions(
        meta=named_or_usual(cfg.meta_dir, "meta_dir", [motions.parent / "meta", root / "meta"]),
        bps=named_or_usual(cfg.bps_dir, "bps_dir", usual_bps),
        usd=usd,
        common_usd=common_usd,
        broken_links=tuple(path for name in ("objects", "object_usd", "meta", "bps") if _leads_nowhere(path := root / name)),
    )


def library_root(cfg: MotionCfg, motions: Path) -> Path:
    """Return the folder the other parts are beside, whether the library, its robot folder or one file of it was named."""
    named = Path(cfg.data).expanduser() if cfg.data is not None else motions
    folder = named if named.is_dir() else named.parent
    return folder.parent if folder.name == "robot" else folder


def named_or_usual(named: str | None, field: str, usual: list[Path]) -> Path | None:
    """Return the folder the configuration names, or the first usual one that is there.

    Raises:
        DataError: the named one does not exist.
    """
    if named is not None:
        path = Path(named).expanduser()
        if not path.exists():
            raise DataError(f"motion.{field}: {path} does not exist")
        return path
    return next((path for path in usual if path.exists()), None)


def group_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, tuple[Path, ...]]:
    """Map the stems of all files below a folder to their paths, sorted by stem."""
    found: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix in suffixes):
        found.setdefault(path.stem, []).append(path)
    return {stem: tuple(paths) for stem, paths in sorted(found.items())}


def index_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Map the stems of all files below a folder to their paths, sorted by stem.

    Raises:
        DataError: two files have one stem.
    """
    found = group_files(folder, suffixes)
    for paths in found.values():
        if len(paths) > 1:
            raise DataError(
                f"{paths[0]} and {paths[1]} have one stem; every motion needs a stem of its own, so rename or remove one"
            )
    return {stem: paths[0] for stem, paths in found.items()}


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _find_usd(cfg: MotionCfg, root: Path) -> tuple[dict[str, tuple[Path, ...]], Path | None]:
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


def _usd_folder(folder: Path) -> dict[str, tuple[Path, ...]]:
    return {key: paths for key, paths in group_files(folder, USD_SUFFIXES).items() if key != _PLACEHOLDER}


def _usd_list(entries: Iterable[str], base: Path) -> dict[str, tuple[Path, ...]]:
    """Resolve a list whose entries are files, or regular expressions matched whole against the file names of `base`."""
    present = [path for paths in _usd_folder(base).values() for path in paths] if base.is_dir() else []
    found: dict[str, dict[Path, None]] = {}
    for entry in (entry.strip() for entry in entries):
        if entry and not entry.startswith("#"):
            for path in _usd_entry(entry, base, present):
                found.setdefault(path.stem, {})[path] = None
    return {stem: tuple(paths) for stem, paths in sorted(found.items())}


def _usd_entry(entry: str, base: Path, present: list[Path]) -> list[Path]:
    path = Path(entry).expanduser()
    if path.exists() or (base / path).exists():
        return [path if path.exists() else base / path]
    try:
        hits = [usd for usd in present if re.fullmatch(entry, usd.name) or re.fullmatch(entry, usd.stem)]
    except re.error:
        hits = []
    if not hits:
        raise DataError(f"motion.object_usd: {entry!r} is no file and matches no asset in {base}")
    return hits
