"""What stands in for objects of classes that a file names and this framework does not have: their data, nothing of their code."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.define(eq=False, repr=False)
class Foreign:
    """An inert object: nothing was imported or called to make it.

    Files of trainers pickle dataclasses, enums, paths, namespaces and configuration objects. All of them are a name, arguments
    and a state.
    """

    name: str
    """`module.Class` as the file names it; Python 2's names of builtins are written as today's."""
    args: tuple[Any, ...] = ()
    """What the file would have called it with."""
    state: Any = None
    """What the file would have given its `__setstate__` or its attributes: as a rule a dict."""
    items: list[tuple[Any, Any]] = attrs.field(factory=list)
    """Keys and values the file would have set."""
    elements: list[Any] = attrs.field(factory=list)
    """What the file would have appended or added."""
    bare: bool = False
    """Whether it is the named class or function itself and no instance of it."""

    def __repr__(self) -> str:
        return f"<{'name' if self.bare else 'object of'} {self.name}>"

    @property
    def attributes(self) -> dict[str, Any]:
        """Its attributes by name, as far as the state is made of them (objects with slots have two dicts)."""
        parts = self.state if type(self.state) is tuple else (self.state,)
        return {key: value for part in parts if type(part) is dict for key, value in part.items() if type(key) is str}


def attribute(value: object, name: str) -> Any:
    """Return an attribute of an inert object, or a value of a dict; None where it has none of that name."""
    if isinstance(value, Foreign):
        return value.attributes.get(name)
    return value.get(name) if isinstance(value, dict) else None


def printable(name: str, limit: int = 200) -> str:
    """Return a name from a file so that it can be shown on a terminal: short, without control characters."""
    short = name if len(name) <= limit else name[:limit] + "..."
    return short if short.isprintable() else short.encode("unicode_escape").decode("ascii")
