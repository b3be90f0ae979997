"""What soles can give, by hand: a weight over, beside and between them, on level ground, slopes and two treads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from grail_framework.robots.balance import Reaction
from grail_framework.robots.footing import shortfall

WEIGHT = 340.0
SOLE = np.array([(x, y, 0.0) for x in (-0.09, 0.09) for y in (-0.03, 0.03)])
LEFT, RIGHT, BOTH, NONE = (True, False), (False, True), (True, True), (False, False)


def pushed(force, at, soles):
    """The reaction of one frame: a force through a point, and two soles at places."""
    force, at = np.array(force, dtype=float), np.array(at, dtype=float)
    return Reaction(force=force[None], moment=np.cross(at, force)[None], soles=np.array([soles]))


def missing(force, at, soles, stands, *, inset=0.0, friction=0.8):
    return shortfall(pushed(force, at, soles), np.array([stands]), inset=inset, friction=friction)[0]


def level(left, right):
    return [SOLE + np.array(left), SOLE + np.array(right)]


SIDE_BY_SIDE = level((0.0, 0.1, 0.0), (0.0, -0.1, 0.0))


@pytest.mark.parametrize(
    ("y", "stands", "carried"),
    [
        (0.1, LEFT, True),
        (0.1, RIGHT, False),
        (0.129, LEFT, True),
        (0.131, LEFT, False),
        (0.0, BOTH, True),
        (0.0, LEFT, False),
        (-0.14, BOTH, False),
    ],
)
def test_a_weight_is_carried_over_the_soles(y, stands, carried):
    found = missing((0.0, 0.0, WEIGHT), (0.05, y, 0.9), SIDE_BY_SIDE, stands)
    assert bool(found < 1e-6 * WEIGHT) is carried


def test_beside_a_sole_the_moment_is_missing():
    """The best is a little less force, and a moment less; an inch off is worth a quarter of the weight at 0.1 m."""
    found = missing((0.0, 0.0, WEIGHT), (0.0, 0.155, 0.9), SIDE_BY_SIDE, LEFT)
    assert 0.15 * WEIGHT < found < 0.25 * WEIGHT
    assert missing((0.0, 0.0, WEIGHT), (0.0, 0.1, 0.9), SIDE_BY_SIDE, NONE) == pytest.approx(WEIGHT)


@pytest.mark.parametrize(("inset", "carried"), [(0.0, True), (0.009, True), (0.011, False)])
def test_smaller_soles_carry_less(inset, carried):
    found = missing((0.0, 0.0, WEIGHT), (0.08, 0.1, 0.0), SIDE_BY_SIDE, LEFT, inset=inset)
    assert bool(found < 1e-6 * WEIGHT) is carried


def test_between_two_treads():
    """A weight that leans as the line between the soles does needs no friction; a level push needs it."""
    treads = level((0.28, 0.09, 0.15), (0.0, -0.09, 0.0))
    middle = (0.14, 0.0, 0.7)
    assert missing((0.0, 0.0, WEIGHT), middle, treads, BOTH, friction=0.01) < 1e-6
    assert missing((0.3 * WEIGHT, 0.0, WEIGHT), (0.14, 0.0, 0.08), treads, BOTH, friction=0.5) < 1e-6
    assert missing((0.3 * WEIGHT, 0.0, WEIGHT), (0.14, 0.0, 0.08), treads, BOTH, friction=0.1) > 0.1 * WEIGHT


@pytest.mark.parametrize(("friction", "carried"), [(0.3, False), (0.6, True)])
def test_on_a_slope_of_twenty_degrees(friction, carried):
    """tan 20 deg = 0.364; the pyramid inside the cone has 0.71 of it along the sole's axes."""
    turn = Rotation.from_euler("y", -20, degrees=True)
    soles = [turn.apply(SOLE) + np.array([0.0, y, 0.4]) for y in (0.1, -0.1)]
    found = missing((0.0, 0.0, WEIGHT), (0.0, 0.0, 0.4), soles, BOTH, friction=friction)
    assert bool(found < 1e-6 * WEIGHT) is carried


def test_a_turn_needs_friction():
    """Forces at the corners along the sides of one sole: their arm is at most 0.095 m."""
    reaction = pushed((0.0, 0.0, WEIGHT), (0.0, 0.1, 0.0), SIDE_BY_SIDE)
    moment = reaction.moment + np.array([[0.0, 0.0, 15.0]])
    turning = Reaction(force=reaction.force, moment=moment, soles=reaction.soles)
    assert shortfall(turning, np.array([LEFT]), inset=0.0, friction=0.8)[0] < 1e-6
    assert shortfall(turning, np.array([LEFT]), inset=0.0, friction=0.3)[0] > 20.0


def test_the_point_of_pressure_at_a_level():
    force, at = np.array([20.0, -10.0, WEIGHT]), np.array([0.3, -0.2, 0.5])
    reaction = pushed(force, at, SIDE_BY_SIDE)
    np.testing.assert_allclose(reaction.pressure(0.5), [at[:2]], atol=1e-12)
    # Along the force's line, 0.5 m further down.
    np.testing.assert_allclose(reaction.pressure(), [at[:2] - 0.5 * force[:2] / WEIGHT], atol=1e-12)
    np.testing.assert_allclose(reaction.pressure(np.array([0.5])), [at[:2]], atol=1e-12)
