"""`grail bench startup`: from the start of the process to the first finished iteration, phase by phase, and of small commands.

What is timed are processes of their own. The phases are the stages that `grail run` tells on stderr, by the time their line arrives.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from grail_framework.bench.process import Phases, follow, wall
from grail_framework.bench.record import Goal, Row, Samples
from grail_framework.config.hardware import GPU_ENGINE, plain_name
from grail_framework.logging.stages import stage
from grail_framework.runs.demo_library import with_demo_library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_framework.bench.task import BenchTask

RUN_GOAL: Final = Goal(bound=1.5)
COLD_GOAL: Final = Goal(bound=120.0, of_figure=True)
COMMAND_GOAL: Final = Goal(bound=1.3)
COMMAND_RUNS: Final = 6
"""How often each small command is started per repeat."""
QUIET: Final = ("logging.console=plain", "logging.tensorboard=false", "evaluation.at_start=false", "evaluation.at_end=false")
"""The run ends with its first iteration, and nothing is evaluated before it."""
COMMANDS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "grail --help": (("--help",), "import click"),
    "grail plugins list": (
        ("plugins", "list"),
        "import click, pluggy, attrs, rich.table\n"
        "from importlib.metadata import entry_points\n"
        "list(entry_points(group='grail.plugins'))",
    ),
}
"""Command -> its arguments, and a script that imports the same libraries."""
_CACHES: Final = ("WARP_CACHE_PATH", "CUDA_CACHE_PATH", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""Environment variables that say where compiled kernels are kept."""


@attrs.frozen(kw_only=True)
class Reference:
    """What a run's start is compared to."""

    name: str
    command: tuple[str, ...]


def measure(
    task: BenchTask, plugin_options: Sequence[str], run_options: Sequence[str], overrides: Sequence[str], *, cold: bool
) -> list[Row]:
    """Start `grail run` with the given options, and small commands.

    Args:
        task: the same, composed and checked.
        plugin_options: options before the command's name.
        run_options: options of `grail run`, without those that make it a short run.
        overrides: the user's.
        cold: start it first with empty caches of compiled kernels, then again with what is in them; else with the user's.

    Raises:
        GrailError: a run failed; its last lines are in the message.
    """
    with_demo_library(task.cfg, task.manager.registry)  # made here where it is missing, not in the time that is measured
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environ = dict(os.environ)
        rows: list[Row] = []
        reference = _reference(task, folder)
        compiles = plain_name(task.cfg.engine.name) == GPU_ENGINE

        def start(into: list[Phases], against: list[float], caches: str) -> None:
            stage(f"grail run, {caches}")
            run = [*_grail(), *plugin_options, "run", *run_options, "--iterations", "1"]
            target = folder / "run"
            into.append(follow([*run, "--experiment-dir", str(target), *QUIET, *overrides], environ))
            shutil.rmtree(target)
            stage(f"the reference, {caches}: {reference.name}")
            against.append(wall(reference.command, environ))

        warm: list[Phases] = []
        others: list[float] = []
        if cold:
            environ |= {name: str(folder / name.lower()) for name in _CACHES}
            start(warm, others, "caches empty")
            rows.append(_run_row(task, warm, others, reference, "kernels compiled", COLD_GOAL))
        elif compiles:
            start(warm, others, "for the caches")  # compiles what the user's do not hold
        warm.clear()
        others.clear()
        for repeat in range(task.repeats):
            start(warm, others, f"{repeat + 1} of {task.repeats}")
        goal = RUN_GOAL if compiles else None
        rows.append(_run_row(task, warm, others, reference, "kernels cached", goal))
    return [*rows, *measure_commands(task.repeats * COMMAND_RUNS)]


def measure_commands(runs: int) -> list[Row]:
    """Start each small command and its script in turns."""
    stage("small commands")
    rows: list[Row] = []
    environ = dict(os.environ)
    empty = [wall([sys.executable, "-c", "pass"], environ) for _ in range(runs)]
    for name, (arguments, script) in COMMANDS.items():
        ours, reference = [*_grail(), *arguments], [sys.executable, "-c", script]
        wall(ours, environ)  # bytecode and page cache
        wall(reference, environ)
        times = [(wall(ours, environ), wall(reference, environ)) for _ in range(runs)]
        mine, theirs = zip(*times, strict=True)
        rows.append(
            Row(
                unit="ms",
                figure=Samples(name=name, values=[1e3 * took for took in mine]),
                reference=Samples(name="a script that imports the same libraries", values=[1e3 * took for took in theirs]),
                goal=COMMAND_GOAL,
                conditions={"runs": runs},
                details={"python_c_pass_ms": 1e3 * Samples(name="python -c pass", values=empty).median},
            )
        )
    return rows


def _grail() -> list[str]:
    """The program as it is installed beside this Python."""
    program = shutil.which("grail", path=str(Path(sys.executable).parent))
    return [program] if program is not None else [sys.executable, "-m", "grail_framework"]


def _reference(task: BenchTask, folder: Path) -> Reference:
    """Say what the run is compared to: on `isaaclab` its solver alone on the same scene, else the import of PyTorch."""
    if plain_name(task.cfg.engine.name) != GPU_ENGINE:
        return Reference(name='python -c "import torch"', command=(sys.executable, "-c", "import torch"))
    from grail_framework.bench.bare_newton import write_scene
    from grail_framework.bench.task import load_task
    from grail_framework.envs.scene import scene_spec

    parts = load_task(task)
    spec = scene_spec(attrs.evolve(task.cfg, num_envs=1), parts.robot, parts.motions, device="cpu")
    model = write_scene(spec, folder / "scene.mjb")
    options = ("--num-envs", str(task.cfg.num_envs), "--device", parts.device, "--steps", str(task.cfg.engine.decimation))
    command = (sys.executable, "-m", "grail_framework.bench.bare_newton", str(model), *options)
    return Reference(name="MuJoCo Warp alone, the same scene: model and first step", command=command)


def _run_row(
    task: BenchTask, runs: Sequence[Phases], others: Sequence[float], reference: Reference, caches: str, goal: Goal | None
) -> Row:
    figure = Samples(name="grail run, to the first finished iteration", values=[run.total for run in runs])
    typical = min(runs, key=lambda run: abs(run.total - figure.median))
    return Row(
        unit="s",
        figure=figure,
        reference=Samples(name=reference.name, values=others),
        goal=goal,
        conditions=task.conditions(caches=caches),
        details={"phases_s": typical.seconds},
    )
