"""The environment: a humanoid, perhaps with an object, that follows reference motions. All tensors stay on the engine's device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from grail_framework.config.consistency import check_supported
from grail_framework.envs.command import ReferenceCommand
from grail_framework.envs.guard import invalid_rows, invalid_states
from grail_framework.envs.observations import ObservationGroup, SharedTerms
from grail_framework.envs.resets import ReferenceReset
from grail_framework.envs.rewards import RewardPipeline
from grail_framework.envs.terminations import TerminationPipeline
from grail_framework.envs.terms import check_params
from grail_framework.envs.view import TrackingView
from grail_framework.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grail_framework.config import RunCfg
    from grail_framework.engine.protocol import Engine, SceneState
    from grail_framework.envs.terms import BoundTerm
    from grail_framework.mdp.actions import ActionTransform
    from grail_framework.motion.library import MotionLibrary, ReferenceFrame, ReferenceWindow
    from grail_framework.registry import Registry


class TrackingEnv:
    """Steps `num_envs` copies of a scene along their reference motions.

    A step is: action transform, engine step, terminations, rewards, reset of the environments that ended, reference one frame
    further, observations. Terms get this object and read `state`, `reference`, `window`, `view`, `motions`, `action_term`.
    """

    def __init__(self, cfg: RunCfg, engine: Engine, motions: MotionLibrary, registry: Registry, *, seed: int = 0) -> None:
        """Build the environment and put every copy at a start frame.

        Raises:
            ConfigError: a term's parameter is wrong, or there are event or curriculum terms.
            EnvContractError: a term returned the wrong shape.
            DataError: the start frame rule needs contact labels that no clip has.
        """
        check_supported(cfg)
        self.cfg = cfg
        self.engine = engine
        self.motions = motions
        self.robot = engine.spec.robot
        self.device = engine.device
        self.num_envs = engine.spec.num_envs
        self.step_dt = engine.spec.step_dt
        self.generator = torch.Generator(device=self.device).manual_seed(seed)
        self.evaluating = False
        self.before_reset: Callable[[], None] | None = None
        """Called in every step after the rewards, before the environments that ended are reset; for evaluation."""
        self.tracked_ids = torch.tensor(self.robot.body_ids(self.robot.tracked_bodies), device=self.device)
        self.anchor_id = self.robot.tracked_bodies.index(self.robot.anchor_body)
        self.default_joint_pos = torch.tensor([joint.default_pos for joint in self.robot.joints], device=self.device)
        self._index_cache: dict[tuple[str, tuple[str, ...]], torch.Tensor] = {}

        self.command = ReferenceCommand(cfg.command, motions, self.num_envs, self.step_dt, self.generator)
        self.has_contact_labels = motions.has_contact_labels[self.command.motion_ids]
        self.episode_length = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self._pending_invalid = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self._steps = torch.zeros((), device=self.device)
        self._invalid_resets = torch.zeros((), device=self.device)
        self._all = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        self.observations: dict[str, torch.Tensor] = {}
        """What the last reset or step returned."""
        self._reset_state = ReferenceReset(self.command, engine.spec, self.default_joint_pos)
        self._reset_scene(self._all)

        self.view = TrackingView(self)
        self.action_term = self._build_action(registry)
        self.num_actions = self.action_term.num_actions
        self.terminations = TerminationPipeline(self, registry, cfg.terminations)
        self.rewards = RewardPipeline(self, registry, cfg.rewards)
        shared: SharedTerms = {}
        self.groups = {name: ObservationGroup(self, registry, name, group, shared) for name, group in cfg.observations.items()}
        self.observation_dims = {name: group.width for name, group in self.groups.items()}

    # --- What terms read ---

    @property
    def state(self) -> SceneState:
        """The engine's buffers."""
        return self.engine.state

    @property
    def reference(self) -> ReferenceFrame:
        """The current reference frame."""
        return self.command.reference

    @property
    def window(self) -> ReferenceWindow:
        """The current and future reference frames."""
        return self.command.window

    def body_ids(self, names: tuple[str, ...]) -> torch.Tensor:
        """Indices of robot bodies (len(names),), looked up once."""
        return self._ids("body", names, self.robot.body_ids)

    def joint_ids(self, names: tuple[str, ...]) -> torch.Tensor:
        """Indices of robot joints (len(names),), looked up once."""
        return self._ids("joint", names, self.robot.joint_ids)

    def tracked_body_ids(self, names: tuple[str, ...]) -> torch.Tensor:
        """Indices into the tracked bodies (len(names),), looked up once."""

        def lookup(wanted: tuple[str, ...]) -> list[int]:
            unknown = [name for name in wanted if name not in self.robot.tracked_bodies]
            if unknown:
                raise ConfigError(f"{unknown[0]!r} is no tracked body; allowed: {', '.join(self.robot.tracked_bodies)}")
            return [self.robot.tracked_bodies.index(name) for name in wanted]

        return self._ids("tracked", names, lookup)

    def _ids(self, kind: str, names: tuple[str, ...], lookup: Any) -> torch.Tensor:
        key = (kind, tuple(names))
        if key not in self._index_cache:
            self._index_cache[key] = torch.tensor(lookup(names), dtype=torch.long, device=self.device)
        return self._index_cache[key]

    # --- The gymnasium-style interface ---

    def reset(self) -> dict[str, torch.Tensor]:
        """Start every episode anew and return the observation groups, each (N, width)."""
        self._start_episodes(self._all)
        self.command.gather()
        self.view = TrackingView(self)
        return self._observe(self._all)

    @torch.no_grad()
    def step(
        self, action: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance one control step.

        Args:
            action: (N, num_actions), the policy's output.

        Returns:
            Observation groups (N, width) after the reset of the environments that ended, reward (N,), terminated and truncated
            (N,) bool, and extras.
        """
        self.engine.step(self.action_term.apply(action))
        self.episode_length += 1
        self.view = TrackingView(self)
        invalid = invalid_states(self.state) | self._pending_invalid
        terminated, truncated = self.terminations.compute()
        reward = self.rewards.compute()
        if self.cfg.safe_nan:
            invalid = invalid | invalid_rows(reward.unsqueeze(1))
            reward = torch.where(invalid, torch.zeros_like(reward), reward)
            terminated = terminated | invalid
            truncated = truncated & ~invalid
            self._invalid_resets += invalid.sum()
        self._steps += 1
        if self.before_reset is not None:
            self.before_reset()
        done = terminated | truncated
        self._start_episodes(done)
        self.command.advance()
        self.view = TrackingView(self)
        return self._observe(done), reward, terminated, truncated, {}

    def drain_metrics(self) -> dict[str, torch.Tensor]:
        """Return what was accumulated since the last call, as scalars on the device, and start anew.

        Rewards are means per control step, terminations the number of times a term fired per environment and control step.
        """
        steps = self._steps.clamp_min(1.0)
        metrics = {f"reward/{name}": value for name, value in zip(self.rewards.names, self.rewards.sums / steps, strict=True)}
        rate = self.terminations.counts / (steps * self.num_envs)
        metrics |= {f"termination/{name}": value for name, value in zip(self.terminations.names, rate, strict=True)}
        metrics["env/invalid_env_resets"] = self._invalid_resets.clone()
        for accumulator in (self._steps, self._invalid_resets, self.rewards.sums, self.terminations.counts):
            accumulator.zero_()
        return metrics

    def close(self) -> None:
        """Release the engine."""
        self.engine.close()

    # --- Evaluation ---

    def begin_evaluation(self) -> None:
        """From now on start every episode at frame 0, without observation noise."""
        self.evaluating = True
        self.command.from_first_frame = True

    def end_evaluation(self) -> None:
        """Return to the training's start frames and noise."""
        self.evaluating = False
        self.command.from_first_frame = False

    # --- State ---

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides how the environment goes on: tensors and plain values only."""
        return {
            "engine": self.engine.state_dict(),
            "command": self.command.state_dict(),
            "generator": self.generator.get_state(),
            "episode_length": self.episode_length.clone(),
            "pending_invalid": self._pending_invalid.clone(),
            "action": self.action_term.state_dict(),
            "observations": {name: value.clone() for name, value in self.observations.items()},
            "histories": {name: group.state_dict() for name, group in self.groups.items()},
            "terms": {term.name: term.state_dict() for term in self._stateful_terms()},
            "metrics": {
                "steps": self._steps.clone(),
                "invalid_resets": self._invalid_resets.clone(),
                "reward_sums": self.rewards.sums.clone(),
                "termination_counts": self.terminations.counts.clone(),
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; `observations` are then those the policy acts on next.

        Raises:
            CheckpointError: the state is of another scene, other motions or other terms.
        """
        metrics = state["metrics"]
        pairs = ((self.rewards.sums, metrics["reward_sums"]), (self.terminations.counts, metrics["termination_counts"]))
        if any(mine.shape != theirs.shape for mine, theirs in pairs):
            raise CheckpointError("the checkpoint was trained with other reward or termination terms; resume into a new run")
        self.engine.load_state_dict(state["engine"])
        self.command.load_state_dict(state["command"])
        self.generator.set_state(state["generator"])
        for mine, theirs in (
            *pairs,
            (self._steps, metrics["steps"]),
            (self._invalid_resets, metrics["invalid_resets"]),
            (self.episode_length, state["episode_length"]),
            (self._pending_invalid, state["pending_invalid"]),
        ):
            mine.copy_(theirs)
        self.action_term.load_state_dict(state["action"])
        for term in self._stateful_terms():
            term.load_state_dict(state["terms"][term.name])
        for name, group in self.groups.items():
            group.load_state_dict(state["histories"][name])
        self.observations = {name: value.to(self.device).clone() for name, value in state["observations"].items()}
        self.view = TrackingView(self)

    # --- Inside of a step ---

    def _build_action(self, registry: Registry) -> ActionTransform:
        target = registry.find("action", self.cfg.action.func).load()
        check_params(target, "action", "action", self.cfg.action.func, self.cfg.action.params)
        return target(self, **self.cfg.action.params)

    def _start_episodes(self, mask: torch.Tensor) -> None:
        """Draw start frames for the environments of the mask (N,) and put robot, object and table there."""
        self.command.draw_start(mask)
        self._place(mask)
        self.episode_length.masked_fill_(mask, 0)
        self._pending_invalid.masked_fill_(mask, False)
        self.action_term.reset(mask)
        for term in self._stateful_terms():
            term.reset(mask)

    def _reset_scene(self, mask: torch.Tensor) -> None:
        """Place everything before terms exist, so that they can be probed on a valid state."""
        self.command.draw_start(mask)
        self._place(mask)
        self.command.gather()

    def _place(self, mask: torch.Tensor) -> None:
        self.engine.reset(mask, self._reset_state())

    def _observe(self, fresh: torch.Tensor) -> dict[str, torch.Tensor]:
        observations = {}
        for name, group in self.groups.items():
            vector = group.compute(fresh)
            if self.cfg.safe_nan:
                # Too late to reset in this step: hide the row from the learner and reset it in the next one.
                invalid = invalid_rows(vector)
                self._pending_invalid |= invalid
                vector = torch.where(invalid.unsqueeze(1), torch.zeros_like(vector), vector)
            observations[name] = vector
        self.observations = observations
        return observations

    def _stateful_terms(self) -> Iterator[BoundTerm]:
        for pipeline in (self.terminations, self.rewards):
            for term in pipeline.terms.values():
                if term.instance is not None:
                    yield term
