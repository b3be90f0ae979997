"""The smallest environment there is: a point on a line that learns to go to its goal."""

from __future__ import annotations

from typing import Any

import torch


class PointEnv:
    """A `VecEnv` of `num_envs` points; learning, resume and runner tests need no engine with it.

    The action moves the point by 0.2 m per unit, clipped to one unit; the reward is minus the distance to the goal. An episode
    is truncated after `max_length` steps and terminated 4 m from the origin. Resets draw from torch's global generator.
    """

    num_actions = 1
    step_dt = 0.02

    def __init__(self, num_envs: int, *, max_length: int = 20, device: str = "cpu") -> None:
        self.num_envs = num_envs
        self.max_length = max_length
        self.device = torch.device(device)
        self.observation_dims = {"policy": 2, "critic": 3}
        self.position = torch.zeros(num_envs, device=self.device)
        self.goal = torch.zeros(num_envs, device=self.device)
        self.age = torch.zeros(num_envs, device=self.device)
        self.falls = torch.zeros((), device=self.device)
        self._policy = torch.zeros(num_envs, 2, device=self.device)
        self._critic = torch.zeros(num_envs, 3, device=self.device)

    def reset(self) -> dict[str, torch.Tensor]:
        """Put every point and goal somewhere in [-2, 2] m."""
        self._reset(torch.ones(self.num_envs, dtype=torch.bool, device=self.device))
        return self._observe()

    def step(
        self, actions: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Move the points."""
        self.position += 0.2 * actions.squeeze(-1).clamp(-1.0, 1.0)
        self.age += 1.0
        distance = (self.position - self.goal).abs()
        terminated = self.position.abs() > 4.0
        truncated = self.age >= self.max_length
        self.falls += terminated.sum()
        self._reset(terminated | truncated)
        return self._observe(), -distance, terminated, truncated, {"log": {"env/distance": distance.mean()}}

    def _reset(self, mask: torch.Tensor) -> None:
        draws = torch.rand(2, self.num_envs, device=self.device) * 4.0 - 2.0
        self.position.copy_(torch.where(mask, draws[0], self.position))
        self.goal.copy_(torch.where(mask, draws[1], self.goal))
        self.age *= ~mask

    def _observe(self) -> dict[str, torch.Tensor]:
        # The same buffers every step, overwritten: what a fast engine does, and what callers must cope with.
        self._policy[:, 0], self._policy[:, 1] = self.goal - self.position, self.position
        self._critic[:, :2], self._critic[:, 2] = self._policy, self.age / self.max_length
        return {"policy": self._policy, "critic": self._critic}

    def drain_metrics(self) -> dict[str, torch.Tensor]:
        """Return how many points left the line."""
        falls = self.falls.clone()
        self.falls.zero_()
        return {"env/falls": falls}

    def state_dict(self) -> dict[str, Any]:
        """Return all state."""
        return {"position": self.position, "goal": self.goal, "age": self.age, "falls": self.falls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore all state."""
        for name, value in state.items():
            getattr(self, name).copy_(value)

    def close(self) -> None:
        """Release nothing."""
