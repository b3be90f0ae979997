"""The bare physics of an environment's engine, measured on the states that the environment is in.

An engine that offers `bare_step` is stepped by it from the state a block of work starts from, and put back. Any other engine is timed
inside the work itself, call by call of `step`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from grail_framework.bench.timing import seconds
from grail_framework.envs.timing import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from grail_framework.engine.protocol import Engine


@runtime_checkable
class BareEngine(Protocol):
    """What an engine offers beside `Engine` when its solver can be stepped alone."""

    def bare_step(self) -> Callable[[], None]:
        """Return a function that advances `decimation` physics steps with the current controls, and does nothing else."""
        ...


class PhysicsBesides:
    """Times work on an environment, and the bare physics of as many control steps, again and again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._bare: Callable[[], None] | None = engine.bare_step() if isinstance(engine, BareEngine) else None
        self._turn = 0

    @property
    def name(self) -> str:
        """How the physics is measured, in words."""
        return "engine.step within it" if self._bare is None else "bare solver, same states"

    def measure(self, work: Callable[[], object], steps: int) -> tuple[float, float]:
        """Time work that makes the engine step so often, and that many control steps of bare physics. [s]"""
        if self._bare is None:
            return self._inside(work)
        self._turn += 1
        if self._turn % 2:
            physics = self._alone(self._bare, steps)
            return seconds(work, self._engine.device), physics
        took = seconds(work, self._engine.device)
        return took, self._alone(self._bare, steps)

    def _inside(self, work: Callable[[], object]) -> tuple[float, float]:
        with timed_steps(self._engine) as clock:
            took = seconds(work, self._engine.device)
            return took, clock.spans()

    def _alone(self, bare: Callable[[], None], steps: int) -> float:
        """Step the solver from where the environment is, and put it back there. [s]"""
        before = self._engine.state_dict()
        took = seconds(lambda: [bare() for _ in range(steps)], self._engine.device)
        self._engine.load_state_dict(before)
        return took


@contextmanager
def timed_steps(engine: Engine) -> Iterator[Stopwatch]:
    """Give a stopwatch that takes a mark before and after every `engine.step` of the block."""
    clock = Stopwatch(engine.device)
    step = engine.step

    def timed(joint_targets: torch.Tensor) -> None:
        clock.mark()
        step(joint_targets)
        clock.mark()

    engine.step = timed  # an attribute of the instance, which hides the method until it is removed
    try:
        yield clock
    finally:
        del engine.step
