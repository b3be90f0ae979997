"""Options of the commands that read a whole library, packed or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from grail_framework.cli.data.preparing import with_options
from grail_framework.config import MotionCfg

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_OPTIONS = (
    click.option("--robot", default="g1_43dof", show_default=True, metavar="NAME", help="The robot the motions are of."),
    click.option(
        "--target-fps",
        type=click.FloatRange(min=0.0, min_open=True),
        default=50.0,
        show_default=True,
        metavar="HZ",
        help="Rate all motions are resampled to.",
    ),
    click.option("--bps", "bps_dir", metavar="DIR", help="Basis point sets. Default: DIR/bps, then the sibling without _ha."),
    click.option(
        "--source-fps", type=click.FloatRange(min=0.0, min_open=True), metavar="HZ", help="Rate of files that name none."
    ),
    click.option(
        "--quat-order",
        type=click.Choice(["auto", "wxyz", "xyzw"]),
        default="auto",
        show_default=True,
        help="Order of root quaternions in the files.",
    ),
    click.option("--map-23dof", is_flag=True, help="Use motions of the 23-joint G1, their missing joints at 0."),
)


def reading_options[Command: Callable[..., Any]](command: Command) -> Command:
    """Add the options; the command takes `robot` and passes the rest to `motion_cfg`."""
    return with_options(_OPTIONS, command)


def motion_cfg(folder: Path, **given: Any) -> MotionCfg:
    """Return the configuration of all motions of a library."""
    return MotionCfg(data=str(folder), **{name: value for name, value in given.items() if value is not None})
