"""What a benchmark hands over: rows of a figure, its reference and their ratio, and the document they stand in."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA: Final = 1
"""Version of the JSON document; raised when a key changes its meaning or goes."""


def _samples(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _not_empty(_instance: object, attribute: attrs.Attribute[Any], values: tuple[float, ...]) -> None:
    if not values:
        raise ValueError(f"{attribute.name}: no value was measured")


@attrs.frozen(kw_only=True)
class Samples:
    """One quantity, measured several times in a row."""

    name: str
    """What was measured, in words."""
    values: tuple[float, ...] = attrs.field(converter=_samples, validator=_not_empty)
    """One per repeat, in order."""

    @property
    def median(self) -> float:
        """The value that counts."""
        return statistics.median(self.values)

    def as_plain(self) -> dict[str, Any]:
        """Return name, median, lowest and highest value, and all of them."""
        return {
            "name": self.name,
            "median": self.median,
            "low": min(self.values),
            "high": max(self.values),
            "values": list(self.values),
        }


@attrs.frozen(kw_only=True)
class Goal:
    """A bound of a row's ratio, or of the figure itself."""

    bound: float
    at_least: bool = False
    """Whether more is better; else less is."""
    of_figure: bool = False
    """Whether the figure is meant, in its unit; it always is where there is no reference."""

    def met(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


@attrs.frozen(kw_only=True)
class Row:
    """A figure beside its reference; both in the same unit and of the same size of problem."""

    unit: str
    figure: Samples
    reference: Samples | None = None
    """What the figure is compared to; None: nothing, the goal is about the figure itself."""
    goal: Goal | None = None
    conditions: dict[str, Any] = attrs.field(factory=dict)
    """What both were measured under: number of environments, steps, threads."""
    details: dict[str, Any] = attrs.field(factory=dict)
    """What else the same run gave, numbers with the unit in their names."""

    @property
    def ratio(self) -> float | None:
        """Median of the figure over median of the reference."""
        return None if self.reference is None else self.figure.median / self.reference.median

    @property
    def ratio_spread(self) -> tuple[float, float] | None:
        """Lowest and highest ratio of figure and reference of one repeat; None where they were not measured in pairs."""
        if self.reference is None or len(self.reference.values) != len(self.figure.values):
            return None
        ratios = [mine / other for mine, other in zip(self.figure.values, self.reference.values, strict=True)]
        return min(ratios), max(ratios)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        ratio = None if self.goal.of_figure else self.ratio
        return self.goal.met(self.figure.median if ratio is None else ratio)

    def as_plain(self) -> dict[str, Any]:
        """Return the row as JSON holds it."""
        spread = self.ratio_spread
        return {
            "unit": self.unit,
            "conditions": self.conditions,
            "figure": self.figure.as_plain(),
            "reference": None if self.reference is None else self.reference.as_plain(),
            "ratio": self.ratio,
            "ratio_low": None if spread is None else spread[0],
            "ratio_high": None if spread is None else spread[1],
            "goal": None if self.goal is None else self._plain_goal(self.goal),
            "met": self.met,
            "details": self.details,
        }

    def _plain_goal(self, goal: Goal) -> dict[str, Any]:
        bound = {"at_least" if goal.at_least else "at_most": goal.bound}
        return {**bound, "of": "figure" if goal.of_figure or self.reference is None else "ratio"}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Row:
        """Return the row that `as_plain` gave."""

        def samples(of: Mapping[str, Any]) -> Samples:
            return Samples(name=of["name"], values=of["values"])

        goal, reference = plain["goal"], plain["reference"]
        return cls(
            unit=plain["unit"],
            figure=samples(plain["figure"]),
            reference=None if reference is None else samples(reference),
            goal=None if goal is None else _goal(goal),
            conditions=dict(plain["conditions"]),
            details=dict(plain["details"]),
        )


def _goal(plain: Mapping[str, Any]) -> Goal:
    at_least = "at_least" in plain
    return Goal(bound=plain["at_least" if at_least else "at_most"], at_least=at_least, of_figure=plain["of"] == "figure")


@attrs.frozen(kw_only=True)
class Report:
    """The document of one benchmark."""

    benchmark: str
    machine: dict[str, str]
    """What it ran on, and when."""
    settings: dict[str, Any]
    """What it was asked to measure."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    """What was left out and why, a sentence each."""

    def as_plain(self) -> dict[str, Any]:
        """Return the document as JSON holds it; `schema.json` beside this module describes it."""
        return {
            "schema": SCHEMA,
            "benchmark": self.benchmark,
            "machine": self.machine,
            "settings": self.settings,
            "rows": [row.as_plain() for row in self.rows],
            "notes": list(self.notes),
        }
