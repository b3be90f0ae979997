"""Distributions without an installer: modules and a bare `.dist-info` in a folder, found like installed ones once it is on `sys.path`."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_dist(
    folder: Path,
    name: str,
    *,
    entry_points: Mapping[str, str],
    modules: Mapping[str, str] | None = None,
    version: str = "1.0",
    group: str = "grail.plugins",
) -> Path:
    """Write a distribution into a folder and return the folder.

    Args:
        folder: where to write; made when it does not exist.
        name: name of the distribution, such as `grail-stairs`.
        entry_points: target by entry-point name, such as `{"stairs": "grail_stairs.plugin"}`.
        modules: source by dotted module name; packages above a module are made, and empty.
        version: version of the distribution.
        group: entry-point group.
    """
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = [f"[{group}]", *(f"{key} = {value}" for key, value in entry_points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for module, source in (modules or {}).items():
        *packages, stem = module.split(".")
        path = folder
        for package in packages:
            path /= package
            path.mkdir(exist_ok=True)
            (path / "__init__.py").touch()
        (path / f"{stem}.py").write_text(dedent(source), encoding="utf-8")
    return folder
