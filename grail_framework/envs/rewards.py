"""The reward pipeline: every term times its weight and the step length, gated where configured, summed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.envs.gating import gate
from grail_framework.envs.terms import bind, check_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.config import RewardTermCfg
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.registry import Registry


class RewardPipeline:
    """Computes the reward and keeps per-term sums for the log, on the device."""

    def __init__(self, env: TrackingEnv, registry: Registry, terms: Mapping[str, RewardTermCfg]) -> None:
        self._env = env
        # A term of weight 0 stays in the configuration but costs nothing.
        self._cfgs = {name: cfg for name, cfg in terms.items() if cfg.weight != 0.0}
        self.terms = {name: bind(env, registry, "reward", name, cfg.func, cfg.params) for name, cfg in self._cfgs.items()}
        for name, term in self.terms.items():
            check_shape(term.compute(), "reward", name, term.func, env.num_envs, vector=False)
        self.names = tuple(self.terms)
        self.sums = torch.zeros(len(self.names), device=env.device)
        """Sum over steps of each term's mean over environments, weighted."""

    def compute(self) -> torch.Tensor:
        """Return the reward (N,)."""
        step_dt = self._env.step_dt
        parts = []
        for name, term in self.terms.items():
            cfg = self._cfgs[name]
            value = term.compute()
            if cfg.gate is not None:
                value = gate(self._env, cfg.gate, value)
            parts.append(value * (cfg.weight * step_dt))
        if not parts:
            return torch.zeros(self._env.num_envs, device=self._env.device)
        stacked = torch.stack(parts)  # (terms, N)
        self.sums += torch.nan_to_num(stacked, nan=0.0, posinf=0.0, neginf=0.0).mean(dim=1)
        return stacked.sum(dim=0)
