"""`grail plugins new`: a plugin package from the template."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

TEMPLATE: Final = Path(__file__).with_name("template")
_SUFFIX: Final = ".tmpl"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


def create_plugin(name: str, parent: Path, *, taken: Iterable[str]) -> Path:
    """Write the package `grail-<name>` into a new folder of `parent` and return the folder.

    Raises:
        ConfigError: the name cannot be used or is taken, or the folder exists.
    """
    name = check_name(name, taken)
    folder = parent / f"grail-{name.replace('_', '-')}"
    if folder.exists():
        raise ConfigError(f"{folder} exists already; remove it, or give another --dir")
    for source in sorted(TEMPLATE.rglob("*" + _SUFFIX)):
        target = folder / fill(str(source.relative_to(TEMPLATE)).removesuffix(_SUFFIX), name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(fill(source.read_text(encoding="utf-8"), name), encoding="utf-8")
    return folder


def check_name(name: str, taken: Iterable[str]) -> str:
    """Demand a usable plugin name and return it with underscores, as imports need it.

    Raises:
        ConfigError: wrong characters, the prefix the package gets anyway, or a name that is installed.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"plugin name {name!r}: allowed are lower-case letters, digits and single - or _ between them, as in 'stairs'"
        )
    if re.match(r"grail[-_]", name):
        raise ConfigError(f"plugin name {name!r}: leave out the prefix, the distribution gets it: {name[6:]!r}")
    name = name.replace("-", "_")
    if name == "framework":
        raise ConfigError("plugin name 'framework': grail_framework is the framework's own package; choose another name")
    if name in {other.replace("-", "_") for other in taken}:
        raise ConfigError(f"plugin name {name!r} belongs to an installed plugin; choose another name")
    return name


def fill(text: str, name: str) -> str:
    """Put a plugin's name into a text of the template."""
    words = {
        "{{name}}": name,
        "{{package}}": f"grail_{name}",
        "{{dist}}": f"grail-{name.replace('_', '-')}",
        "{{dot}}": ".",  # a wheel leaves hidden files out
    }
    for placeholder, word in words.items():
        text = text.replace(placeholder, word)
    return text
