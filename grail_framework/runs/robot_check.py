"""Checks of the robot a configuration names: it has the links that the scene's contact sensors feel with. Imports no engine."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

from grail_framework.errors import ConfigError, GrailError

if TYPE_CHECKING:
    from grail_framework.config import RunCfg
    from grail_framework.registry import Registry
    from grail_framework.robots.spec import RobotSpec

_SHOWN: Final = 3


def check_robot(cfg: RunCfg, registry: Registry) -> None:
    """Demand a robot with all links that the scene's contact sensors name, as hands are.

    Raises:
        NotFoundError: no robot of the name is registered.
        ConfigError: it lacks links; the robots that have them are named, or where none has, the links that look alike.
    """
    # A file of the user's (robot.asset) stands in under the registered robot's names, so there is no need to read it here.
    robot: RobotSpec = registry.find("robot", cfg.robot.name).load()()
    lacking = _lacking(cfg, robot)
    if not lacking:
        return
    fitting = _fitting(cfg, registry)
    sensor, links = next(iter(lacking.items()))
    path = f"scene.contact_sensors.{sensor}"
    if not fitting:
        _name_links_alike(robot, path, links)
    listed = ", ".join(links[:_SHOWN]) + (f" and {len(links) - _SHOWN} more" if len(links) > _SHOWN else "")
    without = " has no hands, so it" if not robot.hands and all(other.hands for other in fitting.values()) else ""
    kind = "with hands" if without else "that have them"
    raise ConfigError(
        f"robot.name: got {cfg.robot.name!r}, which{without} lacks the links {listed} that {path} of task {cfg.task!r} feels with. "
        f"Registered robots {kind}: {', '.join(fitting)}. Write robot.name={next(iter(fitting))}"
    )


def _lacking(cfg: RunCfg, robot: RobotSpec) -> dict[str, list[str]]:
    """Return the names and expressions that match no link, by sensor."""
    found: dict[str, list[str]] = {}
    for name, sensor in cfg.scene.contact_sensors.items():
        links = [link for link in sensor.links if not any(re.fullmatch(link, body) for body in robot.body_names)]
        if links:
            found[name] = links
    return found


def _fitting(cfg: RunCfg, registry: Registry) -> dict[str, RobotSpec]:
    """Return the registered robots that have all links, by the name to write."""
    fitting: dict[str, RobotSpec] = {}
    entries = registry.entries("robot")
    for entry in entries:
        with contextlib.suppress(GrailError):  # a broken plugin's robot is no help, and not what is wrong here
            robot: RobotSpec = entry.load()()
            name = entry.name if [other.name for other in entries].count(entry.name) == 1 else entry.qualified
            if not _lacking(cfg, robot):
                fitting[name] = robot
    return fitting


def _name_links_alike(robot: RobotSpec, path: str, links: list[str]) -> None:
    """Raise what the robot itself says of links that no robot has."""
    try:
        robot.match_bodies(links)
    except ConfigError as error:
        raise ConfigError(f"{path}.links: {error}") from error
