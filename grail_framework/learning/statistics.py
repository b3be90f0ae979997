"""What an iteration reports: gathered on the device while it runs, moved to the host once at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accelerate import Accelerator

_EPISODES = ("_episode_rewards", "_episode_lengths", "_episodes")


class RolloutStatistics:
    """Rewards, finished episodes and the environment's own log of one rollout; sums on the device."""

    def __init__(self, num_envs: int, device: torch.device) -> None:
        self.episode_reward = torch.zeros(num_envs, device=device)
        self.episode_length = torch.zeros(num_envs, device=device)
        self._device = device
        self._last_finished: dict[str, float] = {}
        self._clear()

    def _clear(self) -> None:
        self._steps = 0
        self._reward = torch.zeros((), device=self._device)
        self._finished = torch.zeros(3, device=self._device)
        self._log: dict[str, tuple[torch.Tensor, int]] = {}

    def record(self, reward: torch.Tensor, done: torch.Tensor, extras: Mapping[str, Any]) -> None:
        """Take in one step; `reward` and `done` are (num_envs,)."""
        self._steps += 1
        self._reward += reward.mean()
        self.episode_reward += reward
        self.episode_length += 1.0
        ended = done.to(reward.dtype)
        self._finished += torch.stack([(self.episode_reward * ended).sum(), (self.episode_length * ended).sum(), ended.sum()])
        self.episode_reward *= 1.0 - ended
        self.episode_length *= 1.0 - ended
        for name, value in extras.get("log", {}).items():
            total, count = self._log.get(name, (0.0, 0))
            self._log[name] = (total + value.detach(), count + 1)

    def drain(self) -> dict[str, torch.Tensor]:
        """Return the rollout's scalars on the device and start anew; episodes that go on keep their sums."""
        scalars = {name: total / count for name, (total, count) in self._log.items()}
        scalars["train/mean_reward"] = self._reward / max(self._steps, 1)
        scalars |= dict(zip(_EPISODES, self._finished.unbind(), strict=True))
        self._clear()
        return scalars

    def finish(self, metrics: dict[str, float]) -> dict[str, float]:
        """Turn the sums over finished episodes into means; an iteration in which none finished repeats the last ones."""
        reward, length, episodes = (metrics.pop(name) for name in _EPISODES)
        if episodes > 0.0:
            self._last_finished = {"episode/reward": reward / episodes, "episode/length": length / episodes}
        return metrics | self._last_finished

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of the running episodes and the last means."""
        return {
            "episode_reward": self.episode_reward,
            "episode_length": self.episode_length,
            "last_finished": dict(self._last_finished),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.episode_reward.copy_(state["episode_reward"])
        self.episode_length.copy_(state["episode_length"])
        self._last_finished = dict(state["last_finished"])


def to_host(scalars: Mapping[str, torch.Tensor], accelerator: Accelerator) -> dict[str, float]:
    """Average scalars over the ranks and move them to the host: one collective, one synchronisation."""
    names = list(scalars)
    vector = torch.stack([scalars[name].detach().to(accelerator.device, torch.float32).reshape(()) for name in names])
    vector = cast("torch.Tensor", accelerator.reduce(vector, reduction="mean"))
    return dict(zip(names, vector.tolist(), strict=True))
