"""What an iteration reports: gathered on the device while it runs, moved to the host once at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch

from grail_framework.errors import EnvContractError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accelerate import Accelerator

_EPISODES = ("_episode_rewards", "_episode_lengths", "_episodes")


class ScalarSums:
    """Sums of named scalars, on the device in one tensor that stays where it is."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sums = torch.zeros(0)

    def clear(self) -> None:
        """Set all sums to zero."""
        self._sums.zero_()

    def add(self, scalars: Mapping[str, torch.Tensor]) -> None:
        """Add one value of each; the first call decides which there are.

        Raises:
            EnvContractError: others than in the first call.
        """
        values = torch.stack([value.float() for value in scalars.values()])
        if not self._names:
            self._names, self._sums = tuple(scalars), torch.zeros_like(values)
        elif self._names != tuple(scalars):
            raise EnvContractError(
                f"a network's aux_losses must have the same names in every mini-batch: the losses are now {', '.join(scalars)}, "
                f"and were {', '.join(self._names)}; return zero for a loss that does not apply"
            )
        self._sums += values

    def divided(self, divisor: float) -> dict[str, torch.Tensor]:
        """Return each sum divided by `divisor`."""
        return dict(zip(self._names, (self._sums / divisor).unbind(), strict=True))

    def sum_of(self, name: str) -> torch.Tensor:
        """Return one sum."""
        return self._sums[self._names.index(name)].clone()


class RolloutStatistics:
    """Rewards, finished episodes and the environment's own log of one rollout; sums on the device."""

    def __init__(self, num_envs: int, device: torch.device) -> None:
        self.episode_reward = torch.zeros(num_envs, device=device)
        self.episode_length = torch.zeros(num_envs, device=device)
        self._sums = torch.zeros(2 + len(_EPISODES), device=device)  # steps, mean reward, and of finished episodes
        self._last_finished: dict[str, float] = {}
        self._log: dict[str, tuple[torch.Tensor, int]] = {}

    def record(self, reward: torch.Tensor, done: torch.Tensor) -> None:
        """Take in one step, in place; `reward` and `done` are (num_envs,)."""
        self.episode_reward += reward
        self.episode_length += 1.0
        ended = done.to(reward.dtype)
        finished = (self.episode_reward * ended).sum(), (self.episode_length * ended).sum(), ended.sum()
        self._sums += torch.stack([torch.ones_like(finished[0]), reward.mean(), *finished])
        self.episode_reward *= 1.0 - ended
        self.episode_length *= 1.0 - ended

    def record_log(self, extras: Mapping[str, Any]) -> None:
        """Take in what the environment logs of one step."""
        for name, value in extras.get("log", {}).items():
            total, count = self._log.get(name, (0.0, 0))
            self._log[name] = (total + value.detach(), count + 1)

    def drain(self) -> dict[str, torch.Tensor]:
        """Return the rollout's scalars on the device and start anew; episodes that go on keep their sums."""
        scalars = {name: total / count for name, (total, count) in self._log.items()}
        steps, reward, *finished = self._sums.clone().unbind()
        scalars["train/mean_reward"] = reward / steps.clamp_min(1.0)
        scalars |= dict(zip(_EPISODES, finished, strict=True))
        self._sums.zero_()
        self._log = {}
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
