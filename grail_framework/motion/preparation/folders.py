"""The folder a library is written to: never the one it is made from, never over other files unasked, checked at the end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from grail_framework.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_USD_SUFFIXES: Final = (".usd", ".usda", ".usdc")
_NO_MOTION: Final = ("metadata", "_basis", "flat_placeholder")
"""Stems of files that belong to no motion."""
_SHOWN: Final = 5
PARTS: Final = ("robot", "objects", "meta", "object_usd", "bps")


def claim_output(out: Path, source: Path, *, overwrite: bool) -> None:
    """Make the output folder, or refuse it.

    Raises:
        DataError: it is the source or one of the two contains the other, it is a file, or it holds something and `overwrite` is off.
    """
    real, real_source = out.resolve(), source.resolve()
    if real == real_source:
        raise DataError(
            f"{out}: output and source are the same folder, and the source is never written to; choose another output"
        )
    if real_source in real.parents or real in real_source.parents:
        inside = "inside the source" if real_source in real.parents else "around the source"
        raise DataError(f"{out} lies {inside} {source}, and the source is never written to; choose a folder beside it")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; the output is a folder")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise DataError(
            f"{out} is not empty; choose another folder, or pass --overwrite to replace files of the same names in it"
        )
    for part in PARTS:
        # Through a link the files would land in the folder it points to, in the worst case the source.
        if part != "object_usd" and (out / part).is_symlink():
            raise DataError(f"{out / part} is a symbolic link; remove it or choose another folder")
    out.mkdir(parents=True, exist_ok=True)


def link_folder(link: Path, target: Path) -> None:
    """Make `link` a relative symbolic link to a folder, in the place of an earlier link.

    Raises:
        DataError: something else has the name already, or the file system has no links.
    """
    if link.is_dir() and not link.is_symlink():
        raise DataError(f"{link} is a folder, where a link to {target} belongs; remove it or choose another output folder")
    partial = link.with_name(f".{link.name}.partial{os.getpid()}")
    partial.unlink(missing_ok=True)
    try:
        # Both ends resolved: a relative path leads elsewhere when a folder on its way is a link.
        partial.symlink_to(os.path.relpath(target.resolve(), link.parent.resolve()), target_is_directory=True)
        partial.replace(link)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(
            f"{link}: cannot be made a link to {target} ({error.strerror}); copy the folder there instead"
        ) from error


def folder_stems(folder: Path, suffixes: tuple[str, ...] = (".pkl",)) -> frozenset[str]:
    """Return the stems of the files directly in a folder; none where it does not exist."""
    if not folder.is_dir():
        return frozenset()
    return frozenset(
        path.stem
        for path in folder.iterdir()
        if path.suffix in suffixes and path.stem not in _NO_MOTION and path.name[0] != "."
    )


def usd_stems(folder: Path) -> frozenset[str]:
    """Return the stems of the object assets directly in a folder."""
    return folder_stems(folder, _USD_SUFFIXES)


def check_stems(library: Path) -> tuple[str, ...]:
    """Compare the stems of a library's parts and say what does not fit, the first five of each list; empty when all fits.

    `objects` and `meta` must have the stems of `robot`. Every motion with an object needs its asset, and a basis point set where
    there are any; assets without a motion are no problem, since motions may have been left out.
    """
    robot, objects = folder_stems(library / "robot"), folder_stems(library / "objects")
    usd = usd_stems(library / "object_usd")
    problems = [
        *_differences("objects", objects, robot, "robot", optional=True),
        *_differences("meta", folder_stems(library / "meta"), robot, "robot"),
    ]
    if (library / "object_usd").exists():
        problems += _missing("object_usd", objects - usd)
    if (library / "bps").is_dir():
        problems += _differences("bps", folder_stems(library / "bps", (".npy",)), objects & usd, "object_usd")
    return tuple(problems)


def _differences(
    what: str, have: frozenset[str], want: frozenset[str], reference: str, *, optional: bool = False
) -> Iterable[str]:
    if optional and not have:
        return []
    return [*_missing(what, want - have), *_listed(f"{what}: extra, without a file in {reference}/", have - want)]


def _missing(what: str, stems: frozenset[str]) -> list[str]:
    return _listed(f"{what}: missing", stems)


def _listed(label: str, stems: frozenset[str]) -> list[str]:
    if not stems:
        return []
    shown = ", ".join(sorted(stems)[:_SHOWN])
    return [f"{label} ({len(stems)}): {shown}" + (f", and {len(stems) - _SHOWN} more" if len(stems) > _SHOWN else "")]
