"""Contacts of a sole on almost flat faces, on the device."""

from __future__ import annotations

import copy

import mujoco
import mujoco_warp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from grail_framework.engine.isaaclab.contact_points import steady_contacts
from grail_framework.engine.polygons import mend_polygon_normals

from ...assets.solids import rounded_slab
from ..soles import HALF, poses, sole_on

PLACES = 400


@pytest.fixture(scope="module")
def stone():
    points = rounded_slab()
    model = sole_on(points)
    mend_polygon_normals(model)
    return model, poses(points, PLACES)


def collide(model, places):
    """World of each contact, height of its normal, and depth."""
    device_model = mujoco_warp.put_model(model)
    data = mujoco_warp.make_data(model, nworld=len(places), nconmax=8, njmax=32)
    data.qpos.assign(places.astype(np.float32))
    mujoco_warp.kinematics(device_model, data)
    mujoco_warp.com_pos(device_model, data)
    mujoco_warp.collision(device_model, data)
    count = int(data.nacon.numpy()[0])
    contact = data.contact
    return contact.worldid.numpy()[:count], contact.frame.numpy()[:count, 0, 2], contact.dist.numpy()[:count]


def test_no_contact_is_lost_and_depths_are_mujocos(stone):
    steady_contacts()
    model, places = stone
    world, normals, depths = collide(model, places)
    assert (normals < 0.0).all()
    reference = copy.copy(model)
    reference.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MULTICCD  # the deepest point alone
    data = mujoco.MjData(reference)
    expected = np.zeros(PLACES)
    for index, place in enumerate(places):
        data.qpos[:] = place
        mujoco.mj_forward(reference, data)
        expected[index] = min((contact.dist for contact in data.contact), default=0.0)
    assert (expected < 0.0).sum() > 0.95 * PLACES
    np.testing.assert_array_equal(np.unique(world), np.flatnonzero(expected))
    found = np.zeros(PLACES)
    np.minimum.at(found, world, depths)
    assert np.quantile(np.abs(found - expected), 0.99) < 1e-4


def test_a_sole_that_is_almost_flat_stands_on_its_corners():
    steady_contacts()
    model = sole_on(np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-0.1, 0.0)]))
    tilts = np.array([0.0, 0.004, 0.008, 0.05])
    turns = Rotation.from_rotvec(np.outer(tilts, (0.0, 1.0, 0.0))).as_quat(scalar_first=True)
    places = np.concatenate((np.zeros((4, 2)), np.full((4, 1), HALF[2] - 0.001), turns), axis=1)
    world, _, _ = collide(model, places)
    assert np.bincount(world).tolist() == [4, 4, 4, 2]
