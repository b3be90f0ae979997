"""The guard against invalid numbers: an environment that leaves the finite world is found, reset and counted, and what led there kept.

Nothing invalid reaches the learner. What led there is a ring of each environment's last states and actions on the device; the ring
of an environment that became invalid stands still until it is drained, once per iteration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import torch

if TYPE_CHECKING:
    from grail_framework.engine.protocol import SceneState
    from grail_framework.envs.tracking_env import TrackingEnv

LIMIT: Final = 1e6
"""Largest magnitude of a state, observation or reward that still counts as valid."""
RING_LENGTH: Final = 16
"""Control steps that are kept of every environment."""
REASONS: Final = ("state", "observation", "reward")
"""Where an invalid number was found first; a state or reward of this step, or the observation of the step before."""
_STATE_FIELDS: Final = (
    "root_pos_w",
    "root_quat_w",
    "root_lin_vel_w",
    "root_ang_vel_w",
    "joint_pos",
    "joint_vel",
    "object_pos_w",
    "object_quat_w",
    "object_lin_vel_w",
    "object_ang_vel_w",
)


def invalid_rows(tensor: torch.Tensor) -> torch.Tensor:
    """Find the rows (N,) of a tensor (N, ...) that hold a non-finite number or one above the limit."""
    # A maximum hands NaN on, and the comparison is false for it, so its negation covers both cases.
    return ~(tensor.flatten(1).abs().amax(dim=1) <= LIMIT)


def state_row(state: SceneState) -> torch.Tensor:
    """Put everything that is simulated into one row per environment (N, S): root, joints, object, then contact forces."""
    parts = [getattr(state, name) for name in _STATE_FIELDS]
    return torch.cat([*parts, *(force.flatten(1) for force in state.contact_forces.values())], dim=1)


def state_layout(state: SceneState) -> dict[str, int]:
    """Width of each quantity in a state row, in order; contact sensors as `contact_forces.<name>`."""
    widths = {name: getattr(state, name).shape[1] for name in _STATE_FIELDS}
    return widths | {f"contact_forces.{name}": force.flatten(1).shape[1] for name, force in state.contact_forces.items()}


def split_state(row: torch.Tensor, layout: dict[str, int]) -> dict[str, torch.Tensor]:
    """Take a state row (..., S) apart again, one flat tensor per quantity."""
    return dict(zip(layout, row.split(list(layout.values()), dim=-1), strict=True))


@attrs.frozen(kw_only=True, eq=False)
class InvalidRecord:
    """The last T control steps of an environment that became invalid, on the CPU; all of one episode."""

    env: int
    """Index of the environment."""
    motion: str
    """Key of the motion it followed."""
    reason: str
    """One of `REASONS`."""
    start: int
    """The episode's start frame."""
    frames: list[int]
    """Current reference frame when each step's action was taken."""
    steps: list[int]
    """Control steps of the episode that were done before each action."""
    layout: dict[str, int]
    """Widths of the quantities in a state."""
    states: torch.Tensor
    """(T, S) before each step."""
    actions: torch.Tensor
    """(T, A), the policy's outputs."""
    outcome: torch.Tensor
    """(S,) after the last step."""
    joint_offset: torch.Tensor
    """(J,), see `TrackingEnv.set_joint_offset`. [rad]"""


class InvalidStateGuard:
    """Finds invalid environments and remembers how they became so."""

    def __init__(self, env: TrackingEnv) -> None:
        self._env = env
        n, device = env.num_envs, env.device
        self.layout = state_layout(env.state)
        self._width = sum(self.layout.values())
        row = self._width + env.num_actions + 3
        self.ring = torch.full(
            (RING_LENGTH, n, row), -2.0, device=device
        )  # so that no row passes for the one before an episode
        self._head = torch.zeros(1, dtype=torch.long, device=device)
        """Slot of the next row."""
        self._held = torch.zeros(n, dtype=torch.bool, device=device)
        self._held_at = torch.zeros(n, dtype=torch.long, device=device)
        self._reason = torch.zeros(n, dtype=torch.long, device=device)
        self._outcome = torch.zeros(n, self._width, device=device)
        self._joint_offset = torch.zeros_like(env.joint_offset)
        self._pending = torch.zeros(n, dtype=torch.bool, device=device)
        self.resets = torch.zeros((), device=device)
        """Number of resets since the metrics were drained."""

    def record(self, action: torch.Tensor) -> None:
        """Keep the state before a step and the action (N, A) taken in it."""
        env = self._env
        clock = torch.stack((env.command.frame, env.command.start, env.episode_length), dim=1)
        row = torch.cat((state_row(env.state), action, clock), dim=1).unsqueeze(0)
        kept = torch.where(self._held.unsqueeze(1), self.ring.index_select(0, self._head), row)
        self.ring.index_copy_(0, self._head, kept)
        self._head.add_(1).remainder_(RING_LENGTH)

    def find(self, reward: torch.Tensor) -> torch.Tensor:
        """Return the environments (N,) whose state, reward (N,) or last observation is invalid, and hold their rings."""
        row = state_row(self._env.state)
        state, unpaid = invalid_rows(row), invalid_rows(reward.unsqueeze(1))
        invalid = state | unpaid | self._pending
        new = invalid & ~self._held
        # Most severe last: a reward is invalid wherever the state is.
        reason = torch.where(state, 0, torch.where(self._pending, 1, 2))
        for value, kept in (
            (reason, self._reason),
            (row, self._outcome),
            (self._env.joint_offset, self._joint_offset),
            (self._head, self._held_at),
        ):
            torch.where(new if kept.ndim == 1 else new.unsqueeze(1), value, kept, out=kept)
        self._held |= invalid
        self.resets += invalid.sum()
        return invalid

    def hide(self, observation: torch.Tensor) -> torch.Tensor:
        """Set invalid rows of an observation (N, d) to zero, in place, and have their environments reset in the next step."""
        # Too late to reset in this step.
        invalid = invalid_rows(observation)
        self._pending |= invalid
        return observation.masked_fill_(invalid.unsqueeze(1), 0.0)

    def reset(self, mask: torch.Tensor) -> None:
        """Forget what is pending where an episode begins (N,)."""
        self._pending.masked_fill_(mask, False)

    def drain(self) -> list[InvalidRecord]:
        """Return a record of each environment that became invalid since the last call. Waits for the device."""
        held = self._held.nonzero().flatten().tolist()
        records = [self._read(index) for index in held]
        self._held.zero_()
        return records

    def _read(self, index: int) -> InvalidRecord:
        newest = int(self._held_at[index])
        order = [(newest + i) % RING_LENGTH for i in range(RING_LENGTH)]
        rows = self.ring[order, index].cpu()
        frames, starts, steps = rows[:, -3:].long().unbind(1)
        count = 1  # rows of the episode that failed are the last ones, its steps counted up
        while count < RING_LENGTH and int(steps[-count]) == int(steps[-count - 1]) + 1:
            count += 1
        rows = rows[-count:]
        return InvalidRecord(
            env=index,
            motion=self._env.motions.keys[int(self._env.command.motion_ids[index])],
            reason=REASONS[int(self._reason[index])],
            start=int(starts[-1]),
            frames=frames[-count:].tolist(),
            steps=steps[-count:].tolist(),
            layout=dict(self.layout),
            states=rows[:, : self._width].clone(),
            actions=rows[:, self._width : -3].clone(),
            outcome=self._outcome[index].cpu().clone(),
            joint_offset=self._joint_offset[index].cpu().clone(),
        )

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return what decides how the environment goes on; the rings do not."""
        return {"pending": self._pending.clone()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self._pending.copy_(state["pending"])
