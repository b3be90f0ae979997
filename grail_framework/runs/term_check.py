"""Checks of the terms a configuration names: they exist, and take the parameters they are given.

Importing the terms may import torch; nothing here imports an engine.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Union

import attrs

from grail_framework.config.consistency import check_sensor
from grail_framework.config.structure import FieldError, convert
from grail_framework.errors import ConfigError, GrailError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grail_framework.config import RunCfg
    from grail_framework.registry import Registry

_PLAIN: Final = (bool, int, float, str, type(None))
_SENSOR: Final = "sensor"
"""Parameter by which terms name a contact sensor of the scene."""
_EVENT: Final = ("env", "mask")
"""What the environment passes to an event itself."""
_NETWORK: Final = (
    *("actor_obs_dim", "critic_obs_dim", "num_actions", "observation_layout"),
    *("init_noise_std", "min_noise_std", "max_noise_std"),
)
"""What the run passes to a network itself; of these, `observation_layout` only to one that has it."""


@attrs.frozen(kw_only=True)
class TermUse:
    """One place in a configuration that names a registered callable."""

    kind: str
    path: str
    func: str
    params: dict[str, Any]
    supplied: tuple[str, ...] = ()
    """Parameters that the framework passes by name; without any it passes the first one, the environment."""


def term_uses(cfg: RunCfg) -> Iterator[TermUse]:
    """List everything in a configuration that is called with parameters."""
    for group, settings in cfg.observations.items():
        for name, term in settings.terms.items():
            yield TermUse(kind="observation", path=f"observations.{group}.terms.{name}", func=term.func, params=term.params)
    for name, reward in cfg.rewards.items():
        yield TermUse(kind="reward", path=f"rewards.{name}", func=reward.func, params=reward.params)
    for name, termination in cfg.terminations.items():
        yield TermUse(kind="termination", path=f"terminations.{name}", func=termination.func, params=termination.params)
    for name, event in cfg.events.items():
        yield TermUse(kind="event", path=f"events.{name}", func=event.func, params=event.params, supplied=_EVENT)
    for name, curriculum in cfg.curriculums.items():
        yield TermUse(kind="curriculum", path=f"curriculums.{name}", func=curriculum.func, params=curriculum.params)
    yield TermUse(kind="action", path="action", func=cfg.action.func, params=cfg.action.params)
    yield TermUse(kind="network", path="network", func=cfg.network.func, params=cfg.network.params, supplied=_NETWORK)


def check_terms(cfg: RunCfg, registry: Registry) -> None:
    """Resolve every term and compare its parameters with its signature.

    Raises:
        ConfigError: a parameter the term does not have, a missing one, or a value of another type than the term declares.
        NotFoundError: nothing of the kind has the name.
        PluginLoadError: the term's module cannot be imported.
    """
    for use in term_uses(cfg):
        try:
            entry = registry.find(use.kind, use.func)
            target = entry.load()
        except GrailError as error:
            raise type(error)(f"{use.path}.func: {error}") from error
        if not callable(target):
            raise ConfigError(f"{use.path}.func: {entry.qualified} is {type(target).__name__}, allowed: something callable")
        check_params(use, target)
        sensor = use.params.get(_SENSOR)
        if isinstance(sensor, str):
            check_sensor(cfg, f"{use.path}.params.{_SENSOR}", sensor)


def check_params(use: TermUse, target: Any) -> None:
    """Compare given parameters with a callable's signature and annotations.

    Raises:
        ConfigError: an unknown or missing parameter, or a value that does not fit the annotation.
    """
    accepted, open_ended = _parameters(target, use.supplied)
    for name, value in use.params.items():
        path = f"{use.path}.params.{name}"
        if name not in accepted:
            if open_ended:
                continue
            hint = suggest(name, accepted) or "it takes none"
            raise ConfigError(f"{path}: {use.kind} {use.func!r} has no such parameter: {hint}")
        expected = _annotation(target, accepted[name])
        try:
            convert(expected, value, path)
        except FieldError as error:
            raise ConfigError(f"{error} (parameter of {use.kind} {use.func!r})") from error
    missing = [name for name, p in accepted.items() if p.default is p.empty and name not in use.params]
    if missing:
        example = " ".join(f"+{use.path}.params.{name}=..." for name in missing)
        raise ConfigError(f"{use.path}: {use.kind} {use.func!r} needs {', '.join(missing)}. Add {example}")


def _parameters(target: Any, supplied: tuple[str, ...]) -> tuple[dict[str, inspect.Parameter], bool]:
    """Parameters that come from the configuration, and whether any name is taken."""
    parameters = list(inspect.signature(target).parameters.values())
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    settable = [p for p in parameters if p.name not in supplied] if supplied else parameters[1:]
    return {p.name: p for p in settable if p.kind in named}, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _annotation(target: Any, parameter: inspect.Parameter) -> Any:
    """The type a parameter declares, or Any where it is not one that a configuration can be checked against."""
    annotation = parameter.annotation
    if annotation is parameter.empty:
        return Any
    if isinstance(annotation, str):
        function = target.__init__ if inspect.isclass(target) else target
        try:
            # The source of an imported module, not of a user: the same that `typing.get_type_hints` does, one name at a time.
            annotation = eval(annotation, getattr(inspect.unwrap(function), "__globals__", {}))
        except (NameError, AttributeError, TypeError):
            return Any  # imported for type checking only
    return _checkable(annotation)


def _checkable(annotation: Any) -> Any:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is None or annotation in _PLAIN or origin is Literal:
        return annotation
    if origin in (Union, types.UnionType):
        arms = [_checkable(arm) for arm in args]
        return Any if Any in arms else Union[tuple(arms)]  # noqa: UP007 - built from a list
    if origin in (tuple, list, Sequence):
        items = [_checkable(arg) for arg in args if arg is not Ellipsis]
        fixed = origin is tuple and Ellipsis not in args
        return tuple[tuple(items)] if fixed else tuple[items[0], ...]
    if origin in (dict, Mapping):
        return dict[str, _checkable(args[1])]
    return Any
