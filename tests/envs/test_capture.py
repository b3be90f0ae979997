"""The captured step against its eager twin: on a CPU with a tape in the place of CUDA graphs, on a GPU with the real ones."""

from contextlib import contextmanager

import attrs
import pytest
import torch

from grail_framework.config import (
    RewardTermCfg,
)
from grail_framework.envs import memory
from grail_framework.envs.capture import EAGER_STEPS
from grail_framework.envs.timing import Stopwatch
from grail_framework.errors import ConfigError, EnvContractError
from grail_framework.evaluation.rollout import evaluate, zero_action
from grail_framework.testing.bases import with_base
from grail_framework.testing.fakes import KinematicEngine
from grail_framework.testing.tape import TapeGraph

WARM = EAGER_STEPS + 1
N = 8


@contextmanager
def no_waits(device):
    """Fail where the host waits for a GPU."""
    if device == "cpu":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    ("task", "derive"),
    [
        ("core:motion_tracking", "ahead"),
        ("hoi:pnp_table", "ahead"),
        ("hoi:pnp_table", "on_demand"),
        ("hoi:pnp_ground", "ahead"),
    ],
)
def test_every_task_gives_the_same_captured_and_eager(pair, registry, base, task, derive, device, step_both):
    cfg = with_base(registry.find("task", task).load()(), base)
    envs = pair(attrs.evolve(cfg, num_envs=N), derive=derive, frames=40)
    for env in envs:
        env.reset()
    assert step_both(envs, 30 if device == "cpu" else 200) > 0
    assert envs[0].graphs.captured == ("before", "after")
    ours, theirs = (env.drain_metrics() for env in envs)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_events_evaluation_and_a_restart_in_between(pair, rich_cfg, device, actions, step_both, material_engine):
    envs = pair(rich_cfg, engine=material_engine, frames=37)
    for env in envs:
        env.reset()
    assert step_both(envs, 31) > 0
    last = [env.step(actions(env, 1)[0])[0] for env in envs]
    saved = [env.state_dict() for env in envs]
    before = [{name: value.clone() for name, value in one.items()} for one in last]
    scores = [evaluate(env, zero_action(env)) for env in envs]
    assert scores[0] == scores[1]
    scores = [evaluate(env, zero_action(env), to_the_end=True) for env in envs]
    assert scores[0] == scores[1]
    for env, state in zip(envs, saved, strict=True):
        env.load_state_dict(state)
    # What the last step returned before the evaluation is what the policy acts on next.
    assert all(torch.equal(value, before[0][name]) for name, value in last[0].items())
    captures = {key: part.graph for key, part in envs[0].graphs._parts.items()}
    assert step_both(envs, 32 if device == "cpu" else 200, seed=1) > 0
    assert envs[0].graphs.captured == ("before", "after")
    assert all(part.graph is captures[key] for key, part in envs[0].graphs._parts.items() if captures.get(key))
    assert len(captures) == 6  # two parts of three modes
    for quantity, values in envs[0].engine.given.items():
        assert torch.equal(values, envs[1].engine.given[quantity])
    assert envs[0].curriculums.iteration == envs[1].curriculums.iteration == (8 if device == "cpu" else 29)
    assert float(envs[0].rewards.weights[envs[0].rewards.names.index("tracking_anchor_ori")]) == 5.0


def test_a_state_goes_on_in_another_environment(build, rich_cfg, actions, step_both, material_engine):
    env = build(rich_cfg, engine=material_engine)
    env.reset()
    for action in actions(env, 10):
        env.step(action)
    saved = env.state_dict()
    other = build(rich_cfg, engine=material_engine, seed=9)
    other.reset()
    for action in actions(env, 5, seed=3):
        other.step(action)
    other.load_state_dict(saved)
    step_both((env, other), 25, seed=2)


def test_a_partial_reset_and_no_automatic_one(pair, rich_cfg, actions, assert_same, material_engine):
    envs = pair(rich_cfg, engine=material_engine)
    for env in envs:
        env.auto_reset = False
        env.reset()
    for round_ in range(5):
        for action in actions(envs[0], 5, seed=round_):
            ours, theirs = (env.step(action) for env in envs)
            assert_same(ours, theirs)
        done = ours[2] | ours[3]
        ours, theirs = (env.reset(done) for env in envs)
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_nothing_moves_and_nothing_waits(build, rich_cfg, device, actions, material_engine):
    env = build(rich_cfg, engine=material_engine)
    env.reset()
    for action in actions(env, WARM):
        results = env.step(action)
    places = memory.fingerprint(env)
    addresses = [value.data_ptr() for value in (*results[0].values(), *results[1:4])]
    ended = torch.zeros((), device=env.device)
    later = actions(env, 60, seed=1)
    with no_waits(device):
        for action in later:
            again = env.step(action)
            ended += (again[2] | again[3]).sum()
        env.drain_metrics()
    assert ended > 0
    assert [value.data_ptr() for value in (*again[0].values(), *again[1:4])] == addresses
    env.load_state_dict(env.state_dict())
    env.reset(env.episode_length > 3)
    env.begin_evaluation()
    env.reset()
    env.step(action)
    env.end_evaluation()
    assert memory.fingerprint(env) == places
    assert env.graphs.captured == ("before", "after")


def test_the_view_after_a_step_is_of_that_step(pair, pnp_cfg, actions):
    envs = pair(attrs.evolve(pnp_cfg, num_envs=N))
    for env in envs:
        env.reset()
    for action in actions(envs[0], 20):
        for env in envs:
            env.step(action)
        assert torch.equal(envs[0].view.body_pos_w, envs[1].view.body_pos_w)
        assert torch.equal(envs[0].view.ref_anchor_pos_w, envs[1].view.ref_anchor_pos_w)
        assert torch.equal(envs[0].terminations.last, envs[1].terminations.last)


def test_invalid_states_are_found_in_a_replay(pair, pnp_cfg, actions):
    envs = pair(attrs.evolve(pnp_cfg, num_envs=N))
    records = []
    for env in envs:
        env.reset()
        for i, action in enumerate(actions(env, 12)):
            if i == 9:
                action[3, 0] = float("nan")
            env.step(action)
        records.append(env.drain_invalid())
    assert [(record.env, record.reason, record.frames) for record in records[0]] == [
        (record.env, record.reason, record.frames) for record in records[1]
    ]
    assert [record.env for record in records[0]] == [3]
    assert torch.equal(records[0][0].states, records[1][0].states)


def test_a_capture_that_fails_says_how_to_do_without(build, pnp_cfg, actions):
    class Broken(TapeGraph):
        def capture(self, body):
            raise RuntimeError("operation not permitted when stream is capturing")

    env = build(attrs.evolve(pnp_cfg, num_envs=N), capture=Broken)
    env.reset()
    for action in actions(env, EAGER_STEPS):
        env.step(action)
    with pytest.raises(EnvContractError, match=r"not permitted when stream is capturing.*engine\.cuda_graphs=false"):
        env.step(action)


def test_only_engine_steps_are_timed_where_resets_are_in_a_graph(build, pnp_cfg, actions):
    env = build(attrs.evolve(pnp_cfg, num_envs=N))
    env.engine_clock = Stopwatch(env.device)
    env.reset()
    for action in actions(env, 10):
        env.step(action)
    assert len(env.engine_clock._marks) == 20


def test_who_captures(robot, registry, pnp_cfg, build, device):
    cfg = attrs.evolve(pnp_cfg, num_envs=N)
    on_gpu = device != "cpu"
    off = attrs.evolve(cfg, engine=attrs.evolve(cfg.engine, cuda_graphs=False))
    assert build(off, capture=False).graphs is None
    if on_gpu:
        assert build(cfg, capture=True).graphs is not None
    else:
        with pytest.raises(ConfigError, match="capture=True, but the environment is on cpu with KinematicEngine"):
            build(cfg, capture=True)

    class Host(KinematicEngine):
        capturable_reset = False

    with pytest.raises(ConfigError, match=r"with Host; .* capturable_reset"):
        build(cfg, capture=True, engine=Host)


def test_a_mode_of_rewards_alone(pair, pnp_cfg, step_both):
    """Without terminations, rewards, guard and noise there is little left, and it is captured as well."""
    cfg = attrs.evolve(pnp_cfg, num_envs=N, rewards={}, terminations={}, safe_nan=False)
    envs = pair(cfg)
    for env in envs:
        env.reset()
    step_both(envs, 12)
    assert envs[0].graphs.captured == ("before", "after")
    cfg = attrs.evolve(cfg, rewards={"one": RewardTermCfg(func="core:is_terminated", weight=1.0)})
    envs = pair(cfg)
    step_both(envs, 8)
