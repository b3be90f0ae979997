from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from grail_framework.config import ActionCfg, CheckpointCfg, PpoCfg, RunCfg
from grail_framework.envs.timing import Stopwatch
from grail_framework.errors import CheckpointError, ConfigError, RunStoppedError
from grail_framework.learning.networks import mlp
from grail_framework.learning.runner import OnPolicyRunner
from grail_framework.learning.signals import StopRequest
from grail_framework.testing.point_env import PointEnv

ALGORITHM = PpoCfg(
    num_steps_per_env=16,
    num_learning_epochs=4,
    learning_rate=3e-3,
    min_learning_rate=1e-4,
    max_learning_rate=1e-2,
    max_grad_norm=1.0,
    init_noise_std=0.5,
    max_noise_std=1.0,
    entropy_coef=0.0,
)
CFG = RunCfg(
    task="point",
    action=ActionCfg(func="none"),
    observations={},
    rewards={},
    terminations={},
    algorithm=ALGORITHM,
    checkpoints=CheckpointCfg(last_frequency=2, save_frequency=4),
)


class Recorder:
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []
        self.iterations: list[int] = []
        self.saved: list[int] = []
        self.paths: list[Any] = []
        self.closed = False

    def write(self, iteration: int, metrics: Any) -> None:
        self.iterations.append(iteration)
        self.metrics.append(dict(metrics))

    def close(self) -> None:
        self.closed = True

    def save(self, state: Any) -> Any:
        self.saved.append(state["iteration"])
        return f"step {state['iteration']}"

    def on_iteration(self, iteration: int, metrics: Any) -> None:
        assert self.iterations[-1] == iteration

    def on_checkpoint(self, path: Any) -> None:
        self.paths.append(path)


def make_runner(recorder: Recorder | None = None, cfg: RunCfg = CFG, *, num_envs: int = 64, env: Any = None) -> OnPolicyRunner:
    torch.manual_seed(3)
    network = mlp(2, 3, 1, actor_hidden_dims=(32,), critic_hidden_dims=(32,), init_noise_std=0.5, max_noise_std=1.0)
    env = env or PointEnv(num_envs)
    if recorder is None:
        return OnPolicyRunner(env, cfg, network, Accelerator(cpu=True))
    return OnPolicyRunner(
        env, cfg, network, Accelerator(cpu=True), writer=recorder, checkpointer=recorder, observers=[recorder]
    )


def test_a_point_learns_to_go_to_its_goal():
    recorder = Recorder()
    make_runner(recorder).learn(40)
    rewards = [metrics["train/mean_reward"] for metrics in recorder.metrics]
    first, last = sum(rewards[:3]) / 3, sum(rewards[-3:]) / 3
    # Random points are 4/3 m from random goals; walking there at 0.2 m a step leaves 0.3 to 0.4 m over 20 steps.
    assert first < -1.0
    assert last > 0.5 * first


class WithMore(PointEnv):
    """Also observes what only its action transform would read."""

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.observation_dims = {**self.observation_dims, "tokenizer": 1000}

    def _observe(self):
        return {**super()._observe(), "tokenizer": torch.zeros(self.num_envs, 1000)}


def test_a_rollout_keeps_what_the_network_reads():
    env = WithMore(8)
    network = mlp(2, 3, 1, actor_hidden_dims=(8,), critic_hidden_dims=(8,), init_noise_std=0.5)
    assert set(OnPolicyRunner(env, CFG, network, Accelerator(cpu=True)).rollout.observations) == {"policy", "critic"}
    network.reads = None
    runner = OnPolicyRunner(env, CFG, network, Accelerator(cpu=True))
    assert runner.rollout.observations["tokenizer"].shape == (16, 8, 1000)
    runner.learn(1)


def test_what_an_iteration_reports():
    recorder = Recorder()
    make_runner(recorder).learn(3)
    assert recorder.iterations == [1, 2, 3]
    metrics = recorder.metrics[-1]
    expected = {
        "train/mean_reward",
        "episode/reward",
        "episode/length",
        "env/distance",
        "env/falls",
        "loss/surrogate",
        "loss/value",
        "loss/entropy",
        "policy/kl",
        "policy/learning_rate",
        "policy/std",
        "policy/grad_norm",
        "policy/skipped_updates",
        "perf/samples_per_second",
        "perf/collection_time",
        "perf/learning_time",
        "perf/inference_time",
        "perf/environment_time",
        "perf/iteration_time",
        "perf/samples",
    }
    assert set(metrics) == expected
    assert all(type(value) is float for value in metrics.values())
    assert metrics["perf/samples"] == 3 * 16 * 64
    assert metrics["env/distance"] == pytest.approx(-metrics["train/mean_reward"], rel=1e-5)
    assert 0.0 < metrics["perf/collection_time"] + metrics["perf/learning_time"] <= metrics["perf/iteration_time"]


def test_time_is_split_into_engine_environment_inference_and_learning():
    class Slow(PointEnv):
        """Spends 2 ms in its engine and 1 ms beside it, in each step."""

        def __init__(self) -> None:
            super().__init__(64)
            self.engine_clock = Stopwatch(self.device)

        def step(self, actions: torch.Tensor) -> Any:
            self.engine_clock.mark()
            time.sleep(2e-3)
            self.engine_clock.mark()
            time.sleep(1e-3)
            return super().step(actions)

    env, recorder = Slow(), Recorder()
    torch.manual_seed(0)
    runner = OnPolicyRunner(env, CFG, mlp(2, 3, 1), Accelerator(cpu=True), writer=recorder, engine_clock=env.engine_clock)
    runner.learn(2)
    for metrics in recorder.metrics:  # of one iteration each, 16 steps long
        engine, environment = metrics["perf/engine_time"], metrics["perf/environment_time"]
        assert engine >= 32e-3
        assert environment >= 16e-3
        parts = engine + environment + metrics["perf/inference_time"]
        assert parts == pytest.approx(metrics["perf/collection_time"], rel=1e-6)


def test_evaluations_are_reported_with_the_iteration_they_follow():
    recorder = Recorder()
    runner = make_runner(recorder)
    runner.evaluate = lambda iteration: {"eval/tracked_fraction": 0.1 * iteration} if iteration % 2 == 0 else {}
    runner.learn(4)
    shown = [metrics.get("eval/tracked_fraction") for metrics in recorder.metrics]
    assert shown == [None, pytest.approx(0.2), None, pytest.approx(0.4)]


def test_first_save_at_zero_then_by_frequency_and_at_the_end():
    recorder = Recorder()
    make_runner(recorder).learn(5)
    assert recorder.saved == [0, 2, 4, 5]
    assert recorder.paths == ["step 0", "step 2", "step 4", "step 5"]


def test_iterations_are_a_total():
    recorder = Recorder()
    runner = make_runner(recorder)
    runner.learn(2)
    runner.learn(3)
    assert recorder.iterations == [1, 2, 3]
    assert runner.learn(3) == {}


def test_the_iteration_in_which_the_time_is_over_is_the_last_and_is_saved():
    recorder = Recorder()
    runner = make_runner(recorder)
    runner.learn(100, time_budget_s=1e-9)
    assert recorder.iterations == [1]
    assert recorder.saved == [0, 1]
    runner.learn(3, time_budget_s=1e9)
    assert recorder.iterations == [1, 2, 3]
    assert not any(name.startswith("_") for metrics in recorder.metrics for name in metrics)


class Still(PointEnv):
    """Points that do not move: episodes last exactly 20 steps, and their reward is 20 times minus the distance."""

    def step(self, actions: torch.Tensor) -> Any:
        return super().step(0.0 * actions)


def test_episode_means_by_hand():
    recorder = Recorder()
    runner = make_runner(recorder, env=Still(64))
    runner.learn(1)
    assert "episode/length" not in recorder.metrics[0]  # 16 steps: none has ended
    distance = (runner.env.position - runner.env.goal).abs().mean().item()
    runner.learn(2)
    assert recorder.metrics[1]["episode/length"] == 20.0
    assert recorder.metrics[1]["episode/reward"] == pytest.approx(-20.0 * distance, rel=1e-5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_iteration_saves_and_stops(number: signal.Signals):
    class Interrupting(Recorder):
        def on_iteration(self, iteration: int, metrics: Any) -> None:
            if iteration == 3:
                os.kill(os.getpid(), number)

    recorder = Interrupting()
    before = signal.getsignal(number)
    with pytest.raises(RunStoppedError, match="after iteration 4") as raised:
        make_runner(recorder).learn(100)
    assert raised.value.exit_code == 4
    assert recorder.saved[-1] == 4
    assert signal.getsignal(number) is before


def test_a_second_signal_acts_as_before():
    def previous(_number: int, _frame: Any) -> None:
        raise ZeroDivisionError

    old = signal.signal(signal.SIGTERM, previous)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.requested
            with pytest.raises(ZeroDivisionError):
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, old)


def test_outside_the_main_thread_no_handler_is_installed():
    def enter() -> None:
        with StopRequest() as stop:
            seen.append((signal.getsignal(signal.SIGTERM), stop.requested))

    seen: list[Any] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(signal.getsignal(signal.SIGTERM), False)]


def test_uneven_mini_batches_are_refused_before_anything_is_built():
    with pytest.raises(ConfigError, match="num_envs=64 or 68"):
        make_runner(num_envs=66)


def test_a_failed_save_does_not_stop_training():
    class Full(Recorder):
        def save(self, state: Any) -> Any:
            return None

    recorder = Full()
    make_runner(recorder).learn(2)
    assert recorder.iterations == [1, 2]
    assert recorder.paths == []


def test_state_of_another_number_of_environments_is_refused():
    runner = make_runner()
    runner.learn(1)
    with pytest.raises(CheckpointError, match="64 environments per process, this run has 32"):
        make_runner(num_envs=32).load_state_dict(runner.state_dict())


def test_state_of_another_number_of_processes_is_refused():
    runner = make_runner()
    runner.learn(1)
    state = runner.state_dict()
    state["env"] = state["env"] * 2
    with pytest.raises(CheckpointError, match="2 processes, this run has 1"):
        make_runner().load_state_dict(state)
