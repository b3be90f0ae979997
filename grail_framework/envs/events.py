"""The event pipeline: disturbances and randomisation, at startup, at every reset, or at random intervals."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

import attrs
import torch

from grail_framework.engine.protocol import RANDOMIZABLE, RandomizingEngine
from grail_framework.envs.terms import TermCall, check_params
from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from grail_framework.config import EventTermCfg
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.registry import Registry


@attrs.define(kw_only=True, eq=False)
class _Event:
    """An event ready to be called with the mask (N,) of the environments it happens in."""

    cfg: EventTermCfg
    happen: Callable[[torch.Tensor], None]
    instance: Any
    """The object of a stateful event; None for a plain function."""
    time_left: torch.Tensor | None = None
    """Time (N,) until it happens next, for mode `interval`. [s]"""


class EventPipeline:
    """Runs the events of a configuration; every draw is from the environment's generator."""

    def __init__(self, env: TrackingEnv, registry: Registry, cfgs: Mapping[str, EventTermCfg]) -> None:
        """Bind the events.

        Raises:
            ConfigError: a wrong parameter, or an event that changes what the engine cannot change per environment.
        """
        self._env = env
        self._events = {name: self._bind(registry, name, cfg) for name, cfg in cfgs.items()}
        self.any_interval = False
        for event in self._events.values():
            if event.cfg.mode == "interval":
                event.time_left = self._draw_interval(event)
                self.any_interval = True

    def start(self) -> None:
        """Let the events of mode `startup` happen, everywhere."""
        everywhere = torch.ones(self._env.num_envs, dtype=torch.bool, device=self._env.device)
        for event in self._active("startup"):
            event.happen(everywhere)

    def reset(self, mask: torch.Tensor) -> None:
        """Let the events of mode `reset` happen where an episode begins (N,), and draw new intervals there."""
        for event in self._active("reset"):
            event.happen(mask)
        for event in self._active("interval"):
            left = cast("torch.Tensor", event.time_left)
            torch.where(mask, self._draw_interval(event), left, out=left)

    def tick(self) -> None:
        """Pass one control step of time, and let the events of mode `interval` happen where they are due."""
        for event in self._active("interval"):
            left = cast("torch.Tensor", event.time_left)
            left -= self._env.step_dt
            due = left < 0.5 * self._env.step_dt  # half a step absorbs the rounding of the sums
            event.happen(due)
            torch.where(due, self._draw_interval(event), left, out=left)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the time until each interval event happens next."""
        return {name: event.time_left.clone() for name, event in self._events.items() if event.time_left is not None}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the time until each interval event happens next."""
        for name, value in state.items():
            cast("torch.Tensor", self._events[name].time_left).copy_(value)

    def instances(self) -> dict[str, Any]:
        """Return the objects of the events that are classes."""
        return {name: event.instance for name, event in self._events.items() if event.instance is not None}

    def _active(self, mode: str) -> list[_Event]:
        training = not self._env.evaluating
        return [event for event in self._events.values() if event.cfg.mode == mode and (training or not event.cfg.train_only)]

    def _draw_interval(self, event: _Event) -> torch.Tensor:
        low, high = cast("tuple[float, float]", event.cfg.interval_range_s)
        share = torch.rand(self._env.num_envs, generator=self._env.generator, device=self._env.device)
        return low + (high - low) * share

    def _bind(self, registry: Registry, name: str, cfg: EventTermCfg) -> _Event:
        env, target = self._env, registry.find("event", cfg.func).load()
        check_params(target, "event", name, cfg.func, cfg.params, supplied=("env", "mask"))
        params = {key: tuple(value) if isinstance(value, list) else value for key, value in cfg.params.items()}
        self._check_engine(name, cfg.func, getattr(target, "needs", None))
        if inspect.isclass(target):
            instance: Any = cast("Any", target)(env, **params)
            call = TermCall("event", name, cfg.func, instance, (env,), {})
            return _Event(cfg=cfg, happen=call, instance=instance)
        return _Event(cfg=cfg, happen=TermCall("event", name, cfg.func, target, (env,), params), instance=None)

    def _check_engine(self, name: str, func: str, needs: str | None) -> None:
        engine = self._env.engine
        able = engine.randomizable if isinstance(engine, RandomizingEngine) else frozenset[str]()
        if needs is not None and needs not in able:
            raise ConfigError(
                f"events.{name}: {func} sets, for each environment its own, {RANDOMIZABLE[needs].partition(', (N')[0]} ({needs}), "
                f"which the engine {self._env.cfg.engine.name!r} cannot: "
                f"{'it sets ' + ', '.join(sorted(able)) if able else 'its environments share the description of the robot'}. "
                f"Remove the event with ~events.{name}, or choose another engine with --engine"
            )
