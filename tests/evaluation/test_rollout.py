"""Scores of rollouts in which robot and object stay where they were put while the reference travels 1 cm a frame."""

import attrs
import pytest
import torch

from grail_framework.errors import EnvContractError
from grail_framework.evaluation.metrics import frame_metric, load_metrics, motion_metric
from grail_framework.evaluation.rollout import INVALID_STATE, evaluate, zero_action
from grail_framework.evaluation.score import merge

LENGTHS = {"long": 60, "short": 20}


def scores(evaluation):
    return {score.key: score for score in evaluation.motions}


def mean(values):
    values = list(values)
    return sum(values) / len(values)


@pytest.fixture
def whole(make_env, cfg, manager):
    env = make_env(cfg, LENGTHS)
    return evaluate(env, zero_action(env), load_metrics(manager.registry), to_the_end=True)


def test_survival_by_hand(whole):
    """The object may be 25 cm off: the step whose reference is frame 26 fails, so 26 were survived."""
    long, short = whole.motions
    assert (long.key, long.num_frames, long.survived, long.success) == ("long", 60, 26, False)
    assert long.cause == "object_pos_deviation"
    assert (short.key, short.num_frames, short.survived, short.success) == ("short", 20, 20, True)
    assert short.cause == "tracking_time_out"
    assert whole.tracked_fraction == pytest.approx((26 / 60 + 1.0) / 2)
    assert whole.success_rate == 0.5
    assert whole.causes == {"object_pos_deviation": 1, "tracking_time_out": 1}
    assert whole.failed_keys == ("long",)


def test_metrics_see_the_frame_after_each_survived_step(whole):
    """After step s the reference is frame s: frames 1 .. 26 of the long motion, 1 .. 19 of the short one."""
    long, short = whole.motions
    error = {"long": mean(range(1, 27)), "short": mean(range(1, 20))}  # [cm]
    for score in (long, short):
        assert score.values["obj_pos_error"] == pytest.approx(error[score.key] / 100, rel=1e-4)
        assert score.values["mpjpe_g"] == pytest.approx(error[score.key] * 10, rel=1e-4)
        for name in ("mpjpe_l", "mpjpe_pa"):
            assert score.values[name] == pytest.approx(0.0, abs=1e-2)
        assert score.values["vel_dist"] == pytest.approx(10.0, rel=1e-3)
        assert score.values["accel_dist"] == pytest.approx(0.0, abs=1e-2)
        assert score.values["obj_ori_error"] == pytest.approx(0.0, abs=1e-3)
    assert [long.frames[name] for name in ("mpjpe_g", "vel_dist", "accel_dist")] == [26, 25, 24]
    assert [short.frames[name] for name in ("mpjpe_g", "vel_dist", "accel_dist")] == [19, 18, 17]


def test_success_of_the_paper_is_about_the_whole_motion(whole):
    long, short = whole.motions
    assert long.values["obj_pos_error_motion"] == pytest.approx(mean(range(1, 60)) / 100, rel=1e-4)
    assert short.values["obj_pos_error_motion"] == pytest.approx(mean(range(1, 20)) / 100, rel=1e-4)
    assert (long.values["success_paper"], short.values["success_paper"]) == (0.0, 1.0)
    # The long motion failed with a mean of 13.5 cm behind it, which would have been a success.
    assert long.values["obj_pos_error"] < 0.2


def test_what_cannot_be_moved_has_no_error_and_no_success(make_env, cfg, manager):
    """Terrain stands where its reference is: 0 m and a success of the paper's kind would say nothing of the policy."""
    standing = attrs.evolve(cfg, scene=attrs.evolve(cfg.scene, object=attrs.evolve(cfg.scene.object, dynamic=False)))
    env = make_env(standing, LENGTHS)
    evaluation = evaluate(env, zero_action(env), load_metrics(manager.registry), to_the_end=True)
    for score in evaluation.motions:
        assert not [name for name in score.values if name.startswith(("obj_", "success_"))]
        assert "mpjpe_g" in score.values
    assert evaluation.mean("obj_pos_error") is None


def test_bodies_are_averaged_over_frames_and_objects_over_motions(whole):
    frames = [*range(1, 27), *range(1, 20)]
    assert whole.mean("mpjpe_g") == pytest.approx(10 * mean(frames), rel=1e-4)
    assert whole.mean("obj_pos_error") == pytest.approx((mean(range(1, 27)) + mean(range(1, 20))) / 200, rel=1e-4)
    assert whole.mean("mpjpe_g", successes_only=True) == pytest.approx(10 * mean(range(1, 20)), rel=1e-4)
    assert whole.mean("success_paper") == 0.5
    plain = whole.as_plain()
    assert plain["success"]["success_rate"] == 0.5
    assert plain["success"]["progress_rate"] == plain["tracked_fraction"]
    assert plain["all"]["mpjpe_g"] == whole.mean("mpjpe_g")
    assert plain["motions"]["long"]["cause"] == "object_pos_deviation"


def test_the_short_form_agrees_and_stops_when_all_have_ended(make_env, cfg, manager, whole):
    env = make_env(cfg, LENGTHS)
    steps = []
    step = env.step
    env.step = lambda action: steps.append(0) or step(action)
    short_form = evaluate(env, zero_action(env), load_metrics(manager.registry))
    assert len(steps) == 27
    for ours, theirs in zip(short_form.motions, whole.motions, strict=True):
        assert (ours.survived, ours.success, ours.cause) == (theirs.survived, theirs.success, theirs.cause)
        assert ours.values["mpjpe_g"] == pytest.approx(theirs.values["mpjpe_g"], rel=1e-6)
        assert "obj_pos_error_motion" not in ours.values
        assert "success_paper" not in ours.values


def test_mean_reward_is_over_survived_steps(make_env, cfg):
    from grail_framework.config import RewardTermCfg

    # At frame f the root is f cm off: exp(-(f / 10)^2), times the step of 0.02 s.
    term = RewardTermCfg(func="core:tracking_anchor_pos", weight=1.0, params={"std": 0.1})
    env = make_env(attrs.evolve(cfg, rewards={"anchor": term}), LENGTHS)
    result = evaluate(env, zero_action(env))
    frames = [*range(26), *range(20)]
    expected = mean(0.02 * torch.exp(torch.tensor(-((f / 10.0) ** 2))).item() for f in frames)
    assert result.mean_reward == pytest.approx(expected, rel=1e-4)


def test_a_state_that_is_not_finite_is_a_failure_even_where_failures_go_on(make_env, cfg, manager):
    env = make_env(cfg, LENGTHS)
    steps, simulate = [], env.engine.step

    def break_down(targets):
        simulate(targets)
        steps.append(0)
        if len(steps) == 5:
            env.state.joint_vel[1, 0] = float("nan")

    env.engine.step = break_down
    result = scores(evaluate(env, zero_action(env), load_metrics(manager.registry), to_the_end=True))
    short = result["short"]
    assert (short.survived, short.success, short.cause) == (4, False, INVALID_STATE)
    assert short.frames["obj_pos_error_motion"] == 4
    assert short.values["obj_pos_error_motion"] < 0.2
    assert short.values["success_paper"] == 0.0
    assert result["long"].survived == 26


def test_motions_end_without_a_term_that_ends_them(make_env, cfg):
    env = make_env(attrs.evolve(cfg, terminations={}), LENGTHS)
    result = evaluate(env, zero_action(env))
    assert [(score.survived, score.success, score.cause) for score in result.motions] == [
        (60, True, "none"),
        (20, True, "none"),
    ]


def test_a_rotated_robot_counts_for_local_but_not_for_aligned_positions(make_env, cfg, manager):
    env = make_env(attrs.evolve(cfg, terminations={}), LENGTHS)

    def turn(targets):
        env.state.root_quat_w[:] = torch.tensor([0.5**0.5, 0.0, 0.0, 0.5**0.5])  # a quarter about z
        env.engine.refresh()

    env.engine.step = turn
    result = evaluate(env, zero_action(env), load_metrics(manager.registry))
    offsets = env.reference.body_pos_w[0] - env.reference.body_pos_w[0, :1]
    away = 1000 * (2**0.5) * offsets[:, :2].norm(dim=-1).mean()  # a quarter turn moves a point by sqrt(2) radii
    assert result.mean("mpjpe_l") == pytest.approx(away.item(), rel=1e-3)
    assert result.mean("mpjpe_pa") == pytest.approx(0.0, abs=1e-2)


def test_motions_that_no_environment_follows_are_not_counted(make_env, cfg):
    env = make_env(attrs.evolve(cfg, num_envs=4), {f"clip_{i}": 20 for i in range(6)})
    assert list(scores(evaluate(env, zero_action(env)))) == ["clip_0", "clip_1", "clip_2", "clip_3"]


def test_training_goes_on_as_before(make_env, cfg):
    env = make_env(cfg, LENGTHS, seed=4)
    env.reset()
    saved = env.state_dict()
    action = torch.zeros(env.num_envs, env.num_actions)
    expected = [env.step(action)[0]["policy"] for _ in range(3)]
    env.load_state_dict(saved)
    evaluate(env, zero_action(env), to_the_end=True)
    assert not env.evaluating
    assert env.auto_reset
    env.load_state_dict(saved)
    assert all(torch.equal(env.step(action)[0]["policy"], want) for want in expected)


def test_merged_batches_are_one_evaluation(make_env, cfg, manager, whole):
    parts = []
    for key, frames in LENGTHS.items():
        env = make_env(attrs.evolve(cfg, num_envs=1), {key: frames})
        parts.append(evaluate(env, zero_action(env), load_metrics(manager.registry), to_the_end=True))
    merged = merge(parts)
    assert merged.totals() == pytest.approx(whole.totals(), rel=1e-6, abs=1e-6)
    assert merged.tracked_fraction == whole.tracked_fraction


def test_metrics_of_ones_own(make_env, cfg):
    @frame_metric(unit="m")
    def height(env):
        return env.state.root_pos_w[:, 2]

    @frame_metric(unit="-", applies=lambda env: False)
    def never(env):
        raise AssertionError

    @motion_metric(unit="-")
    def upright(score):
        return float(score.values["height"] > 0.5) if score.key == "long" else None

    env = make_env(cfg, LENGTHS)
    result = evaluate(env, zero_action(env), {"height": height, "never": never, "upright": upright})
    assert result.mean("height") == pytest.approx(env.robot.spawn_height, rel=1e-3)
    assert result.mean("never") is None
    assert [score.values.get("upright") for score in result.motions] == [1.0, None]
    assert result.mean("upright") == 1.0


def test_a_metric_of_the_wrong_shape_is_named(make_env, cfg):
    @frame_metric(unit="m")
    def positions(env):
        return env.state.root_pos_w

    env = make_env(cfg, LENGTHS)
    with pytest.raises(EnvContractError, match=r"metric 'positions'.*shape \(4, 3\), expected \(4,\)"):
        evaluate(env, zero_action(env), {"positions": positions})
    assert env.auto_reset


def test_reserved_names_are_refused(make_env, cfg):
    env = make_env(cfg, LENGTHS)
    with pytest.raises(EnvContractError, match="metric 'success': the name is taken"):
        evaluate(env, zero_action(env), {"success": motion_metric(unit="-")(lambda score: 1.0)})
