"""The environment: a humanoid, perhaps with an object, that follows reference motions. All tensors stay on the engine's device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from grail_framework.engine.protocol import BoundedEngine
from grail_framework.envs.capture import StepGraphs, graph_maker
from grail_framework.envs.command import ReferenceCommand
from grail_framework.envs.curriculums import CurriculumPipeline
from grail_framework.envs.events import EventPipeline
from grail_framework.envs.guard import InvalidStateGuard
from grail_framework.envs.lookups import Lookups
from grail_framework.envs.metrics import TrackingErrors
from grail_framework.envs.observations import ObservationGroup, SharedTerms
from grail_framework.envs.resets import ReferenceReset, soft_joint_limits
from grail_framework.envs.rewards import RewardPipeline
from grail_framework.envs.terminations import TerminationPipeline
from grail_framework.envs.terms import check_params
from grail_framework.envs.view import TrackingView
from grail_framework.errors import CheckpointError
from grail_framework.mdp.actions import MeasuredAction, ObservingAction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from grail_framework.config import RunCfg
    from grail_framework.engine.protocol import Engine, SceneState
    from grail_framework.envs.capture import GraphMaker, Outcome
    from grail_framework.envs.guard import InvalidRecord
    from grail_framework.envs.terms import BoundTerm
    from grail_framework.envs.timing import Stopwatch
    from grail_framework.mdp.actions import ActionTransform
    from grail_framework.motion.library import MotionLibrary, ReferenceFrame, ReferenceWindow
    from grail_framework.registry import Registry


class TrackingEnv:
    """Steps `num_envs` copies of a scene along their reference motions.

    A step is: action transform, engine step, terminations, rewards, reset of the environments that ended, reference one frame
    further, interval events, observations. Terms get this object and read `state`, `reference`, `window`, `view`, `motions`,
    `action_term`; only events and curricula change anything.

    On a GPU all of it but the engine's step is replayed from CUDA graphs (`capture`): what `step` returns are then the same tensors
    every time, and what a Python number in a term's memory was at its capture stays so until `invalidate_captures`.
    """

    def __init__(
        self,
        cfg: RunCfg,
        engine: Engine,
        motions: MotionLibrary,
        registry: Registry,
        *,
        seed: int = 0,
        capture: bool | GraphMaker | None = None,
        motion_ids: Sequence[int] | None = None,
    ) -> None:
        """Build the environment and put every copy at a start frame.

        Args:
            cfg: the run's configuration.
            engine: what simulates.
            motions: what is followed, on the engine's device.
            registry: where terms are found.
            seed: of the environment's generator.
            capture: replay the step from graphs; None: as `cfg.engine.cuda_graphs` says, where device and engine can. False: the eager
                twin, same numbers. A function: what makes the graphs, for tests without a GPU.
            motion_ids: the motion of each environment, whose object the engine's scene holds there; None: `k mod M` in environment k.

        Raises:
            ConfigError: a term's parameter is wrong, an event changes what the engine cannot, or `capture=True` where it cannot be.
            EnvContractError: a term returned the wrong shape.
            DataError: the start frame rule needs contact labels that no clip has.
        """
        self.cfg = cfg
        self.engine = engine
        self.motions = motions
        self.robot = engine.spec.robot
        self.device = engine.device
        self.num_envs = engine.spec.num_envs
        self.step_dt = engine.spec.step_dt
        self.generator = torch.Generator(device=self.device).manual_seed(seed)
        self.evaluating = False
        self.engine_clock: Stopwatch | None = None
        """Takes a mark before and after the engine's steps, and its resets where they are no part of a graph; None: it is not timed."""
        self.auto_reset = True
        """Start a new episode in the step in which one ends; False: only where the state is invalid, the rest is up to `reset`."""
        self.tracked_ids = torch.tensor(self.robot.body_ids(self.robot.tracked_bodies), device=self.device)
        self.anchor_id = self.robot.tracked_bodies.index(self.robot.anchor_body)
        self._nominal_joint_pos = torch.tensor([joint.default_pos for joint in self.robot.joints], device=self.device)
        self.joint_offset = torch.zeros(self.num_envs, self.robot.num_joints, device=self.device)
        """What is added to every joint target (N, J), and taken off the observed positions; see `set_joint_offset`. [rad]"""
        self.default_joint_pos = self._nominal_joint_pos.repeat(self.num_envs, 1)
        """The robot's default pose with the joint offset (N, J). [rad]"""
        self.soft_joint_limits = soft_joint_limits(self.robot, self.device)
        """Lower and upper limits (J,), shrunk by the robot's factor. [rad]"""
        names = Lookups(self.robot, self.device)
        self.body_ids, self.joint_ids, self.tracked_body_ids = names.body_ids, names.joint_ids, names.tracked_body_ids
        make_graph = graph_maker(engine, cfg.engine.cuda_graphs if capture is None else capture, required=capture is True)
        self.graphs: StepGraphs | None = None
        """Captures of the step; None: it runs eagerly."""
        persistent = make_graph is not None or self.device.type != "cpu"
        self.command = ReferenceCommand(
            cfg.command, motions, self.num_envs, self.step_dt, self.generator, motion_ids=motion_ids, persistent=persistent
        )
        self.has_contact_labels = motions.has_contact_labels[self.command.motion_ids]
        self.episode_length = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self._steps = torch.zeros((), device=self.device)
        self._none = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self._all = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        self.observations: dict[str, torch.Tensor] = {}
        """What the last reset or step returned."""
        self.start_state = ReferenceReset(self.command, engine.spec, self._nominal_joint_pos, self.soft_joint_limits)
        self.command.draw_start(self._all)  # terms are probed on a valid state
        self._place(self._all)
        self.command.gather()

        self.view = TrackingView(self)
        self.action_term = self._build_action(registry)
        self.num_actions = self.action_term.num_actions
        self.terminations = TerminationPipeline(self, registry, cfg.terminations)
        self.rewards = RewardPipeline(self, registry, cfg.rewards)
        self._observed: SharedTerms = {}
        self.groups = {
            name: ObservationGroup(self, registry, name, group, self._observed) for name, group in cfg.observations.items()
        }
        self.observation_dims = {name: group.width for name, group in self.groups.items()}
        if isinstance(self.action_term, ObservingAction):
            self.action_term.bind_observations({name: group.layout for name, group in self.groups.items()})
        self.errors = TrackingErrors(self)
        self.guard = InvalidStateGuard(self)
        self.events = EventPipeline(self, registry, cfg.events)
        self.curriculums = CurriculumPipeline(self, registry, cfg.curriculums)
        self.events.start()
        self.curriculums.start()
        if make_graph is not None:
            self.graphs = StepGraphs(self, make_graph)

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

    def set_joint_offset(self, offset: torch.Tensor) -> None:
        """Miscalibrate the joints by an offset (N, J) [rad]: it is added to targets and taken off observed positions."""
        self.joint_offset.copy_(offset)
        self.default_joint_pos.copy_(self._nominal_joint_pos + offset)

    # --- The gymnasium-style interface ---

    def reset(self, mask: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Start every episode anew, or those of the mask (N,), and return the observation groups, each (N, width).

        Rows outside the mask stay as they were last observed.
        """
        fresh = self._all if mask is None else mask
        before = self.observations, {name: group.state_dict() for name, group in self.groups.items()}
        self._start_episodes(fresh)
        self.command.gather()
        self.view = TrackingView(self)
        self.observe(fresh)
        if mask is not None:
            self._keep_others(mask, *before)
        if self.graphs is not None:
            self.observations = self.graphs.take_over(self.observations)
        return self.observations

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
        graphs = self.graphs
        targets = self.before_physics(action) if graphs is None else graphs.before(action)
        self._simulate(self.engine.step, targets)
        outcome = self.after_physics() if graphs is None else graphs.after()
        if not self.evaluating and self.curriculums.step() and graphs is not None:
            graphs.drop_outdated()
        return (*outcome, {})

    def before_physics(self, action: torch.Tensor) -> torch.Tensor:
        """Turn the policy's output (N, num_actions) into joint targets (N, J) [rad]: the part of a step before the engine's."""
        if self.cfg.safe_nan:
            self.guard.record(action)
        return self.action_term.apply(action)

    def after_physics(self) -> Outcome:
        """Do the part of a step after the engine's: all of it on the device, so that a graph can be made of it."""
        invalid = self._none
        self.episode_length += 1
        self.view = TrackingView(self)
        terminated, truncated = self.terminations.compute()
        reward = self.rewards.compute()
        self.errors.measure()
        if self.cfg.safe_nan:
            invalid = self.guard.find(reward)
            reward = torch.where(invalid, 0.0, reward)
            terminated = terminated | invalid
            truncated = truncated & ~invalid
        self._steps += 1
        fresh = terminated | truncated if self.auto_reset else invalid
        self._start_episodes(fresh)
        self.command.advance()
        self.view = TrackingView(self)
        if self.events.any_interval:
            self.events.tick()
            self.view = TrackingView(self)
        return self.observe(fresh), reward, terminated, truncated

    def invalidate_captures(self) -> None:
        """Have the step captured anew, after something that a capture holds was changed: a term replaced, its parameter set."""
        if self.graphs is not None:
            self.graphs.invalidate()

    def drain_metrics(self) -> dict[str, torch.Tensor]:
        """Return what was accumulated since the last call, as scalars on the device, and start anew.

        Rewards and tracking errors are means per control step, terminations firings per environment and control step, overflows the
        number of environments whose contacts did not all fit; curricula and the action transform tell of the last step.
        """
        steps = self._steps.clamp_min(1.0)
        rate = self.terminations.counts / (steps * self.num_envs)
        metrics: dict[str, torch.Tensor] = {}
        for prefix, names, values in (
            ("reward/", self.rewards.names, self.rewards.sums / steps),
            ("termination/", self.terminations.names, rate),
            ("tracking/error_", self.errors.names, self.errors.sums / steps),
        ):
            metrics |= {f"{prefix}{name}": value for name, value in zip(names, values, strict=True)}
        metrics["env/invalid_env_resets"] = self.guard.resets.clone()
        if isinstance(self.engine, BoundedEngine):
            metrics["env/contact_overflows"] = self.engine.drain_overflows().float()
        if isinstance(self.action_term, MeasuredAction):
            metrics |= {f"action/{name}": value for name, value in self.action_term.metrics().items()}
        for accumulator in self._accumulators().values():
            accumulator.zero_()
        return metrics | self.curriculums.metrics()

    def drain_invalid(self) -> list[InvalidRecord]:
        """Return how each environment that became invalid since the last call did so. Waits for the device: once per iteration."""
        return self.guard.drain()

    def close(self) -> None:
        """Release the engine."""
        self.engine.close()

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
            "guard": self.guard.state_dict(),
            "joint_offset": self.joint_offset.clone(),
            "reward_weights": self.rewards.weights.clone(),
            "events": self.events.state_dict(),
            "curriculums": self.curriculums.state_dict(),
            "action": self.action_term.state_dict(),
            "observations": {name: value.clone() for name, value in self.observations.items()},
            "histories": {name: group.state_dict() for name, group in self.groups.items()},
            "terms": {name: term.state_dict() for name, term in self.stateful_terms()},
            "metrics": {name: accumulator.clone() for name, accumulator in self._accumulators().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; `observations` are then those the policy acts on next.

        Raises:
            CheckpointError: the state is of another scene, other motions or other terms.
        """
        metrics = state["metrics"]
        if any(mine.shape != metrics[name].shape for name, mine in self._accumulators().items()):
            raise CheckpointError("the checkpoint was trained with other reward or termination terms; resume into a new run")
        self.engine.load_state_dict(state["engine"])
        self.command.load_state_dict(state["command"])
        self.generator.set_state(state["generator"])
        self.guard.load_state_dict(state["guard"])
        for name, accumulator in self._accumulators().items():
            accumulator.copy_(metrics[name])
        self.episode_length.copy_(state["episode_length"])
        self.rewards.weights.copy_(state["reward_weights"])
        self.set_joint_offset(state["joint_offset"].to(self.device))
        self.events.load_state_dict(state["events"])
        self.curriculums.load_state_dict(state["curriculums"])
        self.action_term.load_state_dict(state["action"])
        for name, term in self.stateful_terms():
            term.load_state_dict(state["terms"][name])
        for name, group in self.groups.items():
            group.load_state_dict(state["histories"][name])
        observed = {name: value.to(self.device).clone() for name, value in state["observations"].items()}
        self.observations = observed if self.graphs is None else self.graphs.put_back(observed)
        self.view = TrackingView(self)

    # --- Inside of a step ---

    def _build_action(self, registry: Registry) -> ActionTransform:
        target = registry.find("action", self.cfg.action.func).load()
        check_params(target, "action", "action", self.cfg.action.func, self.cfg.action.params)
        return target(self, **self.cfg.action.params)

    def _start_episodes(self, mask: torch.Tensor) -> None:
        """Draw start frames for the environments of the mask (N,) and put robot, object and table there."""
        self.command.draw_start(mask)
        if self.device.type == "cpu" and self.graphs is None and not mask.any():
            return  # most steps end no episode, and asking costs something only where the host would wait for the answer
        self._place(mask)
        self.episode_length.masked_fill_(mask, 0)
        self.guard.reset(mask)
        self.action_term.reset(mask)
        for _, term in self.stateful_terms():
            term.reset(mask)
        self.events.reset(mask)

    def _place(self, mask: torch.Tensor) -> None:
        if self.graphs is not None:
            self.engine.reset(mask, self.start_state())  # marks inside a graph have no time that could be read
        else:
            self._simulate(self.engine.reset, mask, self.start_state())

    def _simulate(self, work: Callable[..., None], *arguments: Any) -> None:
        if self.engine_clock is None:
            work(*arguments)
            return
        self.engine_clock.mark()
        work(*arguments)
        self.engine_clock.mark()

    def observe(self, fresh: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute the observation groups, each (N, width), for a phase that has begun; histories are filled where `fresh` (N,)."""
        observations = {name: group.compute(fresh) for name, group in self.groups.items()}
        if self.cfg.safe_nan:
            observations = {name: self.guard.hide(vector) for name, vector in observations.items()}
        self.observations = observations
        return observations

    def _keep_others(
        self, mask: torch.Tensor, observations: dict[str, torch.Tensor], histories: dict[str, dict[str, torch.Tensor]]
    ) -> None:
        """Take the rows outside the mask (N,) back to the given observations and history buffers."""
        for name, group in self.groups.items():
            self.observations[name] = torch.where(mask.unsqueeze(1), self.observations[name], observations[name])
            rows = mask.view(-1, 1, 1)
            kept = {key: torch.where(rows, new, histories[name][key]) for key, new in group.state_dict().items()}
            group.load_state_dict(kept)

    def _accumulators(self) -> dict[str, torch.Tensor]:
        """What is summed up between two calls of `drain_metrics`."""
        return {
            "steps": self._steps,
            "invalid_resets": self.guard.resets,
            "reward_sums": self.rewards.sums,
            "termination_counts": self.terminations.counts,
            "error_sums": self.errors.sums,
        }

    def stateful_terms(self) -> Iterator[tuple[str, BoundTerm]]:
        """Iterate over the terms that are classes, by kind and name."""
        observed = {key: once.term for key, once in self._observed.items()}
        kinds = {"termination": self.terminations.terms, "reward": self.rewards.terms, "observation": observed}
        for kind, terms in kinds.items():
            for name, term in terms.items():
                if term.instance is not None:
                    yield f"{kind}/{name}", term
