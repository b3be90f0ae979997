"""The tracked fraction: how much of each motion a policy gets through before it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from grail_framework.envs.tracking_env import TrackingEnv


@attrs.frozen(kw_only=True)
class TrackingResult:
    """What came of following every motion once, from its first frame."""

    fractions: dict[str, float]
    """Share of its frames survived, by motion. [-]"""
    causes: dict[str, str]
    """The termination term that ended each motion; `tracking_time_out` or another time-out where it was survived."""
    mean_reward: float
    """Mean reward per control step over the survived steps. [-]"""
    object_error: float | None
    """Mean distance of the object to its reference over the survived steps [m]; None without an object."""

    @property
    def tracked_fraction(self) -> float:
        """Mean of the fractions over motions."""
        return sum(self.fractions.values()) / max(len(self.fractions), 1)


def zero_action(env: TrackingEnv) -> Callable[[dict[str, torch.Tensor]], torch.Tensor]:
    """Return the policy that does nothing: the baseline of every evaluation."""
    action = torch.zeros(env.num_envs, env.num_actions, device=env.device)
    return lambda _observations: action


@torch.no_grad()
def evaluate_tracking(env: TrackingEnv, policy: Callable[[dict[str, torch.Tensor]], torch.Tensor]) -> TrackingResult:
    """Follow each motion that the environment holds once, from frame 0, without noise, and measure how far the policy gets.

    Environments 0 .. M-1 hold the M distinct motions; the others repeat them and do not count. The environment's state afterwards is
    that of the evaluation: save and restore it around the call where it is still needed.
    """
    tally = _Tally(env)
    env.begin_evaluation()
    env.before_reset = tally.score
    try:
        observations = env.reset()
        for _ in range(int(tally.length.max())):
            observations, reward, terminated, truncated, _ = env.step(policy(observations))
            tally.count(reward, terminated, truncated)
            if not bool(tally.alive.any()):
                break
    finally:
        env.before_reset = None
        env.end_evaluation()
    return tally.result()


class _Tally:
    """Running sums of an evaluation over the first M environments."""

    def __init__(self, env: TrackingEnv) -> None:
        self._env = env
        self._motions = min(env.num_envs, env.motions.num_motions)
        self.length = env.command.num_frames[: self._motions]
        self.alive = torch.ones(self._motions, dtype=torch.bool, device=env.device)
        self._survived = torch.zeros_like(self.length)
        self._reward = torch.zeros((), device=env.device)
        self._error = torch.zeros((), device=env.device)
        self._step_error = torch.zeros(self._motions, device=env.device)
        self._causes: dict[str, str] = {}

    def score(self) -> None:
        """Measure the object error of a step, before the environments that ended are reset."""
        error = self._env.reference.object_pos_w - self._env.state.object_pos_w
        self._step_error = torch.linalg.vector_norm(error, dim=-1)[: self._motions]

    def count(self, reward: torch.Tensor, terminated: torch.Tensor, truncated: torch.Tensor) -> None:
        """Add a step of the motions that are still followed."""
        kept = self.alive & ~terminated[: self._motions]
        self._survived += kept
        self._reward += reward[: self._motions].where(kept, 0.0).sum()
        self._error += self._step_error.where(kept, 0.0).sum()
        ended = self.alive & (terminated | truncated)[: self._motions]
        _note_causes(self._env, ended, self._causes)
        self.alive &= ~ended

    def result(self) -> TrackingResult:
        """Turn the sums into means."""
        steps = self._survived.sum().clamp_min(1)
        shares = (self._survived / self.length).tolist()
        return TrackingResult(
            fractions={self._env.motions.keys[i]: share for i, share in enumerate(shares)},
            causes=self._causes,
            mean_reward=float(self._reward / steps),
            object_error=float(self._error / steps) if self._env.engine.spec.objects else None,
        )


def _note_causes(env: TrackingEnv, ended: torch.Tensor, causes: dict[str, str]) -> None:
    """Remember the first term that fired in each environment that has just ended."""
    for index in ended.nonzero().flatten().tolist():
        fired = env.terminations.last[:, index].tolist()
        names = [name for name, hit in zip(env.terminations.names, fired, strict=True) if hit]
        failures = [name for name in names if not env.cfg.terminations[name].time_out]
        causes[env.motions.keys[index]] = (failures or names or ["invalid_state"])[0]
