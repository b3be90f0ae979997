"""Observation groups: terms, noise and history, concatenated in the order written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.envs.terms import OncePerPhase, bind, check_shape
from grail_framework.errors import EnvContractError

if TYPE_CHECKING:
    from grail_framework.config import ObservationGroupCfg, UniformNoise
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.registry import Registry


type SharedTerms = dict[str, OncePerPhase]
"""Terms that groups share, by function and parameters: actor and critic mostly observe the same."""


class _Term:
    """One term with its noise and its history buffer (N, H, d), oldest first."""

    def __init__(self, compute: OncePerPhase, noise: UniformNoise | None, history: int) -> None:
        self.compute = compute
        self.noise = noise
        self.history = history
        self.buffer: torch.Tensor | None = None
        self.width = 0


class ObservationGroup:
    """Computes one observation vector."""

    def __init__(self, env: TrackingEnv, registry: Registry, name: str, cfg: ObservationGroupCfg, shared: SharedTerms) -> None:
        """Bind the terms that are not in `shared` yet, and check their shapes.

        Raises:
            EnvContractError: a term of the wrong shape, or a group of another width than the config asserts.
        """
        self.name = name
        self._env = env
        self._corrupt = cfg.enable_corruption
        self._terms: dict[str, _Term] = {}
        for key, term in cfg.terms.items():
            same = f"{registry.find('observation', term.func).qualified} {sorted(term.params.items())!r}"
            if same not in shared:
                shared[same] = OncePerPhase(env, bind(env, registry, "observation", key, term.func, term.params))
            self._terms[key] = _Term(shared[same], term.noise, term.history_length)
            value = shared[same]()
            check_shape(value, "observation", f"{name}.{key}", term.func, env.num_envs, vector=True)
            self._terms[key].width = value.shape[1] * term.history_length
            if term.history_length > 1:
                self._terms[key].buffer = value.unsqueeze(1).repeat(1, term.history_length, 1)
        self.width = sum(self.layout.values())
        if cfg.width is not None and cfg.width != self.width:
            listed = ", ".join(f"{key} {width}" for key, width in self.layout.items())
            raise EnvContractError(
                f"observation group {name!r} is {self.width} wide, the task asserts {cfg.width}: {listed}. Mend the terms, or where that "
                f"is what you mean write observations.{name}.width={self.width}, or null to assert nothing"
            )

    @property
    def layout(self) -> dict[str, int]:
        """Width of each term, in order."""
        return {key: term.width for key, term in self._terms.items()}

    def values(self) -> dict[str, torch.Tensor]:
        """Compute each term's current value (N, d), without noise and history."""
        return {key: term.compute() for key, term in self._terms.items()}

    def compute(self, fresh: torch.Tensor) -> torch.Tensor:
        """Compute the vector (N, width); histories of the environments in the mask `fresh` (N,) are filled with the new value."""
        return torch.cat([self._value(term, fresh) for term in self._terms.values()], dim=-1)

    def _value(self, term: _Term, fresh: torch.Tensor) -> torch.Tensor:
        value = term.compute()
        if self._corrupt and term.noise is not None and not self._env.evaluating:
            span = term.noise.high - term.noise.low
            draw = torch.rand(value.shape, generator=self._env.generator, device=value.device)
            value = value + term.noise.low + span * draw
        if term.buffer is None:
            return value
        moved = torch.cat((term.buffer[:, 1:], value.unsqueeze(1)), dim=1)
        torch.where(fresh.view(-1, 1, 1), value.unsqueeze(1), moved, out=term.buffer)
        return term.buffer.flatten(1)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the history buffers."""
        return {key: term.buffer.clone() for key, term in self._terms.items() if term.buffer is not None}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the history buffers."""
        for key, saved in state.items():
            buffer = self._terms[key].buffer
            if buffer is not None:
                buffer.copy_(saved)
