"""Validators of config fields; each message says what is allowed. The field's path is added by `config.structure`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import attrs

    Validator = Callable[[Any, attrs.Attribute[Any], Any], None]


def _check(test: Callable[[float], bool], allowed: str) -> Validator:
    def validate(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None:  # only reachable where the field's type admits None
            return
        if not math.isfinite(value) or not test(value):
            raise ValueError(f"{attribute.name}: got {value!r}, allowed: {allowed}")

    return validate


def positive() -> Validator:
    """Demand a finite number above 0."""
    return _check(lambda v: v > 0, "a finite number > 0")


def non_negative() -> Validator:
    """Demand a finite number of at least 0."""
    return _check(lambda v: v >= 0, "a finite number >= 0")


def finite() -> Validator:
    """Demand a finite number."""
    return _check(lambda v: True, "a finite number")


def between(low: float, high: float) -> Validator:
    """Demand a number in [low, high]."""
    return _check(lambda v: low <= v <= high, f"a number in [{low}, {high}]")


def at_least(low: float) -> Validator:
    """Demand a finite number of at least `low`."""
    return _check(lambda v: v >= low, f"a finite number >= {low}")


def one_of(*allowed: str | None) -> Validator:
    """Demand one of the given values."""

    def validate(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in allowed:
            raise ValueError(f"{attribute.name}: got {value!r}, allowed: {', '.join(map(repr, allowed))}")

    return validate


def each(inner: Validator, *, length: int | None = None) -> Validator:
    """Apply a validator to every item of a tuple, and demand its length where given."""

    def validate(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None:
            return
        if length is not None and len(value) != length:
            raise ValueError(f"{attribute.name}: got {len(value)} numbers, allowed: exactly {length}")
        for item in value:
            inner(instance, attribute, item)

    return validate
