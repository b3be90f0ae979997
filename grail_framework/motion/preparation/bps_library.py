"""The basis point sets of all object assets of a library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grail_framework.assets.usd_points import read_raw_points
from grail_framework.errors import AssetError, DataError
from grail_framework.motion.preparation.bps import NUM_BASIS, NUM_SAMPLES, SEED, basis_points, compute_bps
from grail_framework.motion.preparation.report import PrepareReport, Skipped
from grail_framework.motion.readers.grail_layout import index_files
from grail_framework.motion.writer import write_bps

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.motion.preparation.report import Progress

_SUFFIXES = (".usd", ".usda", ".usdc")
_PLACEHOLDER = "flat_placeholder"


def find_object_usd(folder: Path) -> Path:
    """Return the folder of the object assets: `folder/object_usd`, or the folder itself where it holds the assets.

    Raises:
        DataError: neither has an asset.
    """
    for place in (folder / "object_usd", folder):
        if place.is_dir() and any(path.suffix in _SUFFIXES for path in place.iterdir()):
            return place
    raise DataError(f"{folder}: no object assets ({', '.join(_SUFFIXES)}), neither there nor in {folder / 'object_usd'}")


def write_bps_library(
    usd_folder: Path,
    out: Path,
    *,
    num_basis: int = NUM_BASIS,
    num_samples: int = NUM_SAMPLES,
    seed: int = SEED,
    progress: Progress | None = None,
) -> PrepareReport:
    """Write the basis point set of every asset to `out/<stem>.npy` and the basis to `out/_basis.npy`.

    An asset without usable geometry is left out and reported; the others are written all the same. Files of earlier runs for assets
    that are left out now are removed, since they would belong to another shape.

    Args:
        usd_folder: folder with one asset per stem; folders in it are searched too.
        out: folder to write.
        num_basis: basis points; training reads sets of 10.
        num_samples: see `compute_bps`.
        seed: see `compute_bps`; every asset starts from it.
        progress: called after each asset.

    Raises:
        DataError: there are no assets, two have one stem, or none could be used.
    """
    assets = {key: path for key, path in index_files(usd_folder, _SUFFIXES).items() if key != _PLACEHOLDER}
    if not assets:
        raise DataError(f"{usd_folder}: no object assets ({', '.join(_SUFFIXES)})")
    basis = basis_points(num_basis)
    written: list[str] = []
    skipped: list[Skipped] = []
    for done, (key, path) in enumerate(assets.items(), start=1):
        target = out / f"{key}.npy"
        try:
            points, triangles = read_raw_points(path)
            write_bps(target, compute_bps(points, triangles, basis=basis, num_samples=num_samples, seed=seed))
            written.append(key)
        except AssetError as error:
            target.unlink(missing_ok=True)
            skipped.append(Skipped(key=key, reason=str(error)))
        if progress is not None:
            progress(done, len(assets), key)
    if not written:
        raise DataError("no basis point set was written; " + "; ".join(f"{item.key}: {item.reason}" for item in skipped[:5]))
    write_bps(out / "_basis.npy", basis)
    return PrepareReport(out=out, written=tuple(written), skipped=tuple(skipped))
