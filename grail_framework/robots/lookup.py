"""The robot of a run: a registered one, or a user's own file under its names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grail_framework.config import RobotCfg
    from grail_framework.registry import Registry
    from grail_framework.robots.spec import RobotSpec


def find_robot(cfg: RobotCfg, registry: Registry) -> RobotSpec:
    """Return the robot the configuration names.

    Raises:
        NotFoundError: no robot of that name is registered.
        AssetError: the file `robot.asset` names cannot stand in for it.
    """
    robot: RobotSpec = registry.find("robot", cfg.name).load()()
    if cfg.asset is None:
        return robot
    from grail_framework.robots.from_asset import robot_from_asset  # MuJoCo and scipy, only for a file

    return robot_from_asset(Path(cfg.asset).expanduser(), robot)
