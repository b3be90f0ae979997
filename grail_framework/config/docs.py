"""The doc literals under config fields, read from the source: errors quote them and the config reference prints them."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from functools import cache
from typing import NamedTuple

_UNIT = re.compile(r"\s*\[([^\[\]]+)\]\s*$")


class FieldDoc(NamedTuple):
    """What is written under a field."""

    text: str
    """The sentences, unit left out."""
    unit: str
    """The unit at their end, without brackets; empty where none is written."""


@cache
def field_docs(cls: type) -> dict[str, FieldDoc]:
    """Read the string literal under each field of a class; fields of base classes included.

    A class whose source cannot be found (typed into a prompt) has no docs.
    """
    found: dict[str, FieldDoc] = {}
    for base in reversed(cls.__mro__):
        if base is not object:
            found.update(_own_docs(base))
    return found


def _own_docs(cls: type) -> dict[str, FieldDoc]:
    try:
        source = inspect.getsource(cls)
    except (OSError, TypeError):
        return {}
    definition = ast.parse(textwrap.dedent(source)).body[0]
    if not isinstance(definition, ast.ClassDef):
        return {}
    docs: dict[str, FieldDoc] = {}
    for field, literal in zip(definition.body, definition.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(literal, ast.Expr) and isinstance(literal.value, ast.Constant) and isinstance(literal.value.value, str):
            docs[field.target.id] = _split(literal.value.value)
    return docs


def _split(literal: str) -> FieldDoc:
    text = " ".join(literal.split())
    unit = _UNIT.search(text)
    if unit is None:
        return FieldDoc(text, "")
    return FieldDoc(text[: unit.start()].rstrip(), unit.group(1))
