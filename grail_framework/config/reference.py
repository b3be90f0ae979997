"""The page docs/reference/config.md: every field of the configuration, written from the schema.

`python -m grail_framework.config.reference docs/reference/config.md` writes it.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Union, cast

import attrs

from grail_framework.config.docs import field_docs
from grail_framework.config.overrides import container_of, is_class
from grail_framework.config.run import RunCfg
from grail_framework.config.structure import field_types
from grail_framework.config.validators import Check

_HEAD: Final = """\
# Configuration reference

Every value of a run, as `grail run --task NAME --dry-run` prints it. Any of them can be set on the command line by its dotted path:
`grail run --task NAME algorithm.gamma=0.98`. Written by `python -m grail_framework.config.reference docs/reference/config.md`.
"""


def reference_page() -> str:
    """Write the whole page as Markdown: one section per class, in the order in which the root leads to them."""
    return "\n".join([_HEAD, *(_section(cls, path) for cls, path in reachable(RunCfg))])


def reachable(root: type) -> list[tuple[type, str]]:
    """List the classes of a configuration, each with the dotted path where it is met first; `<name>` stands for a key."""
    found: dict[type, str] = {root: ""}
    waiting = [root]
    while waiting:
        cls = waiting.pop(0)
        for name, expected in field_types(cls).items():
            inner, path = _inner(expected, f"{found[cls]}.{name}".lstrip("."))
            if inner is not None and inner not in found:
                found[inner] = path
                waiting.append(inner)
    return list(found.items())


def _inner(expected: Any, path: str) -> tuple[type | None, str]:
    """The class a field leads to: itself, or that of the values of a mapping."""
    container = container_of(expected)
    if container is None or container is Any:
        return None, path
    if is_class(container):
        return container, path
    item, _ = _inner(typing.get_args(container)[1], path)
    return item, f"{path}.<name>"


def _section(cls: type, path: str) -> str:
    title = f"## {cls.__name__}"
    where = [f"Found at `{path}`.", ""] if path else []
    doc = " ".join((cls.__doc__ or "").split())
    table = ["| field | type | default | allowed | unit | meaning |", "|---|---|---|---|---|---|"]
    return "\n".join([title, "", doc, "", *where, *table, *_rows(cls), ""])


def _rows(cls: type) -> Iterator[str]:
    docs, expected = field_docs(cls), field_types(cls)
    for field in attrs.fields(cast("Any", cls)):
        doc = docs[field.name]
        allowed = field.validator.allowed if isinstance(field.validator, Check) else ""
        cells = (f"`{field.name}`", _type(expected[field.name]), _default(field), allowed, doc.unit, doc.text)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(expected: Any) -> str:
    """Write a type, classes of the configuration as links."""
    origin, args = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return "any plain value"
    if expected is type(None):
        return "null"
    if origin in (Union, types.UnionType):
        return " | ".join(map(_type, args))
    if origin is tuple:
        return f"list of {_type(args[0])}"
    if origin is dict:
        return f"mapping of names to {_type(args[1])}"
    return f"[{expected.__name__}](#{expected.__name__.lower()})" if is_class(expected) else expected.__name__


def _default(field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return "*required*"
    default: Any = field.default
    if isinstance(default, attrs.Factory):  # pyright: ignore[reportArgumentType]  # a class at run time
        return "`{}`" if default.factory is dict else "its defaults"
    if default is None:
        return "null"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        return f"`[{', '.join(map(repr, cast('tuple[Any, ...]', default)))}]`"
    return f"`{default!r}`" if not isinstance(default, str) else (f"`{default}`" if default else "empty")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m grail_framework.config.reference PATH")
    page = Path(sys.argv[1])
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(reference_page(), encoding="utf-8")
