"""What a walk must keep to before it is written: balance, soles that stay where they stand, clearances, speeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from grail_framework.robots.footing import shortfall
from grail_framework.robots.keyframes import FPS
from grail_framework.robots.puppet import TERRAIN, Puppet, PuppetScene
from grail_terrain.demo.walking import FEET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grail_framework.robots.spec import RobotSpec
    from grail_terrain.demo.walking import Walk

INSET: Final = 0.008
"""How much smaller than they are the soles carry the robot; a sole is 6 cm wide. [m]"""
FRICTION: Final = 0.9
"""Of the soles; 1.0 in training. [-]"""
MAX_SHORTFALL: Final = 5.0
"""Of what the soles can give; the robot weighs 330 N. [N]"""
MAX_SOLE: Final = 0.003
"""How far a corner of a sole that carries may be from the terrain or its place. [m]"""
MAX_DEPTH: Final = 0.004
"""Of any two bodies. [m]"""
MAX_SPEED_SHARE: Final = 0.6
"""Of a motor's greatest speed. [-]"""


def faults(robot: RobotSpec, walk: Walk) -> list[str]:
    """Say what is wrong with a walk; nothing when it may be written."""
    return [*_balance(walk), *_soles(walk), *_speeds(robot, walk), *_contacts(robot, walk)]


def _balance(walk: Walk) -> Iterator[str]:
    """The wrench criterion, not the centre of pressure: soles on two treads have no common plane."""
    missing = shortfall(walk.wanted, walk.stands, inset=INSET, friction=FRICTION)
    if missing.max() > MAX_SHORTFALL:
        yield f"the soles cannot give {missing.max():.0f} N at frame {missing.argmax()}"


def _soles(walk: Walk) -> Iterator[str]:
    soles = walk.wanted.soles
    for foot, name in enumerate(FEET):
        standing = walk.stands[:, foot]
        off = np.abs(soles[:, foot, :, 2] - walk.profile.height(soles[:, foot, :, 0]))[standing]
        still = standing[1:] & standing[:-1]
        # From frame to frame, and over a whole stance: one that slides slowly is none.
        begun = np.flatnonzero(standing & ~np.concatenate(([False], standing[:-1])))
        first = begun[np.maximum(np.searchsorted(begun, np.arange(len(standing)), side="right") - 1, 0)]
        moved = np.linalg.norm(soles[:, foot] - soles[first, foot], axis=-1)[1:][still]
        if max(off.max(), moved.max(initial=0.0)) > MAX_SOLE:
            yield f"{name} stands {off.max():.3f} m off the terrain, and slides {moved.max(initial=0.0):.3f} m"


def _speeds(robot: RobotSpec, walk: Walk) -> Iterator[str]:
    speeds = np.abs(np.diff(walk.track.joint_pos, axis=0)).max(axis=0) * FPS
    limits = {joint.name: joint.velocity for joint in robot.joints}
    for name, speed in zip(walk.track.joint_names, speeds, strict=True):
        if speed > MAX_SPEED_SHARE * limits[name]:
            yield f"{name} turns at {speed:.1f} rad/s"


def _contacts(robot: RobotSpec, walk: Walk) -> Iterator[str]:
    terrain = tuple(points for points, _ in walk.profile.meshes())
    puppet = Puppet(robot, PuppetScene(terrain=terrain))
    track = walk.track
    columns = [track.joint_names.index(name) for name in puppet.led]
    targets = np.zeros((len(track.root_pos), len(puppet.fingers)))
    depth = puppet.play(track.root_pos, track.root_quat, track.joint_pos[:, columns], targets).depth
    for pair, (value, frame) in depth.items():
        if value > MAX_DEPTH:
            yield f"{' and '.join(pair)} overlap by {value:.3f} m at frame {frame}"
        elif TERRAIN in pair and not set(FEET) & set(pair):
            yield f"{' and '.join(pair)} touch at frame {frame}"
