"""A robot that the scene's contact sensors cannot feel with is refused before the engine, with the robots that can."""

from __future__ import annotations

import attrs
import pytest

from grail_framework.config import ContactSensorCfg
from grail_framework.config.compose import compose
from grail_framework.errors import ConfigError, NotFoundError
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.registry import Entry
from grail_framework.runs.robot_check import check_robot

FINGER = "right_hand_thumb_2_link"


@pytest.fixture
def registry():
    return GrailPluginManager(autoload=False).load().registry


def following(registry, robot, *links):
    cfg = compose(registry, task="motion_tracking").cfg
    sensors = {"hand": ContactSensorCfg(links=links, partner="any")}
    scene = attrs.evolve(cfg.scene, contact_sensors=sensors)
    return attrs.evolve(cfg, robot=attrs.evolve(cfg.robot, name=robot), scene=scene)


def answer(cfg, registry):
    with pytest.raises(ConfigError) as caught:
        check_robot(cfg, registry)
    return str(caught.value)


@pytest.mark.parametrize("robot", ["g1_29dof", "core:g1_43dof"])
def test_links_that_the_robot_has(registry, robot):
    check_robot(following(registry, robot, "pelvis", r"(?!.*(ankle_roll|hand)).*", r".*_wrist_yaw_link"), registry)


@pytest.mark.parametrize("link", [FINGER, r"right_hand_.*"])
def test_a_robot_without_hands_is_told_who_has_some(registry, link):
    said = answer(following(registry, "g1_29dof", "pelvis", link), registry)
    assert said == (
        f"robot.name: got 'g1_29dof', which has no hands, so it lacks the links {link} that scene.contact_sensors.hand of task "
        "'core:motion_tracking' feels with. Registered robots with hands: g1_43dof. Write robot.name=g1_43dof"
    )


def test_robots_of_plugins_are_named_and_broken_ones_are_not(registry):
    own = {"kind": "robot", "plugin": "own"}
    registry.commit([Entry(**own, name="g1_43dof", target="grail_framework.robots.g1:g1_43dof")])
    registry.commit([Entry(**own, name="broken", target="no_such_module:robot")])
    said = answer(following(registry, "g1_29dof", FINGER), registry)
    assert "with hands: core:g1_43dof, own:g1_43dof. Write robot.name=core:g1_43dof" in said


def test_a_link_that_no_robot_has_is_no_matter_of_the_robot(registry):
    said = answer(following(registry, "g1_29dof", "right_wrist_yaw_lnk"), registry)
    assert said.startswith("scene.contact_sensors.hand.links: robot 'g1_29dof' has no body 'right_wrist_yaw_lnk': did you mean")
    assert "'right_wrist_yaw_link'" in said


def test_a_robot_that_nobody_registered(registry):
    with pytest.raises(NotFoundError, match="did you mean 'g1_29dof'"):
        check_robot(following(registry, "g1_29", "pelvis"), registry)
