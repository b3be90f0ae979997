"""A puppet led over terrain: what of it meets which piece, and how deep."""

from __future__ import annotations

import numpy as np

from grail_framework.robots.g1 import g1_29dof
from grail_framework.robots.puppet import TERRAIN, Puppet, PuppetScene

STANDING = 0.757
"""Of the root over the soles, in the default pose. [m]"""


def block(x, top):
    return np.array([(x + i, j, k) for i in (-0.3, 0.3) for j in (-0.5, 0.5) for k in (0.0, top)])


def deepest(height, terrain):
    robot = g1_29dof()
    puppet = Puppet(robot, PuppetScene(terrain=terrain))
    defaults = {joint.name: joint.default_pos for joint in robot.joints}
    joints = np.tile([defaults[name] for name in puppet.led], (3, 1))
    root = np.tile([0.0, 0.0, STANDING + height], (3, 1))
    return puppet.play(root, np.tile([1.0, 0.0, 0.0, 0.0], (3, 1)), joints, np.zeros((3, 0))).depth


def test_feet_on_top_touch_and_do_not_sink():
    depth = deepest(0.2, (block(0.0, 0.2),))
    assert all(value < 0.002 for value, _ in depth.values())
    assert not deepest(0.21, (block(0.0, 0.2),))


def test_how_deep_feet_are():
    depth = deepest(0.19, (block(0.0, 0.2), block(5.0, 1.0)))
    feet = {pair[0] for pair in depth if pair[1] == TERRAIN} | {pair[1] for pair in depth if pair[0] == TERRAIN}
    assert feet == {"left_ankle_roll_link", "right_ankle_roll_link"}
    assert all(0.008 < value < 0.012 for value, _ in depth.values())


def test_a_piece_in_the_way_of_the_shins_is_seen():
    depth = deepest(0.0, (block(0.42, 0.5),))
    touched = {name for pair in depth for name in pair} - {TERRAIN, "world"}
    assert any("knee" in name or "ankle" in name for name in touched)
