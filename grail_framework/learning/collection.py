"""What is done at every step of a rollout beside the environment's part: decide, store, count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.learning.capture import Replay

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.learning.networks import ActorCritic
    from grail_framework.learning.statistics import RolloutStatistics
    from grail_framework.learning.storage import RolloutStorage


class Collector:
    """Lets `network` act, and fills `rollout` and `statistics`.

    What comes from outside is copied to tensors that stay where they are; all the rest of a step is two functions of them that a GPU
    can replay.
    """

    def __init__(self, network: ActorCritic, rollout: RolloutStorage, statistics: RolloutStatistics, *, capture: bool) -> None:
        self._network, self._rollout, self._statistics = network, rollout, statistics
        self._observations = {group: torch.zeros_like(stored[0]) for group, stored in rollout.observations.items()}
        self._reward = torch.zeros_like(rollout.rewards[0])
        self._terminated, self._truncated = torch.zeros_like(rollout.terminated[0]), torch.zeros_like(rollout.truncated[0])
        self._step = torch.zeros(1, dtype=torch.int64, device=rollout.device)
        device = rollout.device
        self._decide = Replay(self._decide_and_store, device, capture=capture, what="the policy's step")
        self._record = Replay(self._store_outcome, device, capture=capture, what="the record of a step")
        self._evaluate = Replay(self._store_last_value, device, capture=capture, what="the value after a rollout")

    @property
    def captured(self) -> bool:
        """Whether the next step will be replayed from CUDA graphs."""
        return self._decide.captured and self._record.captured

    def decide(self, step: int, observations: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sample the actions (num_envs, A) of step `step` of the rollout, and store them; they stay valid until the next rollout."""
        self._step.fill_(step)
        self._take(observations)
        self._decide()
        return self._rollout.actions[step]

    def record(self, reward: torch.Tensor, terminated: torch.Tensor, truncated: torch.Tensor) -> None:
        """Store what the environment answered in the step last decided, (num_envs,) each."""
        self._reward.copy_(reward)
        self._terminated.copy_(terminated)
        self._truncated.copy_(truncated)
        self._record()

    def last_value(self, observations: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the value (num_envs,) of the state after the rollout."""
        self._take(observations)
        self._evaluate()
        return self._rollout.last_value

    def _take(self, observations: Mapping[str, torch.Tensor]) -> None:
        for group, own in self._observations.items():
            own.copy_(observations[group])

    @torch.no_grad()
    def _decide_and_store(self) -> None:
        self._rollout.record_decision(self._step, self._observations, self._network(self._observations))

    @torch.no_grad()
    def _store_outcome(self) -> None:
        self._rollout.record_outcome(self._step, self._reward, self._terminated, self._truncated)
        self._statistics.record(self._reward, self._terminated | self._truncated)

    @torch.no_grad()
    def _store_last_value(self) -> None:
        self._rollout.last_value.copy_(self._network(self._observations).value)
