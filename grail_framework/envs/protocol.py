"""What learning and evaluation ask of a vectorised environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


class VecEnv(Protocol):
    """`num_envs` copies of a task, stepped together; every tensor lives on `device`, and a step never waits for it.

    Tensors that `reset` and `step` return may be buffers the environment overwrites in its next step.
    """

    @property
    def num_envs(self) -> int:
        """Number of environments of this process."""
        ...

    @property
    def num_actions(self) -> int:
        """Width of the action."""
        ...

    @property
    def device(self) -> torch.device:
        """Where all tensors live."""
        ...

    @property
    def observation_dims(self) -> dict[str, int]:
        """Width of each observation group; at least `policy` and `critic`."""
        ...

    @property
    def step_dt(self) -> float:
        """Length of a control step. [s]"""
        ...

    def reset(self) -> dict[str, torch.Tensor]:
        """Reset all environments and return the observation groups, (num_envs, width) each."""
        ...

    def step(
        self, actions: torch.Tensor, /
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance by one control step.

        `actions` is (num_envs, num_actions). Returns the observation groups, the reward (num_envs,), `terminated` and
        `truncated` (num_envs,) bool, and extras. Environments that are done have been reset: their observations are those of the
        new episode. `extras["log"]`, where present, maps names to scalars on the device whose mean over a rollout is logged.
        """
        ...

    def drain_metrics(self) -> dict[str, torch.Tensor]:
        """Return the metrics gathered since the last call, scalars on the device, and set them to zero."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return all that a bitwise continuation needs, as tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Continue where `state_dict` was taken."""
        ...

    def close(self) -> None:
        """Release the engine."""
        ...
