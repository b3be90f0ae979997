"""What a term's docstring says of its parameters, read from the source: `grail tasks show` prints it without importing torch."""

from __future__ import annotations

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grail_framework.config.docs import FieldDoc

if TYPE_CHECKING:
    from grail_framework.registry import Entry

_UNIT: Final = re.compile(r"\[([^\[\]]+)\]\.?$")
_PARAMETER: Final = re.compile(r"(\w+): (.*)")


def parameter_docs(entry: Entry) -> dict[str, FieldDoc]:
    """Read the section `Args:` of a term, `name: sentence. [unit]`; a term whose source cannot be found has none."""
    docs: dict[str, FieldDoc] = {}
    for name, text in _arguments(_docstring(entry.target)).items():
        unit = _UNIT.search(text)
        docs[name] = FieldDoc(text[: unit.start()].rstrip(), unit.group(1)) if unit else FieldDoc(text, "")
    return docs


def returned_unit(entry: Entry) -> str:
    """Read the unit at the end of a term's first line; `-` where it has none."""
    lines = _docstring(entry.target).strip().splitlines()
    unit = _UNIT.search(lines[0]) if lines else None
    return unit.group(1) if unit else "-"


def _arguments(docstring: str) -> dict[str, str]:
    """Split the section `Args:` into its entries; a line that is indented further belongs to the one before."""
    _, found, section = docstring.partition("Args:\n")
    entries: dict[str, str] = {}
    indent, last = None, ""
    for line in section.splitlines() if found else ():
        depth = len(line) - len(line.lstrip())
        indent = depth if indent is None else indent
        match = _PARAMETER.fullmatch(line.strip())
        if not line.strip() or depth < indent:
            break
        if depth == indent and match:
            last = match.group(1)
            entries[last] = match.group(2)
        elif last:
            entries[last] += " " + line.strip()
    return entries


@cache
def _docstring(target: str) -> str:
    module, _, attribute = target.partition(":")
    try:
        spec = importlib.util.find_spec(module)
        source = Path(spec.origin).read_text(encoding="utf-8") if spec is not None and spec.origin else ""
        tree = ast.parse(source)
    except (ImportError, ValueError, OSError, SyntaxError):
        return ""  # loading the term would say so; here it only lacks documentation
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == attribute:
            return ast.get_docstring(node) or ""
    return ""
