"""Copies of USD files that stand on their own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pxr.Tf
import pxr.Usd

import grail_framework.assets.usd_schemas  # noqa: F401 - before any stage is opened
from grail_framework.assets.usd import first_reason, quiet
from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from collections.abc import Callable

# The bindings' stubs call half of what they return optional.
Tf: Any = pxr.Tf
Usd: Any = pxr.Usd


def copy_usd(source: str | Path, target: str | Path) -> Path:
    """Copy a USD file; one that is composed of several layers becomes one. The copy appears whole or not at all; return its path.

    Textures are not copied: their paths keep pointing to where they are in a file of several layers, and stay as written in one of
    a single layer.

    Raises:
        AssetError: the source cannot be read or the target not be written.
    """
    source, target = Path(source), Path(target)
    with quiet():
        try:
            stage = Usd.Stage.Open(str(source))
            layers = [layer for layer in stage.GetUsedLayers() if not layer.anonymous]
            if len(layers) == 1:
                return _atomically(target, lambda partial: shutil.copyfile(source, partial))
            return _atomically(target, lambda partial: stage.Flatten().Export(str(partial)))
        except Tf.ErrorException as error:
            raise AssetError(f"{source}: cannot be copied ({first_reason(error)}); export it again") from error


def _atomically(target: Path, write: Callable[[Path], object]) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    write(partial)
    partial.replace(target)
    return target
