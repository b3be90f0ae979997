"""What "current frame" means where: a motion whose frame can be read off every quantity is stepped with an engine without physics.

In frame f the reference root is at x = 0.01 f and its first joint at its default + 0.002 f. The robot's root and the object stay where
an episode put them, its joints are at their targets after a step.
"""

import attrs
import pytest
import torch

from grail_framework.config import RewardTermCfg, TerminationTermCfg
from grail_framework.testing.fakes import standing_clip

STEP = 0.01


@pytest.fixture
def env(make_env, pnp_cfg, robot):
    clip = standing_clip(robot, frames=50, with_object=True)
    joints = clip.joint_pos.copy()
    joints[:, 0] += 0.002 * torch.arange(50).numpy()
    cfg = attrs.evolve(
        pnp_cfg,
        num_envs=6,
        rewards={"anchor": RewardTermCfg(func="core:tracking_anchor_pos", weight=50.0, params={"std": 0.1})},
        terminations={
            "object": TerminationTermCfg(func="core:object_pos_deviation", params={"threshold": 0.055}),
            "end": TerminationTermCfg(func="core:tracking_time_out", time_out=True),
        },
    )
    return make_env(cfg, [attrs.evolve(clip, joint_pos=joints)], seed=5)


def observed_frame(env, observations):
    """The current frame as the observation shows it: the reference root ahead of the robot's."""
    layout = env.groups["policy"].layout
    parts = dict(zip(layout, observations["policy"].split(list(layout.values()), dim=1), strict=True))
    ahead = parts["motion_anchor_pos_b"][:, 0] + env.state.root_pos_w[:, 0]
    window = parts["command_multi_future"].view(-1, 2, 10, 29)[:, 0, 0, 0]
    torch.testing.assert_close(parts["command"][:, 0], window)  # the window begins with the current frame
    return (ahead / STEP).round().long()


def rewarded_distance(reward):
    """Distance of the reference that a reward was computed on: reward = exp(-(d / 0.1)^2)."""
    return (-reward.log()).clamp_min(0.0).sqrt() * 0.1


def zero(env):
    return torch.zeros(env.num_envs, env.num_actions)


def test_the_frame_observed_is_the_one_acted_on_rewarded_and_terminated_on(env):
    frame = observed_frame(env, env.reset())
    start = env.command.start.clone()
    assert torch.equal(frame, start)  # a full reset shows the start frame itself
    assert len(start.unique()) > 1
    default = env.robot.joints[0].default_pos
    for age in range(6):
        observations, reward, terminated, truncated, _ = env.step(zero(env))
        # Target, reward and terminations: the frame that was observed before the step.
        torch.testing.assert_close(env.state.joint_pos[:, 0], default + 0.002 * frame.float())
        torch.testing.assert_close(rewarded_distance(reward), STEP * (frame - start).float(), atol=2e-4, rtol=0)
        assert not (terminated | truncated).any()
        assert torch.equal(frame - start, torch.full((6,), age))
        frame = observed_frame(env, observations)  # the time has advanced before the observation
        assert torch.equal(frame, start + age + 1)


def test_a_reset_inside_a_step_stands_at_the_start_and_shows_the_frame_after_it(env):
    env.reset()
    for _ in range(6):
        env.step(zero(env))
    observations, _, terminated, *_ = env.step(zero(env))  # frame start + 6: 0.06 m are above 0.055 m
    assert terminated.all()
    start = env.command.start
    torch.testing.assert_close(env.state.root_pos_w[:, 0], STEP * start.float())
    torch.testing.assert_close(env.state.joint_pos[:, 0], env.robot.joints[0].default_pos + 0.002 * start.float())
    assert torch.equal(observed_frame(env, observations), start + 1)
    _, reward, *_ = env.step(zero(env))
    torch.testing.assert_close(rewarded_distance(reward), torch.full((6,), STEP), atol=2e-4, rtol=0)


def test_one_environment_is_reset_alone(env):
    env.reset()
    env.step(zero(env))
    before = env.command.start.clone()
    env.state.object_pos_w[2] += 1.0
    observations, _, terminated, *_ = env.step(zero(env))
    assert terminated.tolist() == [False, False, True, False, False, False]
    others = torch.arange(6) != 2
    assert torch.equal(env.command.start[others], before[others])
    expected = torch.where(others, before + 2, env.command.start + 1)
    assert torch.equal(observed_frame(env, observations), expected)
    assert env.episode_length.tolist() == [2, 2, 0, 2, 2, 2]


def test_the_last_frame_is_a_time_out(make_env, pnp_cfg, env):
    """Index f ends an episode where f + 1 is the length: the last frame is rewarded, then the motion is over."""
    env.reset()
    env.command.frame.fill_(48)
    env.command.gather()
    env.state.object_pos_w[:, 0] = 0.4 + STEP * 48
    _, _, terminated, truncated, _ = env.step(zero(env))
    assert not (terminated | truncated).any()
    env.state.object_pos_w[:, 0] = 0.4 + STEP * 49
    _, _, terminated, truncated, _ = env.step(zero(env))
    assert truncated.all()
    assert not terminated.any()


def test_a_failure_on_the_last_frame_is_a_failure(env):
    env.reset()
    env.command.frame.fill_(49)
    env.command.gather()
    env.state.object_pos_w[:, 0] += 5.0
    _, _, terminated, truncated, _ = env.step(zero(env))
    assert terminated.all()
    assert not truncated.any()
