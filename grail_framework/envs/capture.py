"""The step as CUDA graphs: hundreds of small kernels launched at once, before and after the engine's step.

A graph is a list of kernels with the addresses they read and write. So whatever lives from step to step stays in the same tensors, and
Python runs only when a graph is made. Every mode of the environment (training, evaluation) has graphs of its own. The first steps in a
mode run eagerly; then one step is run eagerly under observation, put back, captured, replayed, and compared with what the eager one
gave. Where something cannot be captured, the step goes on eagerly and a warning names the term.
"""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
import torch

from grail_framework.envs import memory
from grail_framework.envs.host_waits import host_waits, may_wait
from grail_framework.envs.view import TrackingView
from grail_framework.errors import ConfigError, EnvContractError

if TYPE_CHECKING:
    from collections.abc import Callable

    from grail_framework.engine.protocol import Engine
    from grail_framework.envs.tracking_env import TrackingEnv

_log: Final = logging.getLogger(__name__)
EAGER_STEPS: Final = 2
"""Steps in a mode before the captured one: what is made at a first call (caches, kernels that are compiled) must be there."""
_SHOWN: Final = 5
"""Reasons that a warning lists."""

type Outcome = tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor]
"""Observation groups, reward, terminated and truncated."""
type GraphMaker = Callable[[torch.Generator, Graph | None], Graph]
"""Called with the generator that the graph draws from, and a graph it may share memory with, since both never run at once."""
type _Mode = tuple[bool, bool, bool]


class Graph(Protocol):
    """Something that remembers the kernels a function launches."""

    def capture(self, body: Callable[[], None]) -> None:
        """Remember what the function does with the device, without doing it."""
        ...

    def replay(self) -> None:
        """Do it."""
        ...


class CudaGraph:
    """A `torch.cuda.CUDAGraph`."""

    def __init__(self, generator: torch.Generator, beside: Graph | None) -> None:
        self._device = generator.device
        with torch.cuda.device(self._device):
            self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(generator)
        self._pool = beside._graph.pool() if isinstance(beside, CudaGraph) else None

    def capture(self, body: Callable[[], None]) -> None:
        """Remember the kernels of a function; other threads may go on using the device meanwhile."""
        gc.collect()
        collecting = gc.isenabled()
        gc.disable()  # what it frees may end in calls to the driver that spoil a capture
        try:
            with (
                torch.cuda.device(self._device),
                torch.cuda.graph(self._graph, pool=self._pool, capture_error_mode="thread_local"),
            ):
                body()
        finally:
            if collecting:
                gc.enable()

    def replay(self) -> None:
        """Launch the kernels."""
        with torch.cuda.device(self._device):
            self._graph.replay()


def graph_maker(engine: Engine, wanted: bool | GraphMaker, *, required: bool = False) -> GraphMaker | None:
    """Choose what makes the graphs of a step; None: it runs eagerly.

    An engine says by `capturable_reset = True` that its `reset`, `set_root_velocity` and `randomize` launch on torch's current stream,
    allocate nothing outside torch's allocator, never wait for the device, and do the same when called again with the same arguments.

    Raises:
        ConfigError: graphs are required, and the device or the engine has none.
    """
    if not isinstance(wanted, bool):
        return wanted
    able = engine.device.type == "cuda" and getattr(engine, "capturable_reset", False)
    if required and not able:
        raise ConfigError(
            f"capture=True, but the environment is on {engine.device} with {type(engine).__name__}; a step can be captured on a CUDA "
            "device with an engine whose capturable_reset is true; leave capture out to have it where it is possible"
        )
    return CudaGraph if wanted and able else None


@attrs.define(eq=False)
class _Part:
    """One part of the step in one mode."""

    eager_steps: int = 0
    graph: Graph | None = None
    taken_for_granted: memory.Fingerprint = attrs.field(factory=dict)


class StepGraphs:
    """Runs the parts of an environment's step before and after the engine's, and returns its results in tensors that stay the same."""

    def __init__(self, env: TrackingEnv, make: GraphMaker) -> None:
        n, device = env.num_envs, env.device
        self._env = env
        self._make = make
        self._parts: dict[tuple[str, _Mode], _Part] = {}
        self.off = ""
        """Why everything runs eagerly; empty: it does not."""
        self.action = torch.zeros(n, env.num_actions, device=device)
        self.targets = torch.zeros(n, env.robot.num_joints, device=device)
        self.observations = {name: torch.zeros(n, width, device=device) for name, width in env.observation_dims.items()}
        self.reward = torch.zeros(n, device=device)
        self.terminated = torch.zeros(n, dtype=torch.bool, device=device)
        self.truncated = torch.zeros_like(self.terminated)

    @property
    def captured(self) -> tuple[str, ...]:
        """The parts that are replayed in the environment's present mode: of `before` and `after`."""
        mode = self._mode()
        return tuple(name for (name, of), part in self._parts.items() if of == mode and part.graph is not None)

    def before(self, action: torch.Tensor) -> torch.Tensor:
        """Return the joint targets (N, J) [rad] of the policy's output (N, num_actions)."""
        self.action.copy_(action)
        self._run("before", self._before)
        return self.targets

    def after(self) -> Outcome:
        """Return what the step gives once the engine's is done."""
        env = self._env
        self._run("after", self._after)
        env.observations = self.observations
        env.view = TrackingView(env)  # that of the graph would keep what it derived in other steps
        return self.observations, self.reward, self.terminated, self.truncated

    def buffers(self) -> dict[str, torch.Tensor]:
        """Return the tensors in which actions go in and results come out; observations by the group's name."""
        results = {"targets": self.targets, "reward": self.reward, "terminated": self.terminated, "truncated": self.truncated}
        return {"action": self.action, **results, **self.observations}

    def invalidate(self) -> None:
        """Forget all captures; they are made anew."""
        self._forget(list(self._parts))

    def put_back(self, observations: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Write restored observations where a step returns them: whoever acts on those of the last step has the restored ones.

        Captures that the restored state made outdated are forgotten.
        """
        self.take_over(observations)
        self.drop_outdated()
        return self.observations

    def take_over(self, observations: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Write observations where a step returns them, and where a captured action transform reads them."""
        for name, value in observations.items():
            self.observations[name].copy_(value)
        return self.observations

    def drop_outdated(self) -> None:
        """Forget the captures which take something for granted that is no longer so."""
        if not self._parts:
            return
        now = memory.fingerprint(self._env)
        outdated = [key for key, part in self._parts.items() if part.graph is not None and part.taken_for_granted != now]
        if outdated:
            why = memory.changes(self._parts[outdated[0]].taken_for_granted, now)
            _log.info("the step is captured anew: %s", "; ".join(why[:_SHOWN]))
            self._forget(outdated)

    def turn_off(self, why: str) -> None:
        """Run every step eagerly from now on."""
        self.off = why
        self.invalidate()

    def _forget(self, keys: list[tuple[str, _Mode]]) -> None:
        if self._env.device.type == "cuda" and self._any_graph() is not None:
            torch.cuda.synchronize(self._env.device)  # a graph that still runs must not be freed
        for key in keys:
            del self._parts[key]

    def _mode(self) -> _Mode:
        env = self._env
        return env.evaluating, env.auto_reset, env.command.from_first_frame

    def _before(self) -> None:
        self.targets.copy_(self._env.before_physics(self.action))

    def _after(self) -> None:
        observations, *rest = self._env.after_physics()
        self.take_over(observations)
        for buffer, value in zip((self.reward, self.terminated, self.truncated), rest, strict=True):
            buffer.copy_(value)

    def _run(self, name: str, body: Callable[[], None]) -> None:
        if self.off:
            body()
            return
        part = self._parts.setdefault((name, self._mode()), _Part())
        if part.graph is not None:
            part.graph.replay()
        elif part.eager_steps < EAGER_STEPS:
            part.eager_steps += 1
            body()
        else:
            self._capture(part, body)

    @may_wait()
    def _capture(self, part: _Part, body: Callable[[], None]) -> None:
        """Do the part eagerly, then once more from the same beginning as a graph that is captured, and keep it if it gives the same."""
        env = self._env
        tensors = {place: tensor for place, tensor in memory.tensors(env).items() if _writable(tensor)}
        start, generators = _copies(tensors), _generator_states(env.generator)
        granted = memory.fingerprint(env)
        with host_waits(env.device, env.generator) as findings:
            body()
        reasons = [*map(str, findings), *memory.changes(granted, memory.fingerprint(env))]
        if reasons:
            self._give_up(reasons)
            return
        expected = _copies(tensors)
        _restore(tensors, start)
        for generator, state in generators:
            generator.set_state(state)
        graph = self._make(env.generator, self._any_graph())
        try:
            graph.capture(body)
        except RuntimeError as error:
            raise EnvContractError(
                f"the step cannot be captured as a CUDA graph, for a reason that was not seen before: {error}. The last lines of the "
                "traceback above name the operation. Turn captures off with engine.cuda_graphs=false"
            ) from error
        graph.replay()
        reasons = [reason for place, tensor in tensors.items() for reason in _differences(env, place, tensor, expected[place])]
        if reasons:
            _restore(tensors, expected)
            self._give_up(list(dict.fromkeys(reasons)))
            return
        part.graph, part.taken_for_granted = graph, granted

    def _any_graph(self) -> Graph | None:
        return next((part.graph for part in self._parts.values() if part.graph is not None), None)

    def _give_up(self, reasons: list[str]) -> None:
        shown = "".join(f"\n  - {reason}" for reason in reasons[:_SHOWN])
        more = f"\n  - and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        self.turn_off(shown + more)
        _log.warning(
            "The step cannot be captured as a CUDA graph, so each runs eagerly, which on a GPU costs milliseconds of launches:%s%s\n"
            "Mend the term, or set engine.cuda_graphs=false, which says so without this warning.",
            shown,
            more,
        )


def _writable(tensor: torch.Tensor) -> bool:
    """Whether every entry has a place of its own; constants may be expanded."""
    return all(stride or size <= 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True))


def _copies(tensors: dict[memory.Place, torch.Tensor]) -> dict[memory.Place, torch.Tensor]:
    return {place: tensor.clone() for place, tensor in tensors.items()}


def _restore(tensors: dict[memory.Place, torch.Tensor], values: dict[memory.Place, torch.Tensor]) -> None:
    for place, tensor in tensors.items():
        tensor.copy_(values[place])


def _generator_states(generator: torch.Generator) -> list[tuple[torch.Generator, torch.Tensor]]:
    """The states of the environment's generator and of torch's own on its device."""
    device = generator.device
    own = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator
    return [(each, each.get_state()) for each in (generator, own)]


def _differences(env: TrackingEnv, place: memory.Place, got: torch.Tensor, expected: torch.Tensor) -> list[str]:
    """Say which term is behind a difference between a replay and the eager step."""
    floats = got.is_floating_point()
    same = torch.isclose(got, expected, rtol=1e-5, atol=1e-6, equal_nan=True) if floats else got == expected
    if bool(same.all()):
        return []
    owner, name = place
    says = (
        "gives other numbers when it is replayed; it may keep Python values, or launch kernels outside torch's current stream"
    )
    return [f"{who} {says}" for who in _owners(env, owner, name, ~same)]


def _owners(env: TrackingEnv, owner: str, name: str, differs: torch.Tensor) -> list[str]:
    for group, observations in env.groups.items():
        if name == f"outputs.{group}":
            parts = differs.any(dim=0).split(list(observations.layout.values()))
            hit = [term for term, part in zip(observations.layout, parts, strict=True) if bool(part.any())]
            return [f"observation '{group}.{term}'" for term in hit]
    pipelines: dict[str, Any] = {
        "rewards.sums": ("reward", env.rewards),
        "terminations.last": ("termination", env.terminations),
    }
    if name in pipelines:
        kind, pipeline = pipelines[name]
        hit = differs.reshape(len(differs), -1).any(dim=1).tolist()
        return [f"{kind} {term!r}" for term, wrong in zip(pipeline.names, hit, strict=True) if wrong]
    return [f"{owner}: {name}"]
