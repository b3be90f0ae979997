"""What is logged of an iteration: tracking errors in plain units."""

import attrs
import pytest
import torch


def test_tracking_errors_by_hand(make_env, pnp_cfg):
    """The reference drifts by 1 cm a frame along x, root and object alike; robot and object stay at frame 0."""
    cfg = attrs.evolve(
        pnp_cfg,
        command=attrs.evolve(pnp_cfg.command, start_from_first_frame=True, sample_before_contact=False),
        terminations={},
    )
    env = make_env(cfg)
    env.reset()
    action = torch.zeros(env.num_envs, env.num_actions)
    action[:, 0] = 0.1  # one joint of 29 is off by 0.1 times its scale of 0.35066
    for _ in range(5):
        env.step(action)
    metrics = env.drain_metrics()
    errors = {name: value.item() for name, value in metrics.items() if name.startswith("tracking/")}
    moved = sum(0.01 * frame for frame in range(5)) / 5
    assert errors["tracking/error_anchor_pos"] == pytest.approx(moved, rel=1e-3)
    assert errors["tracking/error_object_pos"] == pytest.approx(moved, rel=1e-3)
    assert errors["tracking/error_anchor_ori"] == pytest.approx(0.0, abs=1e-3)
    assert errors["tracking/error_object_ori"] == pytest.approx(0.0, abs=1e-3)
    assert errors["tracking/error_joint_pos"] == pytest.approx(0.035066 / 29, rel=1e-3)
    # The re-anchored reference stands over the robot: only the leg below the bent hip is off.
    hip = env.robot.tracked_bodies.index("left_hip_roll_link")
    assert 0.0 < errors["tracking/error_body_pos"] < 0.03
    assert errors["tracking/error_body_ori"] == pytest.approx(0.035066 * 3 / 14, rel=1e-2)  # hip roll, knee, ankle roll links
    assert hip == 1
    assert all(value == 0.0 for name, value in env.drain_metrics().items() if name.startswith("tracking/"))


def test_an_invalid_environment_spoils_no_metric(make_env, pnp_cfg):
    env = make_env(pnp_cfg)
    env.reset()
    env.state.object_pos_w[0] = float("nan")
    env.step(torch.zeros(env.num_envs, env.num_actions))
    assert all(value.isfinite() for value in env.drain_metrics().values())


def test_contacts_that_an_engine_dropped_are_counted(make_env, pnp_cfg):
    env = make_env(pnp_cfg)
    assert "env/contact_overflows" not in env.drain_metrics()
    env.engine.drain_overflows = lambda: torch.tensor(3)
    assert env.drain_metrics()["env/contact_overflows"].item() == 3.0
