"""`grail warmup`: compile what a run will need, so that the run itself starts warm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState
    from grail_framework.runs.warmup import WarmUp

_SHOWN = 5


@click.command(short_help="Compile what a run of a task will need.")
@click.option("--task", metavar="NAME", required=True, help="The task; `grail tasks list` shows all.")
@click.option("--preset", metavar="NAME", help="Values that fit a machine, as in `grail run`.")
@click.option("--data", metavar="DIR", help="Motion library, the folder with robot/. Default: the task's demo library.")
@click.option("--engine", metavar="NAME", help="auto, mujoco, isaaclab, or one of a plugin. Default: auto.")
@click.option(
    "--physics", type=click.Choice(["newton", "physx", "ovphysx"]), help="Physics of the engine isaaclab. Default: newton."
)
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where the environment lives. Default: auto.")
@click.option("--num-envs", type=click.IntRange(min=1), metavar="N", help="Environments per process.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.argument("overrides", nargs=-1, metavar="[OVERRIDES]...")
@click.pass_obj
def warmup(state: CliState, task: str, preset: str | None, as_json: bool, overrides: tuple[str, ...], **options: Any) -> None:
    """Build a run's environment, train one iteration, and keep nothing of it but compiled kernels and converted assets.

    Give it the run's own options: kernels are made for a robot, its objects and the solver's settings, not for a number of
    environments. They are kept in WARP_CACHE_PATH, by default below ~/.cache/warp.
    """
    from grail_framework.config.compose import RunOptions, compose
    from grail_framework.runs.preflight import preflight

    manager = state.manager
    composed = compose(
        manager.registry,
        task=task,
        preset=preset,
        options=RunOptions(**options),
        overrides=overrides,
        edits=[manager.configure_run],
        settle=manager.settle_run,
    )
    for warning in [*composed.warnings, *preflight(composed.cfg, manager.registry)]:
        click.echo(f"warning: {warning}", err=True)
    from grail_framework.cli.run_report import StageLine

    with StageLine() as stage:
        stage("loading PyTorch")
        from grail_framework.runs.warmup import warm_up

        result = warm_up(composed.cfg, manager, on_stage=stage)
    if as_json:
        import json

        import attrs

        click.echo(json.dumps(attrs.asdict(result), indent=2))
    else:
        _show(result)


def _show(result: WarmUp) -> None:
    click.echo(f"{result.task} on {result.engine} ({result.device}), {result.num_envs} environments: {result.duration_s:.1f} s")
    if not result.modules:
        click.echo(f"the engine {result.engine} has no kernels to compile")
        return
    click.echo(f"{result.modules} kernel modules, {len(result.compiled)} of them compiled, the others were in the cache")
    longest = sorted(result.compiled.items(), key=lambda item: -item[1])
    for name, seconds in longest[:_SHOWN]:
        click.echo(f"  {seconds:6.1f} s  {name}")
    if len(longest) > _SHOWN:
        click.echo(
            f"  {sum(seconds for _, seconds in longest[_SHOWN:]):6.1f} s  the other {len(longest) - _SHOWN}, many at a time"
        )
    click.echo(f"cache: {result.cache}")
