"""What comes of a task in a given time on this machine: zero action, before and after, and the curves.

Usage: python benchmarks/training.py NAME... [--minutes 20] [--data DIR] [--out DIR]
where NAME is one of the runs below. Each trains with the preset `laptop` in a run directory below OUT, one after the other; the table and
the pictures `NAME.png` are what `docs/benchmarks.md` shows. DATA is the folder with `flat` and `largebox_ha`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from grail_framework.cli.run_report import StageLine, show_summary
from grail_framework.config.compose import RunOptions, compose
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.curves import draw_curves
from grail_framework.runs.launch import launch

if TYPE_CHECKING:
    from grail_framework.runs.summary import RunSummary


@attrs.frozen
class Training:
    """A task, its motions and what differs from the preset."""

    task: str
    data: str | None = None
    """Folder below DATA; None: the task's demo library."""
    overrides: tuple[str, ...] = ()


NO_GRASP_FAILURE = "terminations.grasp_failure_after_contact=null"
TRAININGS = {
    "motion_tracking_flat": Training("motion_tracking", "flat"),
    "motion_tracking_demo": Training("motion_tracking"),
    "pnp_table_demo": Training("pnp_table"),
    "pnp_ground_released": Training("pnp_ground", "largebox_ha"),
    "pnp_ground_no_grasp_failure": Training("pnp_ground", "largebox_ha", (NO_GRASP_FAILURE,)),
    "pnp_ground_gated": Training(
        "pnp_ground",
        "largebox_ha",
        (NO_GRASP_FAILURE, "rewards.grasp_right.gate={hand: right}", "rewards.grasp_left.gate={hand: left}"),
    ),
}


def train(name: str, *, data: Path, out: Path, minutes: float) -> RunSummary:
    """Train one of the table and draw its curves."""
    training = TRAININGS[name]
    manager = GrailPluginManager().load()
    options = RunOptions(
        data=None if training.data is None else str(data / training.data), engine="mujoco", experiment_dir=str(out / name)
    )
    overrides = [*training.overrides, "logging.console=plain"]
    composed = compose(manager.registry, task=training.task, preset="laptop", options=options, overrides=overrides)
    print(f"{name}: preset laptop: {'  '.join(composed.preset_changes)}", flush=True)
    with StageLine() as stage:
        summary = launch(composed.cfg, manager, time_budget_s=60.0 * minutes, on_stage=stage)
    zero_action = None if summary.zero_action is None else summary.zero_action.tracked_fraction
    draw_curves(summary.run_dir / "metrics.jsonl", out / f"{name}.png", zero_action=zero_action)
    show_summary(summary)
    return summary


def main() -> None:
    """Train those that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=list(TRAININGS), metavar="NAME", help=", ".join(TRAININGS))
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/grail"))
    parser.add_argument("--out", type=Path, default=Path("logs_rl/training"))
    arguments = parser.parse_args()
    for name in arguments.names:
        train(name, data=arguments.data, out=arguments.out, minutes=arguments.minutes)


if __name__ == "__main__":
    main()
