"""`grail bench`: each command measures a figure and its reference in one run, and prints both and their ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grail_framework.bench.record import Report, Row
    from grail_framework.bench.task import BenchTask
    from grail_framework.cli.run_report import StageLine
    from grail_framework.cli.state import CliState
    from grail_framework.config import RunCfg

DEFAULT_TASK: Final = "core:motion_tracking"
_OPTIONS: Final = (
    ("--task", "task"),
    ("--data", "data"),
    ("--engine", "engine"),
    ("--physics", "physics"),
    ("--device", "device"),
    ("--num-envs", "num_envs"),
    ("--seed", "seed"),
)
"""Options that `grail run` has as well, and what they are called here."""


class Sizes(click.ParamType[Any]):
    """One whole number above 0, or several with commas between them."""

    name = "N[,N...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Read the numbers."""
        if isinstance(value, tuple):  # click converts a default once more
            return cast("tuple[int, ...]", value)
        words = str(value).split(",")
        if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
            self.fail(f"{value!r}; allowed: whole numbers above 0 with commas between them, such as 1024,4096", param, ctx)
        return tuple(int(word) for word in words)


@attrs.frozen(kw_only=True)
class Request:
    """The command line of a benchmark of a task."""

    task: str
    data: str | None
    engine: str | None
    physics: str | None
    device: str | None
    num_envs: tuple[int, ...] | None
    seed: int | None
    repeats: int
    steps: int
    as_json: bool
    overrides: tuple[str, ...]

    def arguments(self, num_envs: int | None) -> list[str]:
        """Return the options that `grail run` has too, for one number of environments."""
        values: dict[str, Any] = {name: getattr(self, name) for _, name in _OPTIONS} | {"num_envs": num_envs}
        return [text for flag, name in _OPTIONS if values[name] is not None for text in (flag, str(values[name]))]


_num_envs = click.option(
    "--num-envs", type=Sizes(), help="Environments; several numbers are measured one after the other. Default: by the device."
)
_repeats = click.option(
    "--repeats", type=click.IntRange(min=1), default=5, show_default=True, metavar="N", help="Times everything is measured."
)
_json = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout instead of tables.")


def _task_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a benchmark of a task."""
    for decorate in reversed(
        (
            click.option("--task", default=DEFAULT_TASK, show_default=True, metavar="NAME", help="What is simulated."),
            click.option("--data", metavar="DIR", help="Motion library. Default: the task's demo library."),
            click.option("--engine", metavar="NAME", help="auto, mujoco, isaaclab, or one of a plugin. Default: auto."),
            click.option(
                "--physics", type=click.Choice(["newton", "physx", "ovphysx"]), help="Physics of isaaclab. Default: newton."
            ),
            click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where the environment lives. Default: auto."),
            _num_envs,
            click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Seed of all random generators."),
            _repeats,
            click.option(
                "--steps",
                type=click.IntRange(min=1),
                default=20,
                show_default=True,
                metavar="N",
                help="Control steps in a block.",
            ),
            _json,
            click.argument("overrides", nargs=-1, metavar="[OVERRIDES]..."),
            click.pass_obj,
        )
    ):
        command = decorate(command)
    return command


@click.group()
def bench() -> None:
    """Measure speeds beside their references.

    Only ratios compare across machines; medians count, the lowest and highest value are shown. With several numbers of environments each
    has a process of its own. `docs/bench.md` describes the JSON.
    """


@bench.command(short_help="Time to the first finished iteration, phase by phase.")
@click.option("--cold", is_flag=True, help="Start it first with empty caches of compiled kernels.")
@_task_options
def startup(state: CliState, cold: bool, **options: Any) -> None:
    """Time a small `grail run` from the start of its process to the first finished iteration, phase by phase; and small commands.

    The reference is MuJoCo Warp alone on the same scene with `isaaclab`, the import of PyTorch elsewhere.
    """

    def measure(task: BenchTask, request: Request) -> list[Row]:
        from grail_framework.bench.startup import measure

        arguments = request.arguments(task.cfg.num_envs)
        return measure(task, _plugin_options(state), arguments, request.overrides, cold=cold)

    _measure(state, "startup", Request(**options), measure, ["--cold"] if cold else [])


@bench.command(short_help="A control step of the engine against its solver alone.")
@_task_options
def engine(state: CliState, **options: Any) -> None:
    """Time a control step of the engine against its solver alone, and what contact forces cost."""

    def measure(task: BenchTask, _request: Request) -> list[Row]:
        from grail_framework.bench.engine import measure

        return measure(task)

    _measure(state, "engine", Request(**options), measure)


@bench.command(short_help="A control step of the environment against its physics.")
@_task_options
def env(state: CliState, **options: Any) -> None:
    """Time a control step of the whole environment, resets included, against the physics in it; env-steps/s and memory."""

    def measure(task: BenchTask, _request: Request) -> list[Row]:
        from grail_framework.bench.env import measure

        return measure(task)

    _measure(state, "env", Request(**options), measure)


@bench.command(short_help="A PPO update against rsl_rl's.")
@_task_options
def ppo(state: CliState, **options: Any) -> None:
    """Time a PPO update against rsl_rl's on the same batch and networks."""

    def measure(task: BenchTask, _request: Request) -> list[Row]:
        from grail_framework.bench.ppo import measure

        return measure(task)

    _require("rsl_rl", "rsl-rl-lib", "ppo")
    _measure(state, "ppo", Request(**options), measure)


@bench.command(short_help="Training iterations against the bare physics.")
@click.option(
    "--iterations", type=click.IntRange(min=1), default=5, show_default=True, metavar="N", help="Iterations per repeat."
)
@_task_options
def train(state: CliState, iterations: int, **options: Any) -> None:
    """Count samples per second of whole training iterations against env-steps of the bare physics, and where the time goes."""

    def measure(task: BenchTask, _request: Request) -> list[Row]:
        from grail_framework.bench.train import measure

        return measure(task, iterations)

    _measure(state, "train", Request(**options), measure, ["--iterations", str(iterations)])


@bench.command(short_help="Reading, loading and gathering motions.")
@click.option(
    "--clips", type=click.IntRange(min=1), default=10_000, show_default=True, metavar="N", help="Size of the library."
)
@click.option("--data", metavar="DIR", help="Library whose first motion is read. Default: one that is made.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="auto", show_default=True, help="Where the library lives.")
@_num_envs
@_repeats
@_json
def motion(clips: int, data: str | None, device: str, num_envs: tuple[int, ...] | None, repeats: int, as_json: bool) -> None:
    """Compare window gathers to a contiguous copy, a packed store to its files, and the safe reader to the usual ones.

    The library is one of synthetic clips of 126 frames on average.
    """
    _check_motion(device, data)
    tell = _stages()
    from grail_framework.bench.machine import describe_machine
    from grail_framework.bench.motion import MotionBench, choose_device, measure
    from grail_framework.bench.record import Report

    chosen = choose_device(device)
    sizes = num_envs or ((4096,) if chosen.type == "cuda" else (64,))
    tell(f"measuring {clips} clips on {chosen}")
    rows, notes = measure(MotionBench(clips=clips, device=chosen, num_envs=sizes, repeats=repeats, data=data))
    settings = {"clips": clips, "device": str(chosen), "num_envs": list(sizes), "repeats": repeats, "data": data}
    _show(
        Report(benchmark="motion", machine=describe_machine(), settings=settings, rows=tuple(rows), notes=tuple(notes)), as_json
    )


def _measure(
    state: CliState,
    name: str,
    request: Request,
    measure: Callable[[BenchTask, Request], list[Row]],
    own_options: Sequence[str] = (),
) -> None:
    """Check everything, then measure each number of environments: one in this process, several in processes of their own."""
    sizes: tuple[int | None, ...] = request.num_envs or (None,)
    cfgs = [_compose(state, request, size) for size in sizes]
    tell = _stages()
    from grail_framework.bench.machine import describe_machine
    from grail_framework.bench.record import Report
    from grail_framework.bench.task import BenchTask
    from grail_framework.logging.stages import listening

    tasks = [BenchTask(cfg=cfg, manager=state.manager, repeats=request.repeats, steps=request.steps) for cfg in cfgs]
    rows: list[Row] = []
    for task in tasks:
        tell(f"measuring {task.cfg.num_envs} environments of {task.cfg.task} ({task.cfg.engine.name})")
        if len(tasks) == 1:
            with listening(tell):
                rows += measure(task, request)
        else:
            rows += _in_own_process(state, name, request, task, own_options)
    settings = tasks[0].settings() | {"num_envs": [task.cfg.num_envs for task in tasks], "overrides": list(request.overrides)}
    _show(Report(benchmark=name, machine=describe_machine(), settings=settings, rows=tuple(rows)), request.as_json)


def _compose(state: CliState, request: Request, num_envs: int | None) -> RunCfg:
    """Resolve the configuration and make every check of `grail run` that needs no engine."""
    from grail_framework.config.compose import RunOptions, compose
    from grail_framework.runs.preflight import preflight

    manager = state.manager
    options = RunOptions(
        data=request.data,
        engine=request.engine,
        physics=request.physics,
        device=request.device,
        num_envs=num_envs,
        seed=request.seed,
    )
    composed = compose(
        manager.registry,
        task=request.task,
        options=options,
        overrides=request.overrides,
        edits=[manager.configure_run],
        settle=manager.settle_run,
    )
    for warning in (*composed.warnings, *preflight(composed.cfg, manager.registry)):
        click.echo(f"warning: {warning}", err=True)
    return composed.cfg


def _in_own_process(state: CliState, name: str, request: Request, task: BenchTask, own_options: Sequence[str]) -> list[Row]:
    """Measure one number of environments in a process of its own: its memory, kernels and simulator are nobody else's."""
    import json
    import subprocess
    import sys

    from grail_framework.bench.record import Row

    command = [sys.executable, "-m", "grail_framework", *_plugin_options(state), "bench", name, *own_options]
    command += [*request.arguments(task.cfg.num_envs), "--repeats", str(request.repeats), "--steps", str(request.steps)]
    done = subprocess.run([*command, "--json", *request.overrides], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:  # it has said why
        raise click.exceptions.Exit(done.returncode)
    return [Row.from_plain(row) for row in json.loads(done.stdout)["rows"]]


def _plugin_options(state: CliState) -> list[str]:
    """Return the global options, for another process."""
    named = [text for name in state.disable for text in ("--no-plugin", name)]
    return named + [text for path in state.plugin_files for text in ("--plugin-file", path)]


def _require(module: str, package: str, command: str) -> None:
    from grail_framework.config.hardware import is_installed
    from grail_framework.errors import ConfigError

    if not is_installed(module):
        raise ConfigError(f"grail bench {command} compares with {package}, which is not installed: pip install {package}")


def _check_motion(device: str, data: str | None) -> None:
    """Check what `grail bench motion` is given, before PyTorch is imported."""
    from pathlib import Path

    from grail_framework.config.hardware import has_nvidia_gpu
    from grail_framework.config.scene import EngineCfg
    from grail_framework.errors import ConfigError, DataError

    try:
        EngineCfg(device=device)
    except ValueError as error:
        raise ConfigError(f"--device: got {device!r}, allowed: auto, cpu, cuda, cuda:N") from error
    if device.startswith("cuda") and not has_nvidia_gpu():
        raise ConfigError(f"--device: got {device!r}, and there is no NVIDIA GPU here. Allowed: auto, cpu")
    if data is not None and not (Path(data).expanduser() / "robot").is_dir():
        raise DataError(f"--data: {data} has no folder robot/; name the folder of a motion library in the GRAIL layout")


def _stages() -> StageLine:
    from grail_framework.cli.run_report import StageLine

    tell = StageLine()
    tell("loading PyTorch")
    return tell


def _show(report: Report, as_json: bool) -> None:
    from grail_framework.cli.bench_report import show_report

    show_report(report, as_json=as_json)
