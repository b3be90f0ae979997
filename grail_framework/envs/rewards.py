"""The reward pipeline: every term times its weight and the step length, gated where configured, summed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.envs.gating import gate
from grail_framework.envs.terms import bind, check_shape
from grail_framework.errors import ConfigError, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.config import RewardTermCfg
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.registry import Registry


class RewardPipeline:
    """Computes the reward and keeps per-term sums for the log, on the device."""

    def __init__(self, env: TrackingEnv, registry: Registry, terms: Mapping[str, RewardTermCfg]) -> None:
        self._env = env
        # A term of weight 0 stays in the configuration but costs nothing, unless a curriculum may raise its weight.
        self._cfgs = {name: cfg for name, cfg in terms.items() if cfg.weight != 0.0 or env.cfg.curriculums}
        self.terms = {name: bind(env, registry, "reward", name, cfg.func, cfg.params) for name, cfg in self._cfgs.items()}
        for name, term in self.terms.items():
            check_shape(term.compute(), "reward", name, term.func, env.num_envs, vector=False)
        self.names = tuple(self.terms)
        self.weights = torch.tensor([cfg.weight for cfg in self._cfgs.values()], device=env.device)
        """Weight of each term before the factor step_dt; curricula change it through `set_weight`. [1/s]"""
        self.sums = torch.zeros(len(self.names), device=env.device)
        """Sum over steps of each term's mean over environments, weighted."""

    def set_weight(self, name: str, weight: float | torch.Tensor) -> None:
        """Change the weight of a term from the next step on.

        Raises:
            ConfigError: no reward has this name.
        """
        if name not in self.names:
            raise ConfigError(f"no reward {name!r}: {suggest(name, self.names)}")
        self.weights[self.names.index(name)].fill_(weight)  # an assignment would copy the number from the host

    def values(self) -> list[torch.Tensor]:
        """Compute every term, gated but not weighted; (N,) each, in the order of `names`."""
        values = []
        for name, term in self.terms.items():
            value, switch = term.compute(), self._cfgs[name].gate
            values.append(value if switch is None else gate(self._env, switch, value))
        return values

    def compute(self) -> torch.Tensor:
        """Return the reward (N,)."""
        if not self.terms:
            return torch.zeros(self._env.num_envs, device=self._env.device)
        weighted = torch.stack(self.values()) * (self.weights * self._env.step_dt).unsqueeze(1)  # (terms, N)
        self.sums += torch.nan_to_num(weighted, nan=0.0, posinf=0.0, neginf=0.0).mean(dim=1)
        return weighted.sum(dim=0)
