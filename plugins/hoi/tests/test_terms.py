"""Terms of hand-object interaction against hand-made situations."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from grail_framework.envs.view import TrackingView
from grail_hoi.mdp.observations import finger_tips_force, grab_contact_flag, hand_object_transform_6d
from grail_hoi.mdp.terminations import grasp_failure_after_contact, hand_table_contact_termination


def test_finger_tips_force_is_the_force_on_the_object():
    force = torch.arange(24, dtype=torch.float32).view(2, 4, 3)
    env = SimpleNamespace(state=SimpleNamespace(contact_forces={"hand": force}))
    assert torch.equal(finger_tips_force(env, sensor="hand"), -force.view(2, 12))


def test_hand_object_transform():
    rotations = Rotation.random(4, random_state=0)
    pos = np.random.default_rng(1).normal(size=(4, 3))
    names = ("thumb", "index", "middle")
    quat = torch.tensor(rotations.as_quat(scalar_first=True), dtype=torch.float32)
    state = SimpleNamespace(
        body_pos_w=torch.tensor(pos[:3], dtype=torch.float32).unsqueeze(0),
        body_quat_w=quat[:3].unsqueeze(0),
        object_pos_w=torch.tensor(pos[3:], dtype=torch.float32),
        object_quat_w=quat[3:],
    )
    hand = SimpleNamespace(thumb_tip="thumb", index_tip="index", middle_tip="middle")
    env = SimpleNamespace(
        state=state,
        robot=SimpleNamespace(hands={"right": hand}),
        body_ids=lambda wanted: torch.tensor([names.index(name) for name in wanted]),
    )
    value = hand_object_transform_6d(env)[0].numpy()
    index_frame = rotations[1].inv()  # orientation of the index tip
    np.testing.assert_allclose(value[:3], index_frame.apply(pos[3] - pos[:3].mean(axis=0)), atol=1e-5)
    np.testing.assert_allclose(value[3:], (index_frame * rotations[3]).as_matrix()[:, :2].reshape(-1), atol=1e-5)


def test_the_legacy_flag_is_always_zero():
    assert torch.equal(grab_contact_flag(SimpleNamespace(num_envs=2, device="cpu")), torch.zeros(2, 1))


def test_pressing_the_table_ends_an_episode():
    """The links' forces add up by magnitude, in whatever direction they point."""
    force = torch.zeros(3, 2, 3)
    force[1, 0, 2], force[1, 1, 2] = 0.6, -0.6
    force[2, 0] = torch.tensor([0.6, 0.8, 0.0])
    env = SimpleNamespace(state=SimpleNamespace(contact_forces={"table": force}))
    env.view = TrackingView(env)
    assert hand_table_contact_termination(env, sensor="table", threshold=1.0).tolist() == [False, True, False]


@pytest.fixture
def env():
    """Three environments: labelled, labelled, without labels."""
    return SimpleNamespace(
        num_envs=3,
        device=torch.device("cpu"),
        has_contact_labels=torch.tensor([True, True, False]),
        reference=SimpleNamespace(contact_label=torch.zeros(3, 2)),
        state=SimpleNamespace(contact_forces={"hand": torch.zeros(3, 4, 3)}),
    )


def stepped(env):
    """What the environment does in every step."""
    env.view = TrackingView(env)
    return env


def test_grasp_failure_counts_from_the_label(env):
    term = grasp_failure_after_contact(env, sensor="hand", grace_steps=5)
    force = env.state.contact_forces["hand"]
    assert not term(stepped(env)).any()
    env.reference.contact_label[:, 1] = 1.0
    force[2, 0, 2] = 1.0  # no labels: its own first contact is the onset
    force[1, :3, 0] = 1.0  # grasps at once, and lets go afterwards
    fired = []
    for step in range(8):
        fired.append(term(stepped(env)).tolist())
        force[1] = 0.0
        if step == 0:
            env.reference.contact_label[:, 1] = 0.0  # the onset is remembered
    assert fired == [[False] * 3] * 6 + [[True, False, True]] * 2


def test_grasp_failure_forgets_at_reset_and_keeps_its_state(env):
    term = grasp_failure_after_contact(env, sensor="hand", grace_steps=2)
    env.reference.contact_label[:, 1] = 1.0
    for _ in range(3):
        term(stepped(env))
    other = grasp_failure_after_contact(env, sensor="hand", grace_steps=2)
    other.load_state_dict(term.state_dict())
    assert other(stepped(env)).tolist() == [True, True, False]
    term.reset(torch.tensor([True, False, False]))
    assert term(stepped(env)).tolist() == [False, True, False]
