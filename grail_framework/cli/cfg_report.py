"""Every value of a configuration, one line each, with the unit and the meaning that the schema gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs

from grail_framework.config.docs import FieldDoc, field_docs

if TYPE_CHECKING:
    from collections.abc import Iterator


def describe_cfg(cfg: object) -> Iterator[str]:
    """Write `path = value [unit]  # meaning` for every leaf; the path is what an override takes."""
    leaves = list(walk(cfg))
    width = max((len(_assignment(*leaf)) for leaf in leaves), default=0)
    for path, value, doc in leaves:
        text = _assignment(path, value, doc)
        yield f"{text.ljust(min(width, 72))}  # {doc.text}" if doc.text else text


def walk(value: object, path: str = "", doc: FieldDoc = FieldDoc("", "")) -> Iterator[tuple[str, object, FieldDoc]]:  # noqa: B008
    """Iterate over the leaves of a tree of attrs objects and dictionaries: path, value, doc of the field."""
    if attrs.has(type(value)):
        docs = field_docs(type(value))
        for field in attrs.fields(type(value)):
            yield from walk(getattr(value, field.name), _join(path, field.name), docs.get(field.name, FieldDoc("", "")))
    elif isinstance(value, dict) and value:
        for key, item in cast(dict[str, Any], value).items():
            yield from walk(item, _join(path, key), doc)
    else:
        yield path, value, doc


def _assignment(path: str, value: object, doc: FieldDoc) -> str:
    unit = f" [{doc.unit}]" if doc.unit and doc.unit != "-" and value is not None else ""
    return f"{path} = {_plain(value)}{unit}"


def _plain(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_plain, cast(tuple[object, ...], value))) + "]"
    return str(value) if value not in ("", {}) else repr(value)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
