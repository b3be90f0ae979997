"""The termination pipeline: which environments end, whether by failure or by time-out, and which term did it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.envs.terms import bind, check_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.config import TerminationTermCfg
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.registry import Registry


class TerminationPipeline:
    """Computes `terminated` and `truncated` and counts causes on the device."""

    def __init__(self, env: TrackingEnv, registry: Registry, terms: Mapping[str, TerminationTermCfg]) -> None:
        self._env = env
        self._time_out = {name: cfg.time_out for name, cfg in terms.items()}
        self.terms = {name: bind(env, registry, "termination", name, cfg.func, cfg.params) for name, cfg in terms.items()}
        for name, term in self.terms.items():
            check_shape(term.compute(), "termination", name, term.func, env.num_envs, vector=False)
        self.names = tuple(self.terms)
        self.counts = torch.zeros(len(self.names), device=env.device)
        """How many environments each term has ended."""
        self.last = torch.zeros(len(self.names), env.num_envs, dtype=torch.bool, device=env.device)
        """Which term fired where in the last step."""
        self.terminated = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)

    def compute(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return terminated and truncated (N,); an environment that fails as its motion ends counts as terminated."""
        num_envs, device = self._env.num_envs, self._env.device
        terminated = torch.zeros(num_envs, dtype=torch.bool, device=device)
        truncated = torch.zeros(num_envs, dtype=torch.bool, device=device)
        fired = []
        for name, term in self.terms.items():
            hit = term.compute()
            fired.append(hit)
            if self._time_out[name]:
                truncated = truncated | hit
            else:
                terminated = terminated | hit
        if fired:
            torch.stack(fired, out=self.last)
            self.counts += self.last.sum(dim=1)
        self.terminated.copy_(terminated)
        return terminated, truncated & ~terminated
