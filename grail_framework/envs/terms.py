"""Binding of configured terms to callables: names are resolved once, when the environment is built."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

import attrs

from grail_framework.errors import ConfigError, EnvContractError, suggest

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.registry import Registry


@attrs.frozen(eq=False)
class TermCall:
    """A term with the arguments that stay the same."""

    kind: str
    name: str
    func: str
    target: Callable[..., Any]
    args: tuple[Any, ...]
    params: dict[str, Any]

    def __call__(self, *more: Any) -> Any:
        """Call the term."""
        return self.target(*self.args, *more, **self.params)


@attrs.frozen(kw_only=True, eq=False)
class BoundTerm:
    """A term ready to be called without arguments."""

    kind: str
    """observation, reward, termination or curriculum."""
    name: str
    func: str
    compute: Callable[[], torch.Tensor]
    instance: Any = None
    """The object of a stateful term; None for a plain function."""

    def reset(self, mask: torch.Tensor) -> None:
        """Tell a stateful term which environments (N,) start anew."""
        if hasattr(self.instance, "reset"):
            self.instance.reset(mask)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the tensors of a stateful term."""
        return self.instance.state_dict() if hasattr(self.instance, "state_dict") else {}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the tensors of a stateful term."""
        if hasattr(self.instance, "load_state_dict"):
            self.instance.load_state_dict(state)


class OncePerPhase:
    """Computes a term at most once between two changes of state or reference, however many groups ask for it."""

    def __init__(self, env: TrackingEnv, term: BoundTerm) -> None:
        self._env = env
        self.term = term
        self._phase: object = None
        self._value: torch.Tensor

    def __call__(self) -> torch.Tensor:
        """Return the term's value; not to be written to."""
        if self._phase is not self._env.view:  # a view is made anew for every phase
            self._phase = self._env.view
            self._value = self.term.compute()
        return self._value


def bind(env: TrackingEnv, registry: Registry, kind: str, name: str, func: str, params: dict[str, Any]) -> BoundTerm:
    """Resolve a term and fix its arguments.

    A function is called as `func(env, **params)`; a class is made once as `cls(env, **params)` and called as `instance(env)`.

    Raises:
        ConfigError: a parameter the term does not have, or a missing one.
        NotFoundError: nothing of this kind has the name.
    """
    target: Any = registry.find(kind, func).load()
    check_params(target, kind, name, func, params)
    # Lists of a config file become tuples, so that terms can use them as keys.
    params = {key: tuple(value) if isinstance(value, list) else value for key, value in params.items()}
    if inspect.isclass(target):
        instance: Any = cast("Any", target)(env, **params)
        call = TermCall(kind, name, func, instance, (env,), {})
        return BoundTerm(kind=kind, name=name, func=func, compute=call, instance=instance)
    return BoundTerm(kind=kind, name=name, func=func, compute=TermCall(kind, name, func, target, (env,), params))


def check_params(
    target: Any, kind: str, name: str, func: str, params: dict[str, Any], *, supplied: tuple[str, ...] = ("env",)
) -> None:
    """Compare a term's parameters with its signature; `supplied` are those that the framework passes itself.

    Raises:
        ConfigError: a parameter the term does not have, or a missing one; close matches are named.
    """
    accepted = {
        key: parameter
        for key, parameter in inspect.signature(target).parameters.items()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD) and key not in supplied
    }
    for key in params:
        if key not in accepted:
            raise ConfigError(
                f"{kind} {name!r} ({func}): unknown parameter {key!r}: {suggest(key, accepted) or 'it takes none'}"
            )
    missing = [key for key, parameter in accepted.items() if parameter.default is parameter.empty and key not in params]
    if missing:
        raise ConfigError(f"{kind} {name!r} ({func}): missing parameter {', '.join(map(repr, missing))} in params")


def check_shape(value: torch.Tensor, kind: str, name: str, func: str, num_envs: int, *, vector: bool) -> None:
    """Check what a term returned, once, when the environment is built.

    Raises:
        EnvContractError: not (num_envs,), or for a vector not (num_envs, d).
    """
    expected = f"({num_envs}, d)" if vector else f"({num_envs},)"
    shape = tuple(value.shape)
    if len(shape) != (2 if vector else 1) or shape[0] != num_envs:
        raise EnvContractError(f"{kind} {name!r} ({func}) returned shape {shape}, expected {expected}")
