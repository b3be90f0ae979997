"""Reward formulas against values computed by hand."""

import math
from types import SimpleNamespace

import pytest
import torch

from grail_framework.envs.view import TrackingView
from grail_framework.errors import ConfigError
from grail_rewards.contact import approach_velocity_penalty, hand_table_contact_penalty
from grail_rewards.grasp import contact_center, finger_direction, grasp
from grail_rewards.object_tracking import object_tracking
from grail_rewards.points import tracking_vr_5point_local
from grail_rewards.regularisers import (
    action_rate_l2,
    anti_shake_ang_vel,
    feet_acc,
    finger_primitive_limit,
    full_latent_rate_l2,
    joint_acc_l2,
    joint_limit,
    meta_action_rate_l2,
    upright_penalty,
)


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
    env = SimpleNamespace(
        num_envs=2,
        device=torch.device("cpu"),
        state=state,
        reference=reference,
        has_contact_labels=torch.tensor([True, False]),
        robot=SimpleNamespace(hands={"right": hand}),
        body_ids=lambda wanted: torch.tensor([names.index(name) for name in wanted]),
    )
    env.view = TrackingView(env)
    return env


def changed(env):
    """What the environment does when its state has changed."""
    env.view = TrackingView(env)
    return env


def test_grasp_counts_links_above_the_threshold(env):
    forces = env.state.contact_forces["hand"]
    forces[0, 0, 0], forces[0, 1, 2], forces[0, 2, 1] = 0.05, 0.2, -3.0
    forces[1] = 1.0
    reward = grasp(env, sensor="hand", force_threshold=0.1, min_contacts=3)
    assert reward.tolist() == pytest.approx([2 / 3, 1.0])


def test_finger_direction_is_one_for_opposed_and_uses_the_contact_centre(env):
    reward = finger_direction(env, hand="right", use_contact_center=True)
    # Environment 0: centre (1, 0.1, 0); thumb at -y, the fingers' mean at +y of it. Environment 1 has no labels: its object lies between.
    assert reward.tolist() == pytest.approx([1.0, 1.0], abs=1e-4)
    beside = finger_direction(env, hand="right", use_contact_center=False)
    assert beside[0].item() == pytest.approx(0.0, abs=1e-4)  # the thumb is at the object's origin: no direction


def test_finger_direction_is_negative_on_one_side(env):
    env.state.body_pos_w[1, 0] = rows(1.2, 0.0, 0.0)
    assert finger_direction(env, hand="right")[1].item() == pytest.approx(-1.0, abs=1e-4)


def test_finger_direction_refers_to_the_reference_object_while_a_labelled_motion_has_no_contact(env):
    env.reference.contact_center[0] = 0.0
    env.state.object_pos_w[0] = rows(5.0, 5.0, 5.0)
    # Seen from the reference object at (1, 0, 0) the thumb is at the origin, so that it has no direction.
    assert finger_direction(env, hand="right")[0].item() == pytest.approx(0.0, abs=1e-4)
    env.state.body_pos_w[0, 0] = rows(1.0, -0.1, 0.0)
    assert finger_direction(changed(env), hand="right")[0].item() == pytest.approx(1.0, abs=1e-4)


def test_finger_direction_takes_tips_that_are_off_their_links(env):
    """Turned a quarter about z, a link's x is the world's y."""
    env.state.object_pos_w[1] = rows(1.0, 0.0, 0.0)
    quarter = [math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]
    env.state.body_quat_w = rows([quarter] * 3, [quarter] * 3)
    env.state.body_pos_w[1] = rows([1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0])
    one_sided = {"thumb_offset": (0.02, 0.0, 0.0), "index_offset": (0.03, 0.0, 0.0), "middle_offset": (0.05, 0.0, 0.0)}
    assert finger_direction(env, hand="right", **one_sided)[1].item() == pytest.approx(-1.0, abs=1e-3)
    # Thumb towards +y; index towards +x, the middle finger left where its link is: a right angle.
    corner = {"thumb_offset": (0.02, 0.0, 0.0), "index_offset": (0.0, -0.03, 0.0)}
    assert finger_direction(changed(env), hand="right", **corner)[1].item() == pytest.approx(0.0, abs=1e-3)
    opposed = {"thumb_offset": (0.02, 0.0, 0.0), "index_offset": (-0.03, 0.0, 0.0)}
    assert finger_direction(changed(env), hand="right", **opposed)[1].item() == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(ConfigError, match="three numbers"):
        finger_direction(changed(env), hand="right", thumb_offset=(0.1, 0.2))


def test_contact_center(env):
    distance = (0.1 + 2 * math.hypot(0.1, 0.1)) / 3
    assert contact_center(env, hand="right").tolist() == pytest.approx([math.exp(-10 * distance), 0.0], rel=1e-4)


def test_object_tracking_uses_distances_and_needs_contact(env):
    env.state.contact_forces["hand"][:, 0, 2] = rows(0.6, 0.6)
    assert object_tracking(env, sensor="hand").tolist() == [0.0, 0.0]  # 0.6 N in all: below 1 N
    env.state.contact_forces["hand"][:, 1, 0] = rows(0.6, 0.6)
    reward = object_tracking(changed(env), sensor="hand", w_op=0.5, w_or=0.3, w_ov=0.2, w_oav=0.1)
    first = 0.5 + 0.3 + 0.2 * math.exp(-5 * 0.2) + 0.1
    second = 0.5 * math.exp(-1.0) + 0.3 + 0.2 + 0.1
    assert reward.tolist() == pytest.approx([first, second], rel=1e-3)


def test_finger_primitive_limit():
    term = SimpleNamespace(primitives=rows([0.4, -0.5], [0.9, -1.5]), primitive_limit=0.5)
    assert finger_primitive_limit(SimpleNamespace(action_term=term)).tolist() == pytest.approx([0.0, 1.4])


def test_meta_action_rate_waits_for_a_second_action():
    term = SimpleNamespace(
        num_actions=3,
        action=rows([1.0, 2.0, 5.0], [1.0, 2.0, 5.0]),
        previous_action=rows([0.0, 0.0, 0.0], [0.0, 1.0, 3.0]),
        primitives=torch.zeros(2, 1),
    )
    env = SimpleNamespace(action_term=term, episode_length=torch.tensor([1, 2]))
    assert meta_action_rate_l2(env).tolist() == [0.0, 6.0]
    assert meta_action_rate_l2(env, token_only=True).tolist() == [0.0, 2.0]


def test_change_of_tokens_waits_for_a_second_action():
    term = SimpleNamespace(latent=rows([0.5, -0.25], [0.5, -0.25]), previous_latent=rows([0.0, 0.0], [0.25, 0.25]))
    env = SimpleNamespace(action_term=term, episode_length=torch.tensor([1, 2]))
    assert full_latent_rate_l2(env)(env).tolist() == [0.0, 0.3125]


def test_change_of_tokens_needs_an_action_that_has_some():
    cfg = SimpleNamespace(action=SimpleNamespace(func="core:joint_residual"))
    with pytest.raises(
        ConfigError, match=r"the action is core:joint_residual: remove the term with ~rewards\.full_latent_rate_l2"
    ):
        full_latent_rate_l2(SimpleNamespace(action_term=SimpleNamespace(), cfg=cfg))


def test_action_rate_counts_from_the_first_action():
    term = SimpleNamespace(action=rows([1.0, 2.0]), previous_action=rows([0.0, 0.0]))
    assert action_rate_l2(SimpleNamespace(action_term=term, episode_length=torch.tensor([1]))).tolist() == [5.0]


def test_joint_limit_adds_up_the_excess_on_both_sides():
    env = SimpleNamespace(
        soft_joint_limits=(rows(-1.0, -2.0, 0.0), rows(1.0, 2.0, 0.5)),
        state=SimpleNamespace(joint_pos=rows([-1.25, 2.5, 0.25], [1.0, -2.0, 0.5])),
    )
    assert joint_limit(env).tolist() == pytest.approx([0.75, 0.0])


def joints_env(names, velocity):
    return SimpleNamespace(
        num_envs=len(velocity),
        device=torch.device("cpu"),
        step_dt=0.02,
        robot=SimpleNamespace(joint_names=names),
        joint_ids=lambda wanted: torch.tensor([names.index(name) for name in wanted]),
        state=SimpleNamespace(joint_vel=rows(*velocity)),
    )


def test_joint_acceleration_is_the_change_over_a_step_and_starts_anew():
    env = joints_env(("left_ankle_pitch_joint", "knee", "right_ankle_roll_joint"), ([1.0, 9.0, 0.0], [0.0, 9.0, 0.0]))
    term = feet_acc(env)
    assert term(env).tolist() == [0.0, 0.0]
    env.state.joint_vel.copy_(rows([1.1, -9.0, 0.2], [0.0, -9.0, 0.0]))
    # Changes of 0.1 and 0.2 rad/s in 20 ms are 5 and 10 rad/s^2; the knee is no ankle.
    assert term(env).tolist() == pytest.approx([125.0, 0.0], rel=1e-4)
    other = joint_acc_l2(env, joints=("left_ankle_pitch_joint", "right_ankle_roll_joint"))
    other.load_state_dict(term.state_dict())
    other.reset(torch.tensor([True, False]))
    env.state.joint_vel.zero_()
    assert other(env).tolist() == [0.0, 0.0]
    assert term(env)[0].item() == pytest.approx((1.1**2 + 0.2**2) / 0.02**2, rel=1e-4)


def test_upright_is_the_squared_sine_of_the_tilt(env):
    half = math.radians(30) / 2
    upright, tilted = [1.0, 0.0, 0.0, 0.0], [math.cos(half), 0.0, math.sin(half), 0.0]
    env.state.body_quat_w = rows([upright, tilted, upright], [tilted, tilted, upright])
    penalty = upright_penalty(env, bodies=("thumb", "index"))
    assert penalty.tolist() == pytest.approx([0.25, 0.5], abs=1e-6)


def test_anti_shake_counts_the_excess_alone(env):
    env.state.body_ang_vel_w = rows([[3.5, 0.0, 0.0], [0.0, 1.0, 0.0], [0, 0, 0]], [[0, 0, 1.4], [0.0, 2.4, 3.2], [0, 0, 0]])
    penalty = anti_shake_ang_vel(env, bodies=("thumb", "index"), threshold=1.5)
    assert penalty.tolist() == pytest.approx([2.0**2 / 2, 2.5**2 / 2])


def test_hand_table_contact_is_bounded(env):
    env.state.contact_forces["hand"][:, 0, 2] = rows(0.25, 30.0)
    env.state.contact_forces["hand"][:, 1, 0] = rows(0.5, 0.0)
    assert hand_table_contact_penalty(env, sensor="hand").tolist() == pytest.approx([0.75, 1.0])


def test_approach_velocity(env):
    env.robot.hands["right"].palm = "index"
    env.state.body_lin_vel_w = torch.zeros(2, 3, 3)
    env.state.body_lin_vel_w[:, 1] = rows([0.3, 0.4, 0.0], [0.0, 2.0, 0.0])
    near, far = math.hypot(0.2, 0.1), 0.1
    expected = [0.25 * math.exp(-((near / 0.25) ** 2)), 4.0 * math.exp(-((far / 0.25) ** 2))]
    assert approach_velocity_penalty(env).tolist() == pytest.approx(expected, rel=1e-4)
    env.state.contact_forces["hand"][1, :3, 0] = 1.0
    gated = approach_velocity_penalty(changed(env), disable_after_contact=True, sensor="hand")
    assert gated.tolist() == pytest.approx([expected[0], 0.0], rel=1e-4)
    with pytest.raises(ConfigError, match=r"disable_after_contact needs params\.sensor"):
        approach_velocity_penalty(env, disable_after_contact=True)


def test_five_points_are_seen_from_each_ones_own_root():
    """Two points, one 0.5 m above its link; the reference is turned and moved as a whole, and one link is off by 0.1 m."""
    names = ("root", "torso", "hand")
    identity = [1.0, 0.0, 0.0, 0.0]
    quarter = [math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]
    robot_pos = rows([[0.0, 0.0, 1.0], [0.0, 0.0, 1.5], [0.3, 0.1, 1.0]])
    # Turned a quarter about z and moved by (5, 6, 0): (x, y, z) becomes (5 - y, 6 + x, z); the hand is 0.1 m higher besides.
    ref_pos = rows([[5.0, 6.0, 1.0], [5.0, 6.0, 1.5], [4.9, 6.3, 1.1]])
    state = SimpleNamespace(body_pos_w=robot_pos, body_quat_w=rows([identity] * 3))
    reference = SimpleNamespace(body_pos_w=ref_pos, body_quat_w=rows([quarter] * 3))
    env = SimpleNamespace(
        device=torch.device("cpu"),
        state=state,
        reference=reference,
        anchor_id=0,
        tracked_ids=torch.arange(3),
        tracked_body_ids=lambda wanted: torch.tensor([names.index(name) for name in wanted]),
    )
    env.view = TrackingView(env)
    points = {"torso": (0.0, 0.0, 0.5), "hand": (0.0, 0.0, 0.0)}
    term = tracking_vr_5point_local(env, std=0.1, points=points)
    assert term(env).item() == pytest.approx(math.exp(-(0.01 / 2) / 0.01), rel=1e-4)
    half = math.radians(90) / 2
    reference.body_quat_w[0, 1] = rows(math.cos(half), math.sin(half), 0.0, 0.0)
    env.view = TrackingView(env)
    # The torso now lies on its side in the world: its point is 0.5 m beside instead of above it.
    expected = math.exp(-((0.5 + 0.01) / 2) / 0.01)
    assert term(env).item() == pytest.approx(expected, rel=1e-3)
