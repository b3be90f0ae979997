"""The curriculum pipeline: quantities of the environment that change between iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.envs.terms import bind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from grail_framework.config import CurriculumTermCfg
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.registry import Registry


class CurriculumPipeline:
    """Runs the curriculum terms once per iteration of learning, that is every `num_steps_per_env` control steps.

    A term is `(env, **params) -> scalar`: it changes what it is about and returns the value to be logged. What it changes must be
    part of the environment's state (reward weights are), or the term a class with `state_dict` and `load_state_dict`.
    """

    def __init__(self, env: TrackingEnv, registry: Registry, cfgs: Mapping[str, CurriculumTermCfg]) -> None:
        self._env = env
        self._period = env.cfg.algorithm.num_steps_per_env
        self.steps = 0
        """Control steps of training so far."""
        self._terms = {name: bind(env, registry, "curriculum", name, cfg.func, cfg.params) for name, cfg in cfgs.items()}
        self._values: dict[str, torch.Tensor] = {}

    @property
    def iteration(self) -> int:
        """Iterations of learning whose steps are done."""
        return self.steps // self._period

    def start(self) -> None:
        """Apply the terms as of the current iteration; when the environment is built."""
        for name, term in self._terms.items():
            value: torch.Tensor | float = term.compute()
            # `full` fills on the device, where making a tensor of a number would wait for a copy to it.
            given = isinstance(value, torch.Tensor)
            self._values[name] = value.clone() if given else torch.full((), value, device=self._env.device)

    def step(self) -> bool:
        """Count a control step of training; at the end of an iteration's last one apply the terms, and tell whether there are any."""
        self.steps += 1
        if self.steps % self._period:
            return False
        self.start()
        return bool(self._terms)

    def metrics(self) -> dict[str, torch.Tensor]:
        """Return what each term gave last, scalars on the device."""
        return {f"curriculum/{name}": value for name, value in self._values.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps and the state of the terms."""
        return {
            "steps": self.steps,
            "values": {name: value.clone() for name, value in self._values.items()},
            "terms": {name: term.state_dict() for name, term in self._terms.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken; terms that are new begin as they are."""
        self.steps = int(state["steps"])
        for name, value in state["values"].items():
            if name in self._terms:
                self._values[name] = value.to(self._env.device).clone()
                self._terms[name].load_state_dict(state["terms"][name])
