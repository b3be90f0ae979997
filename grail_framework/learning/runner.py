"""On-policy training: collect, learn, report, save."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any, Protocol

import torch

from grail_framework.envs.timing import Stopwatch
from grail_framework.errors import CheckpointError, RunStoppedError
from grail_framework.learning.capture import captures_inference
from grail_framework.learning.collection import Collector
from grail_framework.learning.distributed import gather_on_main, set_matrix_precision, to_cpu
from grail_framework.learning.ppo import Ppo, check_mini_batches
from grail_framework.learning.rng import rng_state, set_rng_state
from grail_framework.learning.signals import StopRequest
from grail_framework.learning.statistics import RolloutStatistics, to_host
from grail_framework.learning.storage import RolloutStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from accelerate import Accelerator

    from grail_framework.config import RunCfg
    from grail_framework.envs.protocol import VecEnv
    from grail_framework.learning.networks import ActorCritic
    from grail_framework.logging.writer import Writer

_log = logging.getLogger(__name__)


class Checkpointer(Protocol):
    """Keeps a run's state; `runs.checkpoint.CheckpointWriter` is one."""

    def save(self, state: Mapping[str, Any]) -> Path | None:
        """Write a state (main process only); None where it could not be written, which is no reason to stop training."""
        ...


class RunObserver(Protocol):
    """Is told what happens in a run; on every rank."""

    def on_iteration(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Hear that `iteration` iterations are done, and what the last one measured."""
        ...

    def on_checkpoint(self, path: Path) -> None:
        """Hear that a checkpoint is whole; on the main process."""
        ...


class OnPolicyRunner:
    """Trains `network` on `env` with PPO.

    `iteration` iterations are done. `state_dict` holds all that a bitwise continuation needs. `writer` and `checkpointer` are
    the main process's (None elsewhere) and may be set until `learn` is called; observers hear of iterations on every rank.
    `evaluate`, called with the number of iterations done, returns metrics that are reported with the iteration's; it must leave the
    training as it found it. `engine_clock` is marked by the environment before and after what its engine does; where the
    environment's step is replayed from CUDA graphs, resets are inside of one and count as the environment's.
    """

    def __init__(
        self,
        env: VecEnv,
        cfg: RunCfg,
        network: ActorCritic,
        accelerator: Accelerator,
        *,
        writer: Writer | None = None,
        checkpointer: Checkpointer | None = None,
        observers: Sequence[RunObserver] = (),
        evaluate: Callable[[int], Mapping[str, float]] | None = None,
        engine_clock: Stopwatch | None = None,
    ) -> None:
        check_mini_batches(env.num_envs, cfg.algorithm.num_mini_batches)
        self.env, self.cfg, self.accelerator = env, cfg, accelerator
        self.device: torch.device = accelerator.device
        self.network = network
        set_matrix_precision(self.device, tf32=cfg.algorithm.tf32)
        self.ppo = Ppo(network, cfg.algorithm, accelerator)
        widths = {group: w for group, w in env.observation_dims.items() if network.reads is None or group in network.reads}
        self.rollout = RolloutStorage(cfg.algorithm.num_steps_per_env, env.num_envs, widths, env.num_actions, self.device)
        self.statistics = RolloutStatistics(env.num_envs, self.device)
        self.collector = Collector(
            network, self.rollout, self.statistics, capture=captures_inference(cfg.algorithm, self.device)
        )
        self.writer, self.checkpointer, self.observers, self.evaluate = writer, checkpointer, observers, evaluate
        self.iteration = 0
        self._observations: dict[str, torch.Tensor] | None = None
        self._phases, self._stepping = Stopwatch(self.device), Stopwatch(env.device)
        self._engine_clock = engine_clock

    def learn(self, iterations: int, *, time_budget_s: float | None = None) -> dict[str, float]:
        """Train until `iterations` iterations are done in all, those before a resume included; return the last metrics.

        With a time budget [s] the iteration in which it ends is the last; any rank's clock decides for all.

        Raises:
            RunStoppedError: SIGTERM or SIGINT was received by any rank; the iteration was finished and the state saved.
        """
        metrics: dict[str, float] = {}
        ends = math.inf if time_budget_s is None else time.perf_counter() + time_budget_s
        with StopRequest() as stop:
            self._begin()
            time_is_up = False
            while self.iteration < iterations and not time_is_up:
                began = time.perf_counter()
                self._restart_clocks()
                last_value = self._collect()
                self._phases.mark()
                scalars = self.ppo.update(self.rollout, last_value)
                self._phases.mark()
                self.iteration += 1
                metrics, stopped, time_is_up = self._measure(scalars, began, stop, ends)
                if self.evaluate is not None:
                    metrics |= self.evaluate(self.iteration)
                self._report(metrics)
                due = self.iteration % self.cfg.checkpoints.last_frequency == 0 or self.iteration == iterations
                saved = self.save() if due or stopped or time_is_up else None
                if stopped:
                    raise RunStoppedError(self._farewell(saved))
        return metrics

    def _begin(self) -> None:
        if self._observations is not None:  # restored
            return
        self._observations = self._on_device(self.env.reset())
        self.save()

    @torch.no_grad()
    def _collect(self) -> torch.Tensor:
        """Fill the rollout; return the value after its last step, (num_envs,)."""
        observations = self._observations
        assert observations is not None
        for step in range(self.rollout.num_steps):
            actions = self.collector.decide(step, observations).to(self.env.device)
            self._stepping.mark()
            answer = self.env.step(actions)
            self._stepping.mark()
            observations = self._on_device(answer[0])
            self.collector.record(*answer[1:4])
            self.statistics.record_log(answer[4])
        self._observations = observations
        return self.collector.last_value(observations)

    def _on_device(self, observations: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {group: observations[group].to(self.device) for group in self.rollout.observations}

    def _measure(
        self, scalars: dict[str, torch.Tensor], began: float, stop: StopRequest, ends: float
    ) -> tuple[dict[str, float], bool, bool]:
        """Bring the iteration's numbers to the host, the one place where it waits for the device; say whether to stop and time is up."""
        wishes = {"_stop": stop.requested, "_time_is_up": time.perf_counter() >= ends}
        scalars = scalars | self.statistics.drain() | self.env.drain_metrics()
        scalars |= {name: torch.full((), float(wish), device=self.device) for name, wish in wishes.items()}
        metrics = self.statistics.finish(to_host(scalars, self.accelerator))
        stopped, time_is_up = (metrics.pop(name) > 0.0 for name in wishes)  # one rank's wish holds for all
        duration = time.perf_counter() - began
        samples = self.rollout.num_steps * self.rollout.num_envs * self.accelerator.num_processes
        metrics |= {
            "perf/samples_per_second": samples / duration,
            "perf/iteration_time": duration,
            "perf/samples": float(samples * self.iteration),
        }
        return metrics | self._split(), stopped, time_is_up

    def _restart_clocks(self) -> None:
        for clock in (self._phases, self._stepping, *((self._engine_clock,) if self._engine_clock is not None else ())):
            clock.clear()
        self._phases.mark()

    def _split(self) -> dict[str, float]:
        """Return where this process' iteration went: collection (inference, environment, engine) and learning. [s]"""
        collection, learning = self._phases.laps()
        stepping = self._stepping.spans()
        times = {"collection_time": collection, "learning_time": learning, "environment_time": stepping}
        # Two clocks where the environment is on another device than the network: their difference may fall below zero.
        times["inference_time"] = max(collection - stepping, 0.0)
        if self._engine_clock is not None:
            times["engine_time"] = self._engine_clock.spans()
            times["environment_time"] = max(stepping - times["engine_time"], 0.0)
        return {f"perf/{name}": seconds for name, seconds in times.items()}

    def _report(self, metrics: dict[str, float]) -> None:
        if self.writer is not None:
            self.writer.write(self.iteration, metrics)
        for observer in self.observers:
            observer.on_iteration(self.iteration, metrics)

    def save(self) -> Path | None:
        """Save the state through the checkpointer, and tell the observers; called on every rank."""
        if self.checkpointer is None and self.accelerator.num_processes == 1:
            return None
        state = self.state_dict()  # collective: also where this rank has no checkpointer
        path = self.checkpointer.save(state) if self.checkpointer is not None and state else None
        if path is not None:
            for observer in self.observers:
                observer.on_checkpoint(path)
        return path

    def _farewell(self, saved: Path | None) -> str:
        where = f"saved {saved}" if saved is not None else "no checkpoint was written by this process now"
        return f"stopped by a signal after iteration {self.iteration}; {where}; continue with --resume"

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the run as CPU tensors and plain values; called on every rank, empty but on the main one.

        Keys: iteration, model, optimizer, learning_rate, num_envs, and per rank, as lists: env, rng, rollout (observations and
        the sums of running episodes).
        """
        rollout = {"observations": self._observations, "statistics": self.statistics.state_dict()}
        own = {"env": self.env.state_dict(), "rollout": rollout, "rng": rng_state(self.device)}
        ranks = gather_on_main(self.accelerator, to_cpu(own))
        if not ranks:
            return {}
        shared = to_cpu(self.ppo.state_dict()) | {"iteration": self.iteration, "num_envs": self.env.num_envs}
        return shared | {key: [rank[key] for rank in ranks] for key in own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken, bitwise where the engine is.

        Raises:
            CheckpointError: the state is of another number of processes or environments.
        """
        rank = self.accelerator.process_index
        _check_same("processes", len(state["env"]), self.accelerator.num_processes)
        # A process may have more environments than another, and `num_envs` is that of the main one.
        observed = next(iter(state["rollout"][rank]["observations"].values()))
        _check_same("environments per process", len(observed), self.env.num_envs)
        self.ppo.load_state_dict(state)
        self.iteration = int(state["iteration"])
        self.env.load_state_dict(state["env"][rank])
        self._observations = self._on_device(state["rollout"][rank]["observations"])
        self.statistics.load_state_dict(state["rollout"][rank]["statistics"])
        set_rng_state(state["rng"][rank], self.device)  # last: everything above may draw


def _check_same(what: str, saved: int, now: int) -> None:
    if saved != now:
        raise CheckpointError(
            f"the checkpoint was written by a run of {saved} {what}, this run has {now}: continue with {saved}, or start in a new run "
            "directory with --resume --checkpoint to take over weights and optimiser alone"
        )
