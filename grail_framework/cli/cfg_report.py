"""Every value of a configuration, one line each, with unit and meaning: those of the schema, and of each term's parameters its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from grail_framework.cli.term_docs import parameter_docs, returned_unit
from grail_framework.config import (
    ActionCfg,
    CurriculumTermCfg,
    EventTermCfg,
    NetworkCfg,
    ObservationTermCfg,
    RewardTermCfg,
    TerminationTermCfg,
)
from grail_framework.config.docs import FieldDoc, field_docs
from grail_framework.errors import NotFoundError, PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grail_framework.registry import Entry, Registry

_KINDS: Final[dict[type, str]] = {
    ActionCfg: "action",
    CurriculumTermCfg: "curriculum",
    EventTermCfg: "event",
    NetworkCfg: "network",
    ObservationTermCfg: "observation",
    RewardTermCfg: "reward",
    TerminationTermCfg: "termination",
}
"""Configuration classes with `func` and `params`, and what `func` names."""
_NO_DOC: Final = FieldDoc("", "")


def describe_cfg(cfg: object, registry: Registry | None = None) -> Iterator[str]:
    """Write `path = value [unit]  # meaning` for every leaf; the path is what an override takes.

    With a registry, parameters of terms are described by the terms. A number without dimension has the unit `-`.
    """
    leaves = list(walk(cfg, registry=registry))
    width = max((len(_assignment(*leaf)) for leaf in leaves), default=0)
    for path, value, doc in leaves:
        text = _assignment(path, value, doc)
        yield f"{text.ljust(min(width, 72))}  # {doc.text}" if doc.text else text


def walk(
    value: object, path: str = "", doc: FieldDoc = _NO_DOC, registry: Registry | None = None
) -> Iterator[tuple[str, object, FieldDoc]]:
    """Iterate over the leaves of a tree of attrs objects and dictionaries: path, value, doc of the field."""
    if attrs.has(type(value)):
        docs = field_docs(type(value))
        entry = _term(value, registry)
        for field in attrs.fields(type(value)):
            item, item_doc, below = getattr(value, field.name), docs.get(field.name, _NO_DOC), _join(path, field.name)
            if entry is not None and field.name == "params" and item:
                yield from _walk_params(entry, item, below)
            elif entry is not None and field.name == "noise" and item is not None:
                unit = returned_unit(entry)
                yield from ((p, v, FieldDoc(d.text, unit)) for p, v, d in walk(item, below, item_doc, registry))
            else:
                yield from walk(item, below, item_doc, registry)
    elif isinstance(value, dict) and value:
        for key, item in cast(dict[str, Any], value).items():
            yield from walk(item, _join(path, key), doc, registry)
    else:
        yield path, value, doc


def _term(value: object, registry: Registry | None) -> Entry | None:
    """The term that a configuration names; None for anything else, and for a name that nothing registered."""
    kind = _KINDS.get(type(value))
    if kind is None or registry is None:
        return None
    try:
        return registry.find(kind, cast("Any", value).func)
    except (NotFoundError, PluginError):
        return None


def _walk_params(entry: Entry, params: dict[str, Any], path: str) -> Iterator[tuple[str, object, FieldDoc]]:
    docs = parameter_docs(entry)
    for name, value in params.items():
        yield from walk(value, _join(path, name), docs.get(name, _NO_DOC))


def _assignment(path: str, value: object, doc: FieldDoc) -> str:
    shown = doc.unit and value is not None and (doc.unit != "-" or _is_number(value))
    return f"{path} = {_plain(value)}" + (f" [{doc.unit}]" if shown else "")


def _is_number(value: object) -> bool:
    if isinstance(value, tuple | list):
        items = cast(tuple[object, ...], value)
        return bool(items) and all(map(_is_number, items))
    return isinstance(value, int | float) and not isinstance(value, bool)


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
