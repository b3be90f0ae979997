"""What an installed isaaclab wants beside it, read from the metadata of installed packages; none of them is imported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from packaging.requirements import Requirement

ISAACLAB: Final = "isaaclab"
PHYSICS: Final = {
    "newton": (None, ("newton",)),
    "physx": ("isaacsim", ("isaacsim",)),
    "ovphysx": ("ovphysx", ("ovphysx", "ovstage")),
}
"""Physics backends of Isaac Lab: the extra of isaaclab that brings one, and the packages it cannot do without."""

_PINNED: Final = frozenset({"torch", "warp-lang", "newton", "mujoco", "mujoco-warp"})
"""Packages of which another version than the wanted one fails late and unclearly."""
_CUDA_OF_TORCH: Final = re.compile(r"^cuda\b[^=]*=\s*'([\d.]+)'", re.MULTILINE)


@attrs.frozen(kw_only=True)
class Mismatch:
    """A requirement that the installed packages do not meet."""

    requirement: str
    """As pip takes it: torch==2.11.0."""
    installed: str | None
    """The version that is there; None: the package is not."""
    wanted_by: str
    """Who states the requirement, with its version."""


def installed_version(package: str) -> str | None:
    """Return a distribution's version; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def version_mismatches() -> list[Mismatch]:
    """List the packages under isaaclab, down to MuJoCo, whose version is another than it wants; empty without isaaclab.

    A local version such as 2.11.0+cu130 meets ==2.11.0.
    """
    wanted = _requirements(ISAACLAB, extras=())
    return [found for requirement, by in wanted if _plain(requirement.name) in _PINNED for found in _check(requirement, by)]


def physics_mismatches(physics: str) -> list[Mismatch]:
    """List what a physics backend of isaaclab lacks, with the versions that isaaclab's own extra states."""
    extra, packages = PHYSICS[physics]
    if extra is None:
        return []  # part of isaaclab itself
    if physics == "physx" and installed_version("isaacsim") is None and _is_regular_package("isaacsim"):
        return []  # Isaac Sim from its own archive instead of wheels
    wanted = [(requirement, by) for requirement, by in _own(ISAACLAB, (extra,)) if _plain(requirement.name) in packages]
    if wanted:
        return [found for requirement, by in wanted for found in _check(requirement, by)]
    by = f"physics {physics}"  # an isaaclab that states no versions
    return [Mismatch(requirement=name, installed=None, wanted_by=by) for name in packages if installed_version(name) is None]


def describe(mismatches: Iterable[Mismatch]) -> str:
    """Say who wants what, and what is there instead."""
    wanted: dict[str, list[str]] = {}
    for mismatch in mismatches:
        found = "not installed" if mismatch.installed is None else f"{mismatch.installed} is installed"
        wanted.setdefault(mismatch.wanted_by, []).append(f"{mismatch.requirement} ({found})")
    return "; ".join(f"{by} wants {', '.join(what)}" for by, what in wanted.items())


def install_line(mismatches: Iterable[Mismatch]) -> str:
    """Return the pip command that mends mismatches."""
    return "pip install " + " ".join(f"'{mismatch.requirement}'" for mismatch in mismatches)


def torch_cuda() -> str | None:
    """Return the CUDA version that the installed torch is built for; None: it is a CPU build, or not installed."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).with_name("version.py")
    found = _CUDA_OF_TORCH.search(file.read_text(encoding="utf-8")) if file.is_file() else None
    return None if found is None else found.group(1)


def _requirements(package: str, extras: Iterable[str]) -> Iterator[tuple[Requirement, str]]:
    """Yield a package's requirements, and those of newton below it: it is newton that states MuJoCo's version."""
    for requirement, by in _own(package, extras):
        yield requirement, by
        if _plain(requirement.name) == "newton":
            yield from _requirements("newton", requirement.extras)


def _own(package: str, extras: Iterable[str]) -> list[tuple[Requirement, str]]:
    """Return what a package with some of its extras requires on this platform, and who says so."""
    from packaging.requirements import Requirement

    try:
        lines, by = requires(package) or [], f"{package} {version(package)}"
    except PackageNotFoundError:
        return []
    environments = [{"extra": extra} for extra in ("", *extras)]
    return [
        (requirement, by)
        for requirement in map(Requirement, lines)
        if requirement.marker is None or any(requirement.marker.evaluate(environment) for environment in environments)
    ]


def _check(requirement: Requirement, by: str) -> list[Mismatch]:
    found = installed_version(requirement.name)
    if found is not None and requirement.specifier.contains(found, prereleases=True):
        return []
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return [Mismatch(requirement=f"{requirement.name}{extras}{requirement.specifier}", installed=found, wanted_by=by)]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_regular_package(name: str) -> bool:
    """Whether a package has a module of its own; a namespace, as parts of Isaac Sim bring along, has none."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None
