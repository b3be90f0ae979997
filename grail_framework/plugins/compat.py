"""Which versions of the plugin API a plugin works with: `grail_api = ">=1,<2"` in its module."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Final

from grail_framework.errors import PluginIncompatibleError, PluginLoadError

if TYPE_CHECKING:
    from collections.abc import Callable

Version = tuple[int, ...]

_CLAUSE: Final = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)")
_DECLARATION: Final = re.compile(r"""^grail_api(?:\s*:\s*\w+)?\s*=\s*["']([^"']*)["']""", re.MULTILINE)
_COMPARE: Final[dict[str, Callable[[Version, Version], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def format_version(version: Version) -> str:
    """Write a version with dots."""
    return ".".join(map(str, version))


def api_in_range(spec: str, version: Version) -> bool:
    """Say whether an API version lies in a range such as `>=1,<2`; `==1` admits every 1.x, an empty range admits all.

    Raises:
        PluginLoadError: the range cannot be read.
    """
    return all(_holds(clause.strip(), version, spec) for clause in spec.split(",")) if spec.strip() else True


def check_api(spec: str, version: Version) -> None:
    """Demand that an API version lies in the range a plugin asks for.

    Raises:
        PluginIncompatibleError: it does not.
        PluginLoadError: the range cannot be read.
    """
    if not api_in_range(spec, version):
        raise PluginIncompatibleError(
            f"needs plugin API {spec}, this is {format_version(version)}; install a version of the plugin made for it"
        )


def declared_api(source: str) -> str:
    """Find the range in the text of a plugin module that could not be imported; empty when there is none."""
    found = _DECLARATION.search(source)
    return found.group(1) if found else ""


def _holds(clause: str, version: Version, spec: str) -> bool:
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        raise PluginLoadError(f"grail_api = {spec!r} cannot be read; write a range such as '>=1,<2'")
    wanted = tuple(int(part) for part in match.group(2).split("."))
    if match.group(1) in ("==", "!="):
        equal = version[: len(wanted)] == wanted
        return equal if match.group(1) == "==" else not equal
    width = max(len(wanted), len(version))
    return _COMPARE[match.group(1)](_pad(version, width), _pad(wanted, width))


def _pad(version: Version, width: int) -> Version:
    return version + (0,) * (width - len(version))
