"""Terminations that the tracking tests do not cover, by hand."""

import numpy as np
import pytest
import torch

from grail_framework.envs.view import TrackingView
from grail_framework.mdp import terminations
from grail_framework.testing import assert_term_contract


def test_object_deviations(env):
    offset = torch.tensor([[0.06, 0.0, 0.08], [0.0, 0.3, 0.0], [0.0, 0.0, -0.31]])
    env.state.object_pos_w.copy_(env.reference.object_pos_w + offset)
    env.view = TrackingView(env)
    assert terminations.object_pos_deviation(env, threshold=0.0999).tolist() == [True, True, True]
    assert terminations.object_pos_deviation(env, threshold=0.1001).tolist() == [False, True, True]
    assert terminations.object_z_pos_deviation(env, threshold=0.3).tolist() == [False, False, True]


def test_feet_count_in_all_three_directions(env, rot):
    names = env.robot.tracked_bodies
    feet = [names.index("left_ankle_roll_link"), names.index("right_ankle_roll_link")]
    ids = env.tracked_ids[feet]
    env.state.body_pos_w[:, ids] = env.view.relative_body_pos_w[:, feet]
    env.view = TrackingView(env)
    assert not terminations.foot_pos_xyz(env, threshold=1e-4).any()
    env.state.body_pos_w[1, ids[1]] += torch.tensor([0.12, 0.12, 0.12])  # 0.208 m, no direction above 0.2
    env.view = TrackingView(env)
    assert terminations.foot_pos_xyz(env, threshold=0.2).tolist() == [False, True, False]
    assert terminations.foot_pos_xyz(env, threshold=0.21).tolist() == [False] * 3


def test_time_out_on_the_last_frame(env):
    env.command.frame[:] = torch.tensor([78, 79, 90])
    assert terminations.tracking_time_out(env).tolist() == [False, True, True]


class Heights:
    """A reference root that stands at the given heights."""

    def __init__(self, env):
        self.env = env

    def __call__(self, *heights):
        self.env.reference.root_pos[:, 2] = torch.tensor(heights)
        return self.env


def test_the_adaptive_threshold_follows_a_running_average(env):
    rule = terminations.AdaptiveThreshold(env, threshold=0.15, down_threshold=0.75, root_height_threshold=0.5)
    at = Heights(env)
    average, heights = np.array([0.8, 0.4, 0.6]), [(0.8, 0.4, 0.6), (0.2, 0.9, 0.0), (0.2, 0.9, 0.0), (0.0, 2.0, 0.0)]
    for i, height in enumerate(heights):
        if i:
            average = 0.9 * average + 0.1 * np.array(height)
        expected = np.where(average < 0.5, 0.75, 0.15)
        np.testing.assert_allclose(rule.current(at(*height)), expected)
        np.testing.assert_allclose(rule.state_dict()["height"], average, rtol=1e-5)
    rule.reset(torch.tensor([False, True, False]))
    np.testing.assert_allclose(rule.current(at(0.0, 0.4, 0.0))[1], 0.75)  # starts at the first height, not at an average
    other = terminations.AdaptiveThreshold(env, threshold=0.15)
    other.load_state_dict(rule.state_dict())
    assert torch.equal(other.current(env), rule.current(env))


@pytest.mark.parametrize("name", ["anchor_pos", "ee_body_pos"])
def test_adaptive_terms_are_the_plain_ones_with_another_threshold(env, name):
    plain, adaptive = getattr(terminations, name), getattr(terminations, f"{name}_adaptive")
    for height, threshold in ((0.8, 0.15), (0.3, 0.75)):
        term = adaptive(env, threshold=0.15)
        Heights(env)(height, height, height)
        env.view = TrackingView(env)
        assert torch.equal(term(env), plain(env, threshold=threshold))


def test_all_terminations_keep_the_contract(env, registry):
    for name in ("anchor_pos", "anchor_ori", "ee_body_pos", "object_pos_deviation", "object_z_pos_deviation", "foot_pos_xyz"):
        assert_term_contract(registry.find("termination", f"core:{name}").load(), env, kind="termination", threshold=0.2)
    for name in ("anchor_pos_adaptive", "ee_body_pos_adaptive"):
        assert_term_contract(registry.find("termination", f"core:{name}").load(), env, kind="termination", threshold=0.2)
    assert_term_contract(terminations.tracking_time_out, env, kind="termination")
