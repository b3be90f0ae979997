"""The life of a run: directory, parts, training, evaluation, and what happens when it ends early."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from accelerate.utils import broadcast_object_list, gather_object

from grail_framework.config.compose import config_digest
from grail_framework.config.hardware import GPU_ENGINE, plain_name
from grail_framework.config.structure import to_plain
from grail_framework.envs.timing import Stopwatch
from grail_framework.errors import ConfigError, PluginLoadError, RunStoppedError
from grail_framework.evaluation.rollout import zero_action
from grail_framework.evaluation.short import evaluate_short, headline
from grail_framework.learning.distributed import make_accelerator
from grail_framework.learning.rng import seed_everything
from grail_framework.learning.runner import OnPolicyRunner
from grail_framework.logging.run_log import run_log
from grail_framework.logging.stages import StageLog, listening
from grail_framework.logging.writer import WriterContext, build_writers
from grail_framework.plugins.context import RunContext
from grail_framework.plugins.records import compare_plugin_sets
from grail_framework.runs.assembly import build_env, build_network, engine_device, load_parts
from grail_framework.runs.base_bundle import leave_base
from grail_framework.runs.checkpoint import CheckpointWriter, identify
from grail_framework.runs.demo_library import with_demo_library
from grail_framework.runs.directory import (
    RunDirectory,
    build_meta,
    open_run_directory,
    run_directory_path,
    save_config,
    save_meta,
)
from grail_framework.runs.nan_dump import FOLDER, write_dumps
from grail_framework.runs.resume import apply_resume, plan_resume
from grail_framework.runs.summary import RunSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from accelerate import Accelerator

    from grail_framework.config import RunCfg
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.evaluation.rollout import Policy
    from grail_framework.evaluation.score import Evaluation
    from grail_framework.learning.networks import ActorCritic
    from grail_framework.logging.stages import StageListener
    from grail_framework.plugins.manager import GrailPluginManager
    from grail_framework.runs.assembly import RunParts

_log = logging.getLogger(__name__)


def launch(
    cfg: RunCfg,
    manager: GrailPluginManager,
    *,
    time_budget_s: float | None = None,
    on_stage: StageListener | None = None,
) -> RunSummary:
    """Train a resolved and checked configuration to its end.

    Args:
        cfg: the configuration, engine and number of environments resolved.
        manager: the loaded plugins.
        time_budget_s: end training with the iteration in which this time is over, if `cfg.iterations` are not done before. [s]
        on_stage: told in words what is done next, on the main process, until training begins.

    Raises:
        RunStoppedError: a signal stopped the run after a checkpoint.
        GrailError: anything wrong with data, configuration or checkpoint, before training starts.
    """
    device = engine_device(cfg)
    accelerator = make_accelerator(
        cpu=device == "cpu", mixed_precision=cfg.algorithm.mixed_precision, timeout_s=cfg.distributed.timeout_s
    )
    seed_everything(cfg.seed + accelerator.process_index)
    with accelerator.main_process_first():
        cfg = with_demo_library(cfg, manager.registry)
    _check_ranks_agree(cfg, manager, accelerator)
    path = _run_path(cfg, accelerator)
    plan = plan_resume(checkpoint=cfg.checkpoint, resume=cfg.resume, run_directory=path)
    directory = open_run_directory(path, resume=plan.mode == "full") if accelerator.is_main_process else RunDirectory(path)
    context = RunContext(
        run_dir=directory.path,
        task=cfg.task,
        cfg=cfg,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
    )
    with ExitStack() as stack:
        if accelerator.is_main_process:
            stack.enter_context(run_log(directory.path))
            if plan.mode != "full":
                _write_manifest(cfg, manager, directory, accelerator.num_processes)
        _log.info("run directory %s; %s", directory.path, plan.describe())
        try:
            run = _Run(cfg, manager, accelerator, directory, context, on_stage)
            stack.callback(run.close)
            apply_resume(plan, run.runner, identity=run.identity, directory=directory, formats=manager.checkpoint_formats())
            # A resume that turns out impossible must leave the manifest of the run it was to continue as it is.
            if plan.mode == "full" and accelerator.is_main_process:
                _write_manifest(cfg, manager, directory, accelerator.num_processes)
            summary = run.train(time_budget_s)
        except BaseException as error:
            # For run.log alone: whoever called hears of the error itself.
            _log.info("the run ended early: %s: %s", type(error).__name__, error)
            manager.run_failed(context, error)
            raise
        manager.run_finished(context, summary.as_plain())
        return summary


def _check_ranks_agree(cfg: RunCfg, manager: GrailPluginManager, accelerator: Accelerator) -> None:
    """Demand the same plugins and configuration on every rank, before any of them builds an environment.

    Raises:
        PluginLoadError: a rank has other plugins; the differences are named.
        ConfigError: a rank has another configuration.
    """
    if accelerator.num_processes == 1:
        return
    # A process may have more environments than another; all else must be the same.
    ranks = gather_object([(manager.plugin_set(), config_digest(attrs.evolve(cfg, num_envs=1)))])
    (plugins, digest), *others = ranks
    for rank, (theirs, other_digest) in enumerate(others, start=1):
        lines = compare_plugin_sets(plugins, theirs)
        if lines:
            raise PluginLoadError(f"rank {rank} has other plugins than rank 0: " + "; ".join(lines))
        if other_digest != digest:
            raise ConfigError(f"rank {rank} has another configuration than rank 0; start all ranks with the same command line")


def _run_path(cfg: RunCfg, accelerator: Accelerator) -> Path:
    """Choose the run directory on the main process and tell the others; nothing is made yet."""
    chosen: list[Any] = [None]
    if accelerator.is_main_process:
        path = run_directory_path(
            project=cfg.project,
            config_path=cfg.config_path,
            name=cfg.task.rpartition(":")[2],
            experiment_dir=cfg.experiment_dir,
        )
        chosen = [str(path)]
    if accelerator.num_processes > 1:
        broadcast_object_list(chosen)
    return Path(chosen[0])


def _write_manifest(cfg: RunCfg, manager: GrailPluginManager, directory: RunDirectory, world_size: int) -> None:
    save_config(directory, to_plain(cfg))
    meta = build_meta(task=cfg.task, config_digest=config_digest(cfg), plugins=manager.plugin_set(), world_size=world_size)
    save_meta(directory, meta)


class _Run:
    """A run whose parts are built."""

    def __init__(
        self,
        cfg: RunCfg,
        manager: GrailPluginManager,
        accelerator: Accelerator,
        directory: RunDirectory,
        context: RunContext,
        on_stage: StageListener | None,
    ) -> None:
        self._cfg, self._manager, self._context = cfg, manager, context
        self._accelerator, self._directory = accelerator, directory
        self._stage = StageLog(_log, on_stage if accelerator.is_main_process else None)
        self._told_of_overflow = False
        self._stage("reading motions")
        self._parts: RunParts = load_parts(
            cfg,
            manager,
            rank=accelerator.process_index,
            local_rank=accelerator.local_process_index,
            world_size=accelerator.num_processes,
        )
        self._context = attrs.evolve(context, terrain=self._parts.plan)
        self._stage(f"building {cfg.num_envs} environments of {self._parts.motions.num_motions} motions ({cfg.engine.name})")
        with listening(self._stage):
            self._env: TrackingEnv = build_env(self._parts)
        self._stage("preparing to train")
        network: ActorCritic = build_network(cfg, manager, self._env)
        self.identity = identify(cfg, manager, self._env)
        checkpointer = CheckpointWriter(directory, cfg.checkpoints, self.identity) if accelerator.is_main_process else None
        self._env.engine_clock = Stopwatch(self._env.device)
        self.runner = OnPolicyRunner(
            self._env,
            cfg,
            network,
            accelerator,
            checkpointer=checkpointer,
            observers=[self],
            evaluate=self._evaluate_if_due,
            engine_clock=self._env.engine_clock,
        )

    def train(self, time_budget_s: float | None) -> RunSummary:
        """Evaluate, train, evaluate."""
        zero = start = end = None
        if self._cfg.evaluation.at_start and self.runner.iteration == 0:
            self._stage("evaluating zero action and the untrained policy")
            zero, start = self._evaluate(self._zero), self._evaluate(self._policy)
        self._stage("training")
        self._stage("")  # before the writers: the live panel must not be written into
        self._open_writers(known={} if start is None else headline(start), time_budget_s=time_budget_s)
        self._manager.run_started(self._context)
        began, before = time.perf_counter(), self.runner.iteration
        try:
            self.runner.learn(self._cfg.iterations, time_budget_s=time_budget_s)
        except RunStoppedError:
            self._leave_base()
            raise
        self._leave_base()
        total = self.runner.iteration
        duration = time.perf_counter() - began
        if self._cfg.evaluation.at_end:
            self._stage("evaluating the trained policy")
            end = self._evaluate(self._policy)
        samples = (total - before) * self._cfg.algorithm.num_steps_per_env * self._env.num_envs
        return RunSummary(
            run_dir=self._directory.path,
            task=self._cfg.task,
            plugins=tuple(f"{plugin['name']} {plugin['version']}" for plugin in self._manager.plugin_set()),
            engine=self._cfg.engine.name,
            num_envs=self._env.num_envs * self._accelerator.num_processes,
            num_motions=self._parts.motions.num_motions,
            iterations=total,
            samples_per_second=samples * self._accelerator.num_processes / max(duration, 1e-9),
            duration_s=duration,
            zero_action=zero,
            at_start=start,
            at_end=end,
        )

    def on_iteration(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Keep how environments became invalid, and pass an iteration's metrics to the plugins."""
        if metrics.get("env/invalid_env_resets", 0.0) > 0.0:
            records = self._env.drain_invalid()
            folder = self._directory.path / FOLDER
            write_dumps(records, self._cfg, folder, iteration=iteration, rank=self._context.rank)
        dropped = metrics.get("env/contact_overflows", 0.0)
        if dropped > 0.0 and not self._told_of_overflow:
            self._told_of_overflow = True
            _log.warning(
                "contacts did not fit in %d environments of iteration %d, and the solver dropped some; raise engine.contact_room, now %s; "
                "fewer convex pieces need less room (scene.object.max_pieces). Told once; env/contact_overflows in metrics.jsonl has every "
                "iteration",
                int(dropped),
                iteration,
                self._cfg.engine.contact_room,
            )
        self._manager.iteration_finished(self._context, metrics)

    def on_checkpoint(self, path: Path) -> None:
        """Pass a checkpoint's path to the plugins."""
        self._manager.checkpoint_saved(self._context, path)

    def close(self) -> None:
        """Release writers and engine."""
        if self.runner.writer is not None:
            self.runner.writer.close()
        self._env.close()

    def _leave_base(self) -> None:
        if self._accelerator.is_main_process:
            network, iteration = self.runner.network, self.runner.iteration
            leave_base(self._directory.path, self._cfg, self._env, network, iteration=iteration)

    def _open_writers(self, known: dict[str, float], time_budget_s: float | None) -> None:
        if not self._accelerator.is_main_process:
            return
        extra = [(name, self._manager.registry.find("writer", name).load()) for name in self._cfg.logging.writers]
        self.runner.writer = build_writers(
            WriterContext(
                directory=self._directory.path,
                run_name=self._directory.path.name,
                project=self._cfg.project,
                logging=self._cfg.logging,
                config=to_plain(self._cfg),
                total_iterations=self._cfg.iterations,
                start_iteration=self.runner.iteration,
                time_budget_s=time_budget_s,
                known=known,
            ),
            extra,
        )

    def _evaluate_if_due(self, iteration: int) -> dict[str, float]:
        every = self._cfg.evaluation.every
        result = self._evaluate(self._policy) if every is not None and iteration % every == 0 else None
        return {} if result is None else headline(result)

    def _evaluate(self, policy: Callable[[TrackingEnv], Policy]) -> Evaluation | None:
        """Evaluate on the main process: on the CPU engine in an environment of its own, else in the training's, which is put back."""
        if not self._accelerator.is_main_process:
            return None
        registry = self._manager.registry
        # Isaac Lab simulates one scene per process, on a CPU too.
        if self._parts.device == "cpu" and plain_name(self._cfg.engine.name) != GPU_ENGINE:
            env = build_env(self._parts, num_envs=min(self._parts.motions.num_motions, self._cfg.num_envs))
            try:
                return evaluate_short(env, policy(env), registry)
            finally:
                env.close()
        saved = self._env.state_dict()
        try:
            return evaluate_short(self._env, policy(self._env), registry)
        finally:
            self._env.load_state_dict(saved)

    @staticmethod
    def _zero(env: TrackingEnv) -> Policy:
        return zero_action(env)

    def _policy(self, _env: TrackingEnv) -> Policy:
        network = self.runner.network
        return lambda observations: network.action_mean(
            {name: value.to(self.runner.device) for name, value in observations.items()}
        )
