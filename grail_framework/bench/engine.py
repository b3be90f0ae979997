"""`grail bench engine`: a control step of an engine against its solver alone, and what reading contact forces costs.

On `mujoco` the reference is `mujoco.rollout` of the same models without sensors, from the same states with the same controls, in turns
step by step. On an engine with `bare_step` it is that: `decimation` solver steps, on a GPU in one replay of a CUDA graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import torch

from grail_framework.bench.bare_mujoco import BareMujoco
from grail_framework.bench.mixed_objects import measure_mixed
from grail_framework.bench.physics import BareEngine
from grail_framework.bench.record import Goal, Row, Samples
from grail_framework.bench.task import build_task, load_task, small_actions
from grail_framework.bench.timing import seconds
from grail_framework.engine.mujoco.engine import MujocoEngine
from grail_framework.engine.mujoco.engine import build as build_mujoco
from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from grail_framework.bench.task import BenchTask
    from grail_framework.engine.protocol import Engine, ResetState, SceneSpec
    from grail_framework.runs.assembly import RunParts

CPU_GOAL: Final = 1.3
CONTACT_GOAL: Final = 1.1


@attrs.frozen(kw_only=True)
class Script:
    """What an engine is made to do in one block: start here, then follow these targets."""

    start: ResetState
    targets: tuple[torch.Tensor, ...]
    """(N, J) per control step. [rad]"""


def measure(task: BenchTask) -> list[Row]:
    """Measure the engine of a task's scene.

    Raises:
        ConfigError: the engine has nothing it could be compared to.
    """
    parts = load_task(task)
    env = build_task(parts)
    engine = env.engine
    script = Script(
        start=env.start_state(),
        # Kept from the environment: an action transform may give a buffer of its own.
        targets=tuple(env.action_term.apply(action).clone() for action in small_actions(env, task.steps, task.cfg.seed)),
    )
    try:
        if isinstance(engine, MujocoEngine):
            rows = [_beside_rollout(engine, script, task)]
        elif isinstance(engine, BareEngine):
            rows = [_beside_solver(engine, engine.bare_step(), script, task)]
        else:
            raise ConfigError(
                f"--engine {task.cfg.engine.name}: there is nothing to compare it to; engines that can be measured are mujoco, "
                "and those with a method bare_step"
            )
    finally:
        env.close()
    if engine.spec.contact_sensors:
        rows.append(_contact_forces(parts, engine.spec, script, task))
    if isinstance(engine, MujocoEngine):
        rows.append(measure_mixed(task))
    return rows


def restart(engine: Engine, start: ResetState) -> None:
    """Put every environment into the state a script starts from."""
    engine.reset(torch.ones(engine.spec.num_envs, dtype=torch.bool, device=engine.device), start)


def _beside_rollout(engine: MujocoEngine, script: Script, task: BenchTask) -> Row:
    bare = BareMujoco(engine)
    ours: list[float] = []
    theirs: list[float] = []
    for repeat in range(task.repeats + 1):
        restart(engine, script.start)
        times = {"engine": 0.0, "rollout": 0.0}
        for step, targets in enumerate(script.targets):
            bare.take(targets)
            turns: list[tuple[str, Callable[[], None]]] = [("rollout", bare.step), ("engine", lambda t=targets: engine.step(t))]
            for name, call in turns[:: 1 if step % 2 else -1]:
                times[name] += seconds(call, engine.device)
        if repeat:  # the first one warms up
            ours.append(times["engine"] / task.steps)
            theirs.append(times["rollout"] / task.steps)
    bare.close()
    return _row(ours, theirs, "mujoco.rollout without sensors", task, goal=Goal(bound=CPU_GOAL))


def _beside_solver(engine: Engine, bare: Callable[[], None], script: Script, task: BenchTask) -> Row:
    """Both with constant targets and from one state: the solver alone has the controls that the engine was given last."""
    ours: list[float] = []
    theirs: list[float] = []
    targets = script.targets[0]
    for repeat in range(task.repeats + 1):
        restart(engine, script.start)
        engine.step(targets)
        begun = engine.state_dict()
        turns = {"engine": lambda: engine.step(targets), "solver": bare}
        times: dict[str, float] = {}
        for name in list(turns)[:: 1 if repeat % 2 else -1]:
            engine.load_state_dict(begun)
            times[name] = seconds(lambda call=turns[name]: [call() for _ in range(task.steps)], engine.device) / task.steps
        if repeat:
            ours.append(times["engine"])
            theirs.append(times["solver"])
    return _row(ours, theirs, "bare solver, same states", task)


def _contact_forces(parts: RunParts, spec: SceneSpec, script: Script, task: BenchTask) -> Row:
    """Compare the engine with the task's contact sensors to one without, on the same states and targets.

    Two of `mujoco` take turns; of others there is one at a time, because a simulator may be the only one in its process.
    """
    build = parts.manager.registry.find("engine", task.cfg.engine.name).load()
    specs = [spec, attrs.evolve(spec, contact_sensors={})]
    groups = [specs] if build is build_mujoco else [[one] for one in specs]
    times: list[list[float]] = []
    for group in groups:
        engines: list[Engine] = [build(one) for one in group]
        times += _in_turns(engines, script, task.repeats)
        for engine in engines:
            engine.close()
    links = sum(len(sensor.links) for sensor in spec.contact_sensors.values())
    row = _row(times[0], times[1], "the same without contact sensors", task, goal=Goal(bound=CONTACT_GOAL), links=links)
    return attrs.evolve(row, figure=attrs.evolve(row.figure, name="engine step with contact sensors"))


def _in_turns(engines: list[Engine], script: Script, repeats: int) -> list[list[float]]:
    """Time a control step of a script for each engine, as the mean over each of several times through it. [s]"""
    times: list[list[float]] = [[] for _ in engines]
    for repeat in range(repeats + 1):
        for engine, mine in list(zip(engines, times, strict=True))[:: 1 if repeat % 2 else -1]:
            restart(engine, script.start)
            took = seconds(lambda engine=engine: [engine.step(targets) for targets in script.targets], engine.device)
            mine.append(took / len(script.targets))
    return [mine[1:] for mine in times]  # the first one warms up


def _row(
    ours: list[float], theirs: list[float], against: str, task: BenchTask, *, goal: Goal | None = None, **more: int
) -> Row:
    row = Row(
        unit="ms",
        figure=Samples(name="engine step", values=[1e3 * took for took in ours]),
        reference=Samples(name=against, values=[1e3 * took for took in theirs]),
        goal=goal,
        conditions=task.conditions(steps=task.steps, **more),
    )
    assert row.reference is not None
    row.details["env_steps_per_s"] = 1e3 * task.cfg.num_envs / row.figure.median
    row.details["reference_env_steps_per_s"] = 1e3 * task.cfg.num_envs / row.reference.median
    return row
