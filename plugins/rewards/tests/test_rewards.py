"""Reward formulas against values computed by hand."""

import math
from types import SimpleNamespace

import pytest
import torch

from grail_rewards.grasp import contact_center, finger_direction, grasp
from grail_rewards.object_tracking import object_tracking
from grail_rewards.regularisers import finger_primitive_limit, meta_action_rate_l2


def rows(*values):
    return torch.tensor(values, dtype=torch.float32)


@pytest.fixture
def env():
    """Two environments; bodies 0, 1, 2 are thumb, index and middle tip of the right hand."""
    hand = SimpleNamespace(thumb_tip="thumb", index_tip="index", middle_tip="middle")
    names = ("thumb", "index", "middle")
    # The reference object stands at (1, 0, 0), turned a quarter about z: its local (0.1, 0, 0) is the world's (1, 0.1, 0).
    quarter = [math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]
    centers = torch.zeros(2, 2, 3)
    centers[0, 1] = rows(0.1, 0.0, 0.0)
    reference = SimpleNamespace(
        object_pos_w=rows([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
        object_quat_w=rows(quarter, quarter),
        object_lin_vel_w=torch.zeros(2, 3),
        object_ang_vel_w=torch.zeros(2, 3),
        contact_center=centers,
    )
    state = SimpleNamespace(
        object_pos_w=rows([1.0, 0.0, 0.0], [1.01, 0.0, 0.0]),
        object_quat_w=rows(quarter, quarter),
        object_lin_vel_w=rows([0.2, 0.0, 0.0], [0.0, 0.0, 0.0]),
        object_ang_vel_w=torch.zeros(2, 3),
        body_pos_w=rows(
            [[1.0, 0.0, 0.0], [1.0, 0.2, 0.1], [1.0, 0.2, -0.1]],
            [[0.91, 0.0, 0.0], [1.11, 0.0, 0.0], [1.11, 0.0, 0.0]],
        ),
        contact_forces={"hand": torch.zeros(2, 4, 3)},
    )
    return SimpleNamespace(
        num_envs=2,
        state=state,
        reference=reference,
        robot=SimpleNamespace(hands={"right": hand}),
        body_ids=lambda wanted: torch.tensor([names.index(name) for name in wanted]),
    )


def test_grasp_counts_links_above_the_threshold(env):
    forces = env.state.contact_forces["hand"]
    forces[0, 0, 0], forces[0, 1, 2], forces[0, 2, 1] = 0.05, 0.2, -3.0
    forces[1] = 1.0
    reward = grasp(env, sensor="hand", force_threshold=0.1, min_contacts=3)
    assert reward.tolist() == pytest.approx([2 / 3, 1.0])


def test_finger_direction_is_one_for_opposed_and_uses_the_contact_centre(env):
    reward = finger_direction(env, hand="right", use_contact_center=True)
    # Environment 0: centre (1, 0.1, 0); thumb at -y, the fingers' mean at +y of it. Environment 1 has no centre: its object lies between.
    assert reward.tolist() == pytest.approx([1.0, 1.0], abs=1e-4)
    beside = finger_direction(env, hand="right", use_contact_center=False)
    assert beside[0].item() == pytest.approx(0.0, abs=1e-4)  # the thumb is at the object's origin: no direction


def test_finger_direction_is_negative_on_one_side(env):
    env.state.body_pos_w[1, 0] = rows(1.2, 0.0, 0.0)
    assert finger_direction(env, hand="right")[1].item() == pytest.approx(-1.0, abs=1e-4)


def test_contact_center(env):
    distance = (0.1 + 2 * math.hypot(0.1, 0.1)) / 3
    assert contact_center(env, hand="right").tolist() == pytest.approx([math.exp(-10 * distance), 0.0], rel=1e-4)


def test_object_tracking_uses_distances_and_needs_contact(env):
    env.state.contact_forces["hand"][:, 0, 2] = rows(0.6, 0.6)
    assert object_tracking(env, sensor="hand").tolist() == [0.0, 0.0]  # 0.6 N in all: below 1 N
    env.state.contact_forces["hand"][:, 1, 0] = rows(0.6, 0.6)
    reward = object_tracking(env, sensor="hand", w_op=0.5, w_or=0.3, w_ov=0.2, w_oav=0.1)
    first = 0.5 + 0.3 + 0.2 * math.exp(-5 * 0.2) + 0.1
    second = 0.5 * math.exp(-1.0) + 0.3 + 0.2 + 0.1
    assert reward.tolist() == pytest.approx([first, second], rel=1e-3)


def test_finger_primitive_limit():
    term = SimpleNamespace(primitives=rows([0.4, -0.5], [0.9, -1.5]), primitive_limit=0.5)
    assert finger_primitive_limit(SimpleNamespace(action_term=term)).tolist() == pytest.approx([0.0, 1.4])


def test_meta_action_rate_waits_for_a_second_action():
    term = SimpleNamespace(action=rows([1.0, 2.0], [1.0, 2.0]), previous_action=rows([0.0, 0.0], [0.0, 1.0]))
    env = SimpleNamespace(action_term=term, episode_length=torch.tensor([1, 2]))
    assert meta_action_rate_l2(env).tolist() == [0.0, 2.0]
