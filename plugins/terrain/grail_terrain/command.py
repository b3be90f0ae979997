"""`grail terrain`: how terrains and motions are dealt to environments, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from grail_framework.plugins.results import TerrainPlan
    from grail_terrain.discovery import Discovery
    from grail_terrain.plan import Deal

_SHOWN = 8


class _EnvCounts(click.ParamType):
    """A number of environments, or one for each process: `512` or `512,256`."""

    name = "N[,N...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Read the numbers."""
        try:
            counts = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            counts = ()
        if not counts or min(counts) < 1:
            self.fail(f"got {value!r}, allowed: a number from 1, or one for each process, separated by commas", param, ctx)
        return counts


@click.group()
def terrain() -> None:
    """Show how terrains and motions are dealt to the environments of a run."""


@terrain.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--num-envs", type=_EnvCounts(), required=True, help="Environments per process; a list where they differ.")
@click.option(
    "--world-size", type=click.IntRange(min=1), default=1, show_default=True, metavar="W", help="Number of processes."
)
@click.option("--flat-motion-dir", type=click.Path(path_type=Path), metavar="DIR", help="Folder of motions on flat ground.")
@click.option("--flat-usd", type=click.Path(path_type=Path), metavar="FILE", help="Asset of flat environments.")
@click.option(
    "--ratio", type=click.IntRange(min=0), default=0, show_default=True, metavar="R", help="Flat environments per terrain one."
)
@click.option(
    "--filter", "keys", multiple=True, metavar="KEY", help="Stem or regular expression of motions to keep; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def plan(
    folder: Path,
    num_envs: tuple[int, ...],
    world_size: int,
    flat_motion_dir: Path | None,
    flat_usd: Path | None,
    ratio: int,
    keys: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show which motion each environment of a run on the terrains in DIR would follow, on which terrain. Starts no engine."""
    from grail_framework.config import MotionCfg
    from grail_terrain.discovery import discover
    from grail_terrain.plan import deal_of, make_plan, warnings

    if len(num_envs) not in (1, world_size):
        raise click.UsageError(
            f"--num-envs names {len(num_envs)} processes, and --world-size is {world_size}; give one number, or {world_size}"
        )
    motion = MotionCfg(filter_motion_keys=keys or None)
    found = discover(folder.expanduser(), motion, flat_dir=flat_motion_dir, flat_usd=flat_usd, flat_envs=ratio > 0)
    deal = deal_of(found, ratio, num_envs if len(num_envs) == world_size else num_envs * world_size)
    plans = [make_plan(found, deal, rank) for rank in range(world_size)]
    said = warnings(found, deal)
    if as_json:
        _write_json(found, deal, plans, said)
    else:
        _show(deal, plans, said)


def _show(deal: Deal, plans: list[TerrainPlan], said: list[str]) -> None:
    from grail_framework.cli.render import Row, show_table

    for line in plans[0].notes:
        click.echo(line)
    click.echo()
    rows = [
        Row(
            cells=(
                str(rank),
                *(
                    str(n)
                    for n in (deal.env_counts[rank], deal.terrain_envs(rank), deal.flat_envs(rank), len(set(plan.env_usd)))
                ),
                _shown(plan.env_motion),
            )
        )
        for rank, plan in enumerate(plans)
    ]
    show_table(("rank", "envs", "terrain", "flat", "assets", "motion of each environment"), rows)
    for sentence in said:
        click.echo(f"warning: {sentence}", err=True)


def _shown(keys: tuple[str, ...]) -> str:
    return " ".join(keys[:_SHOWN]) + (f" ... ({len(keys)})" if len(keys) > _SHOWN else "")


def _write_json(found: Discovery, deal: Deal, plans: list[TerrainPlan], said: list[str]) -> None:
    import json

    document = {
        "terrain_motion_dir": str(found.root),
        "flat_motion_dir": None if found.flat_dir is None else str(found.flat_dir),
        "flat_usd": None if found.placeholder is None else str(found.placeholder),
        "ratio": deal.ratio,
        "world_size": len(plans),
        "terrain_motions": list(deal.terrain),
        "flat_motions": list(deal.flat),
        "untrained_terrain": list(deal.untrained_terrain),
        "untrained_flat": list(deal.untrained_flat),
        "ranks": [
            {
                "rank": rank,
                "num_envs": deal.env_counts[rank],
                "terrain_envs": deal.terrain_envs(rank),
                "flat_envs": deal.flat_envs(rank),
                "unique_usd": len(set(plan.env_usd)),
                "env_motion": list(plan.env_motion),
                "env_usd": list(plan.env_usd),
                "motion_keys": list(plan.motion_keys),
            }
            for rank, plan in enumerate(plans)
        ],
        "warnings": said,
    }
    click.echo(json.dumps(document, indent=2))
