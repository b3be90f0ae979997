"""Where the published descriptions of the G1 are, and how to read poses out of MuJoCo."""

import os
from pathlib import Path

import numpy as np
import pytest

DATA = Path(os.environ.get("GRAIL_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "robots"
PUBLISHED = DATA / "unitree_g1_43dof"
PRIMITIVE = DATA / "g1_primitive_models"
needs_published = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="the published G1 description is not here; set GRAIL_TEST_DATA"
)


def set_pose(model, data, robot, pose, height=5.0):
    """Put the root upright at a height, the joints (in the robot's order) at a pose."""
    data.qpos[:7] = (0.0, 0.0, height, 1.0, 0.0, 0.0, 0.0)
    data.qpos[model.jnt_qposadr[[model.joint(name).id for name in robot.joint_names]]] = pose


def default_pose(robot):
    return np.array([joint.default_pos for joint in robot.joints])


def hand_pose(robot, side, index, middle, thumb):
    """Return the default pose with the fingers of a hand closed by a share of what its primitive does, each."""
    pose = default_pose(robot)
    hand = robot.hands[side]
    for joint, name, action in zip(robot.joint_ids(hand.joints), hand.joints, hand.closed_action, strict=True):
        share = {"index": index, "middle": middle, "thumb": thumb}[name.split("_")[2]]
        pose[joint] += share * action * robot.joints[joint].action_scale
    return pose


def body_pairs(model, data):
    """Return the pairs of bodies in contact."""
    return {
        tuple(sorted(model.body(model.geom_bodyid[geom]).name for geom in (contact.geom1, contact.geom2)))
        for contact in data.contact[: data.ncon]
    }
