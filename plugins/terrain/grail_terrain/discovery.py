"""Which motions and terrains a library holds, by the names of its files alone: motions and assets are paired by their stems."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from grail_framework.errors import ConfigError, DataError, suggest
from grail_framework.motion.selection import interleave_by_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grail_framework.config import MotionCfg

PLACEHOLDER: Final = "flat_placeholder.usd"
"""The asset that stands in flat environments; its stem belongs to no motion."""
FLAT_PREFIX: Final = "flat:"
"""Put before the stem of a flat motion where a motion with a terrain has the same."""
_USD: Final = (".usd", ".usda", ".usdc", ".usdz")
_PARTS: Final = ("robot", "objects", "object_usd", "meta", "bps")
_STORE: Final = "store.json"
"""What a packed store is known by."""


@attrs.frozen(kw_only=True)
class Discovery:
    """What was found and selected; terrain motions as (key, asset), in the order they are dealt to the environments."""

    root: Path
    terrain: tuple[tuple[str, Path], ...]
    flat_dir: Path | None = None
    """The folder that holds the flat motions; None: there are none."""
    flat: tuple[tuple[str, str], ...] = ()
    """(key, stem) of each; they differ where a motion with a terrain has the same stem."""
    placeholder: Path | None = None
    """The asset of flat environments; None: no environment is flat."""
    reordered: bool = False
    """The terrain motions are in the order that the filter names them."""
    unpaired_usd: tuple[str, ...] = ()
    """Stems of assets that no motion has."""
    unpaired_motions: tuple[str, ...] = ()
    """Stems of motions that were left out since they have no asset."""


def discover(
    root: Path, motion: MotionCfg, *, flat_dir: Path | None = None, flat_usd: Path | None = None, flat_envs: bool = False
) -> Discovery:
    """Find the motions of a run and the asset each is followed on.

    Args:
        root: library with `robot/` and `object_usd/`.
        motion: the filters, and whether a motion without an asset stops the run. What names terrain motions selects among these, what
            names flat ones among those; a kind of which nothing is named stays whole. The cap counts each kind by itself.
        flat_dir: folder of the flat motions.
        flat_usd: asset of flat environments; None: `flat_placeholder.usd` in the library or its `object_usd/`.
        flat_envs: some environment is flat, so the asset is needed.

    Raises:
        DataError: a folder is missing, empty or not the one that was meant; motions and assets do not pair; two files have one stem;
            the asset of flat environments is not there.
        ConfigError: a filter that names no motion.
    """
    motions, assets = find_terrain(root)
    flat_stems: list[str] = []
    if flat_dir is not None:
        flat_dir, flat_stems = find_flat(flat_dir)
    stems, flat_stems, reordered = _select(list(motions), flat_stems, motion)
    lacking = [stem for stem in stems if stem not in assets]
    if lacking and (motion.on_bad_clip == "stop" or len(lacking) == len(stems)):
        raise DataError(
            f"[TerrainAutoDiscover] {len(lacking)}/{len(stems)} robot motions have no matching USD in {root}. First missing: "
            f"{lacking[:5]}. Every robot PKL must have a USD with the same stem (required for use_paired_motions rendering). Put "
            "object_usd/<stem>.usd there, or leave these motions out with --on-bad-clip skip"
        )
    return Discovery(
        root=root,
        terrain=tuple((stem, assets[stem]) for stem in stems if stem in assets),
        flat_dir=flat_dir,
        flat=tuple((FLAT_PREFIX + stem if stem in motions else stem, stem) for stem in flat_stems),
        placeholder=find_placeholder(root, flat_usd) if flat_envs else None,
        reordered=reordered,
        unpaired_usd=tuple(stem for stem in assets if stem not in motions),
        unpaired_motions=tuple(lacking),
    )


def find_terrain(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the motions and the assets of a library by stem, each sorted by path.

    Raises:
        DataError: the folder is not there, is no library, has no motions or no assets, or two files have one stem.
    """
    _check_root(root)
    motions = _by_stem(_motion_files(root / "robot"), "motions")
    if not motions:
        raise DataError(f"terrain motions: {root / 'robot'} holds no motions (*.pkl); it holds {_listing(root / 'robot')}")
    usd = root / "object_usd"
    if not usd.is_dir():
        raise DataError(
            f"terrain motions: {root} has no folder object_usd/, which holds the terrain of each motion, object_usd/<stem>.usd; it "
            f"holds {_listing(root)}"
        )
    placeholder = Path(PLACEHOLDER).stem
    assets = _by_stem([path for path in _files(usd, _USD) if path.stem != placeholder], "terrain assets")
    return motions, assets


def find_flat(folder: Path) -> tuple[Path, list[str]]:
    """Return the folder that holds flat motions (`robot/` in the given one, if it is there) and their stems, sorted.

    Raises:
        DataError: it is not there, holds no motions, or two have one stem.
    """
    if not folder.is_dir():
        raise DataError(f"flat_motion_dir: {folder} {_what_is_wrong(folder)}; allowed: a folder with *.pkl, or with robot/")
    folder = folder / "robot" if (folder / "robot").is_dir() else folder
    stems = sorted(_by_stem(_motion_files(folder), "flat motions"))
    if not stems:
        raise DataError(f"flat_motion_dir: {folder} holds no motions (*.pkl); it holds {_listing(folder)}")
    return folder, stems


def find_placeholder(root: Path, flat_usd: Path | None) -> Path:
    """Return the asset that stands in flat environments.

    Raises:
        DataError: it is not there.
    """
    if flat_usd is not None:
        if not flat_usd.is_file():
            raise DataError(
                f"flat_usd_path: {flat_usd} {_what_is_wrong(flat_usd)}; allowed: a USD file, or null to look for {PLACEHOLDER}"
            )
        return flat_usd
    usual = root / PLACEHOLDER, root / "object_usd" / PLACEHOLDER
    for path in usual:
        if path.is_file():
            return path
    raise DataError(f"No {PLACEHOLDER} found at {usual[0]} or {usual[1]}. Set flat_usd_path explicitly.")


def _check_root(root: Path) -> None:
    what = f"terrain motions: {root}"
    if not root.is_dir():
        raise DataError(f"{what} {_what_is_wrong(root)}; allowed: a folder with robot/ and object_usd/")
    if (root / _STORE).is_file():
        raise DataError(f"{what} is a packed store, which does not hold the terrains. Name the library it was made from")
    if (root / "robot").is_dir():
        return
    if root.name in _PARTS and (root.parent / "robot").is_dir():
        raise DataError(f"{what} is a part of a library, allowed: the library itself. Write {root.parent}")
    below = sorted(path.parent for pattern in ("*/robot", "*/*/robot") for path in root.glob(pattern) if path.is_dir())
    hint = f". Did you mean {' or '.join(map(str, below[:3]))}?" if below else "; allowed: a folder with robot/ and object_usd/"
    raise DataError(f"{what} has no folder robot/; it holds {_listing(root)}{hint}")


def _what_is_wrong(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return f"is a link to {path.readlink()}, which does not exist"
    return "is a file" if path.is_file() else "is a folder" if path.is_dir() else "does not exist"


def _listing(folder: Path) -> str:
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    return (", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")) or "nothing"


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in suffixes)


def _motion_files(folder: Path) -> list[Path]:
    return [path for path in _files(folder, (".pkl",)) if not path.name.endswith("metadata.pkl")]


def _by_stem(paths: Iterable[Path], what: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(path.stem, path)
        if other is not path:
            raise DataError(
                f"two {what} have the stem {path.stem!r}: {other} and {path}. Motions and terrains are paired by their stems, so rename or "
                "remove one"
            )
    return found


def _select(terrain: list[str], flat: list[str], cfg: MotionCfg) -> tuple[list[str], list[str], bool]:
    """Apply the filters; the last value says whether the terrain motions are in the filter's order."""
    reordered = False
    if cfg.filter_motion_keys is not None:
        for pattern in cfg.filter_motion_keys:
            if not any(_hits(pattern, [*terrain, *flat])):
                hint = suggest(pattern, [*terrain, *flat])
                raise ConfigError(f"motion.filter_motion_keys: {pattern!r} names no motion; {hint}")
        named = _filtered(terrain, cfg.filter_motion_keys)
        terrain, reordered = named or terrain, bool(named)
        flat = _filtered(flat, cfg.filter_motion_keys) or flat
    gone = tuple(cfg.remove_motion_keys)
    left = [stem for stem in terrain if not stem.startswith(gone)], [stem for stem in flat if not stem.startswith(gone)]
    if not left[0]:
        raise ConfigError(f"motion.remove_motion_keys: {list(gone)} removes all {len(terrain)} terrain motions")
    terrain, flat = (_capped(stems, cfg) for stems in left)
    return terrain, flat, reordered


def _hits(pattern: str, stems: Sequence[str]) -> list[str]:
    if pattern in stems:
        return [pattern]
    try:
        return [stem for stem in stems if re.fullmatch(pattern, stem)]
    except re.error as error:
        raise ConfigError(f"motion.filter_motion_keys: {pattern!r} is no regular expression: {error}") from error


def _filtered(stems: list[str], patterns: Sequence[str]) -> list[str]:
    """Keep what is named: in that order where all are stems, else in the order of the files."""
    found = {pattern: hits for pattern in patterns if (hits := _hits(pattern, stems))}
    named = dict.fromkeys(stem for hits in found.values() for stem in hits)
    exact = all(hits == [pattern] for pattern, hits in found.items())
    return list(named) if exact else [stem for stem in stems if stem in named]


def _capped(stems: list[str], cfg: MotionCfg) -> list[str]:
    if cfg.max_unique_motions is None or cfg.max_unique_motions >= len(stems):
        return stems
    return (interleave_by_object(stems) if cfg.interleave_by_object else stems)[: cfg.max_unique_motions]
