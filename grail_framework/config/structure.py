"""Plain trees (what YAML and overrides hold) to attrs classes and back, strictly and with the dotted path in every error.

Plain values are None, bool, int, float, str, tuples of plain values and dicts with string keys. Lists become tuples.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal, Union, cast

import attrs

from grail_framework.config.docs import FieldDoc, field_docs
from grail_framework.errors import ConfigError, suggest

_NAMES: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    type(None): "null",
}
_QUOTED: Final = re.compile(r"'(\w+)' ")


class FieldError(ConfigError):
    """A value at one dotted path that does not fit; whoever knows where the value came from adds it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


def to_plain(value: Any, path: str = "") -> Any:
    """Turn a config into a plain tree.

    Raises:
        FieldError: a value that is neither plain nor an attrs instance (an array, a path object, a function).
    """
    cls: Any = cast("Any", type(value))
    if attrs.has(cls):
        return {f.name: to_plain(getattr(value, f.name), join(path, f.name)) for f in attrs.fields(cls)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return tuple(to_plain(item, f"{path}[{i}]") for i, item in enumerate(cast("list[Any] | tuple[Any, ...]", value)))
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value)
        for key in items:
            if not isinstance(key, str):
                raise FieldError(path, f"got the key {key!r} ({type(key).__name__}), allowed: string keys")
        return {key: to_plain(item, join(path, key)) for key, item in items.items()}
    raise FieldError(path, f"got {value!r} ({type(value).__name__}), allowed: plain values (numbers, strings, lists, mappings)")


def from_plain[T](cls: type[T], tree: Any, *, path: str = "", sections: Mapping[str, type] | None = None) -> T:
    """Build an attrs class from a plain tree.

    Args:
        cls: the class of the root.
        tree: a mapping of field names to values; fields with defaults may be left out.
        path: dotted path of the root, for errors.
        sections: classes of the entries of a field named `extra` of the root, by plugin name; others stay plain.

    Raises:
        FieldError: an unknown or missing field, or a value of the wrong type or outside its range.
    """
    built = _build(cls, tree, path)
    extra = getattr(built, "extra", None)
    if not sections or not isinstance(extra, dict):
        return built
    typed: dict[str, Any] = {
        name: from_plain(sections[name], section, path=join(path, f"extra.{name}")) if name in sections else section
        for name, section in cast("dict[str, Any]", extra).items()
    }
    return attrs.evolve(cast("Any", built), extra=typed)


def convert(expected: Any, value: Any, path: str, doc: FieldDoc | None = None) -> Any:
    """Check one value against a type annotation and return it in the type's own form.

    Supported: bool, int, float (accepts int), str, None, Any, Literal, unions, `tuple[T, ...]`, `tuple[A, B]`, `list[T]`,
    `dict[str, T]` and attrs classes.

    Raises:
        FieldError: the value does not fit.
    """
    origin, args = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return to_plain(value, path)
    if isinstance(expected, type) and attrs.has(expected):
        return _build(expected, value, path)
    if origin in (Union, types.UnionType):
        return _convert_union(expected, value, path, doc)
    if origin is Literal:
        if any(value == arg and type(value) is type(arg) for arg in args):
            return value
    elif origin in (tuple, list):
        if isinstance(value, list | tuple):
            return _convert_items(origin, args, cast("tuple[Any, ...]", value), path, doc)
    elif origin is dict:
        if isinstance(value, Mapping):
            return {key: convert(args[1], item, join(path, key)) for key, item in to_items(value, path)}
    elif expected is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif type(value) is expected or (expected is None and value is None):
        return value
    raise mismatch(expected, value, path, doc)


def mismatch(expected: Any, value: Any, path: str, doc: FieldDoc | None = None) -> FieldError:
    """Say that a value is of the wrong type, what the field is for, and how to write it where that is known."""
    given = "null" if value is None else f"{value!r} ({type(value).__name__})"
    message = f"got {given}, allowed: {describe(expected)}{_about(doc)}"
    if isinstance(value, float) and value.is_integer() and accepts(expected, int):
        message += f". Write {int(value)}"
    elif isinstance(value, str) and _unquoted(expected, value) is not None:
        message += f". Write {_unquoted(expected, value)} without quotes"
    elif isinstance(value, bool | int | float) and accepts(expected, str):
        message += f". Write it in quotes, '{value}'"
    elif isinstance(value, str | int | float) and not isinstance(value, bool) and _is_sequence(expected):
        message += f". Write a list: [{value}]"
    return FieldError(path, message)


def describe(expected: Any) -> str:
    """Name a type the way a user would."""
    if expected is Any:
        return "any plain value"
    if expected in _NAMES or expected is None:
        return _NAMES[type(None) if expected is None else expected]
    origin, args = typing.get_origin(expected), typing.get_args(expected)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(arg) for arg in args)
    if origin is Literal:
        return ", ".join(map(repr, args))
    if origin in (tuple, list):
        return "a list of " + describe(args[0]).removeprefix("an ").removeprefix("a ") + "s"
    if origin is dict:
        return f"a mapping of names to {describe(args[1]).removeprefix('a mapping with the fields of ')}"
    if isinstance(expected, type) and attrs.has(expected):
        return f"a mapping with the fields of {expected.__name__}"
    return getattr(expected, "__name__", str(expected))


def accepts(expected: Any, plain: type) -> bool:
    """Tell whether a type, or one arm of a union, is exactly `plain`."""
    arms = typing.get_args(expected) if typing.get_origin(expected) in (Union, types.UnionType) else (expected,)
    return plain in arms


@cache
def field_types(cls: type) -> dict[str, Any]:
    """Map the fields of an attrs class to their resolved types.

    Raises:
        ConfigError: an annotation names something that the class's module does not have at run time.
    """
    try:
        attrs.resolve_types(cls)
    except NameError as error:
        raise ConfigError(
            f"the annotations of {cls.__module__}.{cls.__name__} cannot be resolved: {error}. Import the name at run time, "
            f"not under TYPE_CHECKING."
        ) from error
    return {f.name: f.type for f in attrs.fields(cls)}


def to_items(value: Any, path: str) -> list[tuple[str, Any]]:
    """List the items of a mapping whose keys must be strings."""
    items = cast("Mapping[Any, Any]", value)
    for key in items:
        if not isinstance(key, str):
            raise FieldError(path, f"got the key {key!r} ({type(key).__name__}), allowed: string keys")
    return list(items.items())


def join(path: str, name: str) -> str:
    """Append a name to a dotted path."""
    return f"{path}.{name}" if path else name


def _build[T](cls: type[T], tree: Any, path: str) -> T:
    if isinstance(tree, cls):
        tree = to_plain(tree, path)
    if not isinstance(tree, Mapping):
        raise mismatch(cls, tree, path)
    expected, docs = field_types(cls), field_docs(cls)
    values: dict[str, Any] = {}
    for name, value in to_items(tree, path):
        if name not in expected:
            raise FieldError(join(path, name), f"{cls.__name__} has no such field: {suggest(name, expected)}")
        values[name] = convert(expected[name], value, join(path, name), docs.get(name))
    missing = [f.name for f in attrs.fields(cast("Any", cls)) if f.init and f.default is attrs.NOTHING and f.name not in values]
    if missing:
        first = join(path, missing[0])
        listed = ", ".join(f"{name} ({describe(expected[name])})" for name in missing)
        raise FieldError(path, f"{cls.__name__} needs {listed}. Add e.g. +{first}=...")
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise _invalid(cls, path, error) from error


def _invalid(cls: type, path: str, error: Exception) -> FieldError:
    """Give a validator's message the full path and the field's unit and meaning."""
    name, colon, rest = str(error).partition(": ")
    if colon and name in field_types(cls):
        return FieldError(join(path, name), rest + _about(field_docs(cls).get(name)))
    quoted = _QUOTED.match(str(error.args[0]) if error.args else "")  # attrs' own validators begin with the name in quotes
    if quoted is not None and quoted.group(1) in field_types(cls):
        return FieldError(join(path, quoted.group(1)), str(error.args[0]))
    return FieldError(path, str(error))


def _about(doc: FieldDoc | None) -> str:
    if doc is None:
        return ""
    unit = f" [{doc.unit}]" if doc.unit and doc.unit != "-" else ""
    return f"{unit} ({doc.text.rstrip('.')})" if doc.text else unit


def _convert_union(expected: Any, value: Any, path: str, doc: FieldDoc | None) -> Any:
    arms = [arm for arm in typing.get_args(expected) if arm is not type(None)]
    if value is None and len(arms) < len(typing.get_args(expected)):
        return None
    fitting = [arm for arm in arms if _may_hold(arm, value)]
    if len(fitting) == 1 and isinstance(value, Mapping | list | tuple):
        return convert(fitting[0], value, path, doc)  # its errors say more than "none of the types fits"
    for arm in fitting:
        try:
            return convert(arm, value, path, doc)
        except FieldError:
            continue  # the next type may fit; the error below names them all
    raise mismatch(expected, value, path, doc)


def _may_hold(arm: Any, value: Any) -> bool:
    origin = typing.get_origin(arm)
    if isinstance(value, Mapping):
        return origin is dict or arm is Any or (isinstance(arm, type) and attrs.has(arm))
    if isinstance(value, list | tuple):
        return origin in (tuple, list) or arm is Any
    return not (origin in (tuple, list, dict) or (isinstance(arm, type) and attrs.has(arm)))


def _convert_items(
    origin: Any, args: tuple[Any, ...], value: tuple[Any, ...] | list[Any], path: str, doc: FieldDoc | None
) -> Any:
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        if len(value) != len(args):
            raise FieldError(path, f"got {len(value)} values, allowed: exactly {len(args)}{_about(doc)}")
        return tuple(convert(arg, item, f"{path}[{i}]", doc) for i, (arg, item) in enumerate(zip(args, value, strict=True)))
    items = [convert(args[0], item, f"{path}[{i}]", doc) for i, item in enumerate(value)]
    return items if origin is list else tuple(items)


def _is_sequence(expected: Any) -> bool:
    arms = typing.get_args(expected) if typing.get_origin(expected) in (Union, types.UnionType) else (expected,)
    return any(typing.get_origin(arm) in (tuple, list) for arm in arms)


def _unquoted(expected: Any, value: str) -> str | None:
    """The text itself, where it would fit as a number or a truth value."""
    if accepts(expected, bool) and value.lower() in ("true", "false"):
        return value.lower()
    if accepts(expected, int) or accepts(expected, float):
        try:
            float(value)
        except ValueError:
            return None
        return value
    return None
