"""Configuration of the MDP's terms: observations, rewards, terminations, events, curricula, action.

`func` is a registry name, plain (`grasp`) or qualified (`rewards:grasp`); `params` are the keyword arguments the term is called with.
"""

from __future__ import annotations

from typing import Any

import attrs

from grail_framework.config.validators import at_least, each, finite, non_negative, one_of


@attrs.frozen(kw_only=True)
class ContactGate:
    """Multiply a reward by the reference contact label of a hand (`gate_with_contact_label` in the GRAIL release)."""

    hand: str = attrs.field(validator=one_of("left", "right"))
    """Whose label gates the reward: left or right."""
    missing: str = attrs.field(default="error", validator=one_of("error", "ones", "zero"))
    """What a clip without labels means: `error` stops the run before the engine starts, `ones` and `zero` stand in for the label."""
    anti_contact_factor: float | None = attrs.field(default=None, validator=finite())
    """Factor f of `reward * label + f * reward * (1 - label)`; negative punishes early contact. None: no second part. [-]"""


@attrs.frozen(kw_only=True)
class UniformNoise:
    """Uniform noise added to an observation while its group has `enable_corruption`."""

    low: float = attrs.field(validator=finite())
    """Lower bound, in the unit of the observation."""
    high: float = attrs.field(validator=finite())
    """Upper bound, in the unit of the observation."""


@attrs.frozen(kw_only=True)
class ObservationTermCfg:
    """One term of an observation group."""

    func: str
    """Registry name of the observation term."""
    params: dict[str, Any] = attrs.field(factory=dict)
    """Keyword arguments of the term."""
    noise: UniformNoise | None = None
    """Noise added while the group's `enable_corruption` is on."""
    history_length: int = attrs.field(default=1, validator=at_least(1))
    """How many of the last values are given, oldest first; 1 is the current value alone. [control steps]"""


@attrs.frozen(kw_only=True)
class ObservationGroupCfg:
    """Terms that are concatenated, in the order written, into one vector."""

    terms: dict[str, ObservationTermCfg]
    """The terms by name; their order is the order of the vector."""
    enable_corruption: bool = False
    """Add each term's noise."""
    width: int | None = attrs.field(default=None, validator=at_least(1))
    """Expected width of the vector, asserted before the engine is built; None: not asserted. [-]"""


@attrs.frozen(kw_only=True)
class RewardTermCfg:
    """One reward term: `weight * step_dt * value`, gated where a gate is given."""

    func: str
    """Registry name of the reward term."""
    weight: float = attrs.field(validator=finite())
    """Weight before the factor step_dt; carries the sign. A term of weight 0 is not computed but stays listed. [1/s]"""
    params: dict[str, Any] = attrs.field(factory=dict)
    """Keyword arguments of the term."""
    gate: ContactGate | None = None
    """Contact gate; None: not gated."""


@attrs.frozen(kw_only=True)
class TerminationTermCfg:
    """One condition that ends an episode."""

    func: str
    """Registry name of the termination term."""
    params: dict[str, Any] = attrs.field(factory=dict)
    """Keyword arguments of the term."""
    time_out: bool = False
    """The end is no failure: the value of the last state is bootstrapped."""


@attrs.frozen(kw_only=True)
class EventTermCfg:
    """One disturbance or randomisation."""

    func: str
    """Registry name of the event term."""
    mode: str = attrs.field(validator=one_of("startup", "reset", "interval"))
    """When it happens: once at startup, at every reset, or at random intervals."""
    params: dict[str, Any] = attrs.field(factory=dict)
    """Keyword arguments of the term."""
    interval_range_s: tuple[float, ...] | None = attrs.field(default=None, validator=each(non_negative(), length=2))
    """Shortest and longest time between two occurrences, for mode `interval`. [s]"""
    train_only: bool = False
    """Left out at evaluation."""


@attrs.frozen(kw_only=True)
class CurriculumTermCfg:
    """One quantity that changes while training goes on."""

    func: str
    """Registry name of the curriculum term."""
    params: dict[str, Any] = attrs.field(factory=dict)
    """Keyword arguments of the term."""


@attrs.frozen(kw_only=True)
class ActionCfg:
    """How the policy's output becomes joint position targets."""

    func: str
    """Registry name of the action transform."""
    params: dict[str, Any] = attrs.field(factory=dict)
    """Keyword arguments of the transform."""
