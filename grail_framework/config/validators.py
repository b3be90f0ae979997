"""Validators of config fields; each knows in words what it allows. The field's path is added by `config.structure`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Check:
    """One test of a value that is no `None`; a callable as attrs expects it.

    `allowed` is printed in errors and in the config reference.
    """

    test: Callable[[Any], bool]
    allowed: str
    got: Callable[[Any], str] = repr

    def __call__(self, _instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        """Raise ValueError where the value fails the test; `None` passes, since only a field that admits it lets it get here."""
        if value is not None and not self.test(value):
            raise ValueError(f"{attribute.name}: got {self.got(value)}, allowed: {self.allowed}")


def positive() -> Check:
    """Demand a finite number above 0."""
    return Check(test=lambda v: math.isfinite(v) and v > 0, allowed="a finite number > 0")


def non_negative() -> Check:
    """Demand a finite number of at least 0."""
    return Check(test=lambda v: math.isfinite(v) and v >= 0, allowed="a finite number >= 0")


def finite() -> Check:
    """Demand a finite number."""
    return Check(test=math.isfinite, allowed="a finite number")


def between(low: float, high: float) -> Check:
    """Demand a number in [low, high]."""
    return Check(test=lambda v: low <= v <= high, allowed=f"a number in [{low}, {high}]")


def at_least(low: float) -> Check:
    """Demand a finite number of at least `low`."""
    return Check(test=lambda v: math.isfinite(v) and v >= low, allowed=f"a finite number >= {low}")


def one_of(*allowed: str | None) -> Check:
    """Demand one of the given values."""
    return Check(test=lambda v: v in allowed, allowed=", ".join(map(repr, allowed)))


def matching(test: Callable[[str], object], allowed: str) -> Check:
    """Demand a string that passes a test described by `allowed`."""
    return Check(test=lambda v: bool(test(v)), allowed=allowed)


def each(inner: Check, *, length: int | None = None) -> Check:
    """Apply a validator to every item of a tuple, and demand its length where given."""

    def passes(value: Any) -> bool:
        return (length is None or len(value) == length) and all(inner.test(item) for item in value)

    def describe(value: Any) -> str:
        return f"{len(value)} numbers: {list(value)!r}"

    count = "a list of numbers" if length is None else f"a list of exactly {length} numbers"
    return Check(test=passes, allowed=f"{count}, each {inner.allowed}", got=describe)
