"""Evaluating a checkpoint: its configuration, its network, and every motion in batches that bring their own assets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import attrs

from grail_framework.errors import CheckpointError, DataError
from grail_framework.evaluation.metrics import load_metrics
from grail_framework.evaluation.rollout import evaluate, zero_action
from grail_framework.evaluation.score import merge
from grail_framework.motion.loading import open_source
from grail_framework.motion.selection import select_keys
from grail_framework.runs.assembly import build_env, build_network, load_parts
from grail_framework.runs.checkpoint import check_model, identify, with_own_parts
from grail_framework.runs.formats import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from grail_framework.config import RunCfg
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.evaluation.rollout import Policy
    from grail_framework.evaluation.score import Evaluation
    from grail_framework.plugins.manager import GrailPluginManager

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class CheckpointEvaluation:
    """What `evaluate_checkpoint` found."""

    checkpoint: Path
    """The file, links resolved."""
    iteration: int | None
    """Iterations of training behind it; None where the file does not say."""
    task: str
    engine: str
    num_envs: int
    """Motions of a batch."""
    policy: Evaluation
    zero_action: Evaluation | None
    """The baseline; None where it was not asked for."""
    skipped: tuple[str, ...]
    """Motions that could not be used and were left out."""

    def as_plain(self) -> dict[str, Any]:
        """Return plain values: the content of `metrics_eval.json`."""
        plain: dict[str, Any] = {
            "checkpoint": str(self.checkpoint),
            "iteration": self.iteration,
            "task": self.task,
            "engine": self.engine,
            "units": {name: metric.unit for name, metric in self.policy.metrics.items()},
            **self.policy.as_plain(),
            "skipped_keys": list(self.skipped),
        }
        if self.zero_action is not None:
            plain["zero_action"] = self.zero_action.as_plain()
        return plain


def evaluation_config(cfg: RunCfg) -> RunCfg:
    """Return a run's configuration as an evaluation uses it: all motions, from their first frame, in one process, undisturbed.

    Terminations stay those of the run, as in the GRAIL release; its events that are for training alone are left out.
    """
    motion = attrs.evolve(cfg.motion, shard_by_rank=False, shard_rank=None, shard_world_size=None)
    command = attrs.evolve(cfg.command, start_from_first_frame=True, sample_before_contact=False)
    events = {name: event for name, event in cfg.events.items() if not event.train_only}
    return attrs.evolve(cfg, motion=motion, command=command, events=events, curriculums={})


def evaluate_checkpoint(
    cfg: RunCfg,
    checkpoint: Path,
    manager: GrailPluginManager,
    *,
    baseline: bool = False,
    on_stage: Callable[[str], None] | None = None,
) -> CheckpointEvaluation:
    """Follow every motion of a configuration with the deterministic policy of a checkpoint.

    Environment k holds the object of motion k and no engine can exchange assets once it is built, so each batch of `cfg.num_envs`
    motions gets an environment, and an engine, of its own. On a terrain all motions of the plan are followed, each on its own.

    Args:
        cfg: the configuration of the run the checkpoint is from, with the data, engine and number of environments wanted.
        checkpoint: the file.
        manager: the loaded plugins; all metrics they register are measured.
        baseline: follow the motions with zero action too.
        on_stage: told in words what is done next.

    Raises:
        CheckpointError: the checkpoint cannot be read, is of another task or robot, or does not fit the network.
        DataError: the motion library cannot be used.
    """
    state = read_checkpoint(checkpoint, manager.checkpoint_formats())
    check_origin(state, cfg, checkpoint)
    metrics = load_metrics(manager.registry)
    batches = _Batches(evaluation_config(cfg), manager, on_stage or (lambda _: None))
    policies: list[Evaluation] = []
    zeros: list[Evaluation] = []
    for env in batches:
        policy = _policy(state, batches.cfg, manager, env, checkpoint)
        policies.append(evaluate(env, policy, metrics, to_the_end=True))
        if baseline:
            zeros.append(evaluate(env, zero_action(env), metrics, to_the_end=True))
    if not policies:
        raise DataError(f"none of the {len(batches.skipped)} motions can be used; see the warnings above")
    return CheckpointEvaluation(
        checkpoint=checkpoint.resolve(),
        iteration=state.get("iteration"),
        task=cfg.task,
        engine=cfg.engine.name,
        num_envs=min(cfg.num_envs, batches.num_motions),
        policy=merge(policies),
        zero_action=merge(zeros) if baseline else None,
        skipped=tuple(batches.skipped),
    )


class _Batches:
    """Builds an environment for each batch of motions, one at a time, and closes it before the next."""

    def __init__(self, cfg: RunCfg, manager: GrailPluginManager, on_stage: Callable[[str], None]) -> None:
        self.cfg, self._manager, self._on_stage = cfg, manager, on_stage
        self._plan = manager.discover_terrain(cfg, 0, 1)
        self._keys = self._all_keys() if self._plan is None else [motion.key for motion in self._plan.motions]
        self.num_motions = len(self._keys)
        self.skipped: list[str] = []

    def __iter__(self) -> Iterator[TrackingEnv]:
        size = self.cfg.num_envs
        starts = range(0, self.num_motions, size)
        for number, start in enumerate(starts, start=1):
            keys = self._keys[start : start + size]
            self._on_stage(f"batch {number} of {len(starts)}: {len(keys)} of {self.num_motions} motions")
            env = self._build(keys)
            if env is None:
                continue
            try:
                yield env
            finally:
                env.close()

    def _all_keys(self) -> list[str]:
        readers = [entry.load()() for entry in self._manager.registry.entries("motion_reader")]
        return select_keys(open_source(self.cfg.motion, readers).keys, self.cfg.motion)

    def _build(self, keys: Sequence[str]) -> TrackingEnv | None:
        """Load the motions and build their environment; None where all of them are left out as unusable."""
        motion = attrs.evolve(self.cfg.motion, filter_motion_keys=tuple(keys), remove_motion_keys=(), max_unique_motions=None)
        cfg = attrs.evolve(self.cfg, motion=motion, num_envs=len(keys))
        try:
            parts = load_parts(cfg, self._manager, plan=None if self._plan is None else self._plan.only(keys))
        except DataError as error:
            if cfg.motion.on_bad_clip != "skip":
                raise
            _log.warning("a batch of motions is left out: %s", error)
            self.skipped += keys
            return None
        self.skipped += [key for key in keys if key not in parts.motions.keys]
        return build_env(parts, num_envs=parts.motions.num_motions)


def check_origin(state: Mapping[str, Any], cfg: RunCfg, checkpoint: Path) -> None:
    """Refuse a checkpoint of another task or robot, where it says whose it is.

    Raises:
        CheckpointError: it is; both are named.
    """
    for what, own, fix in (("task", cfg.task, "--task"), ("robot", cfg.robot.name, "robot.name=")):
        saved = state.get(what)
        if saved and _plain(saved) != _plain(own):
            raise CheckpointError(
                f"{checkpoint} was trained for the {what} {saved}, and this evaluation is of {own}: leave out {fix} to evaluate what "
                "it was trained for, or name a checkpoint of the other"
            )


def _plain(name: str) -> str:
    return name.rpartition(":")[2]


def _policy(state: Mapping[str, Any], cfg: RunCfg, manager: GrailPluginManager, env: TrackingEnv, checkpoint: Path) -> Policy:
    network = build_network(cfg, manager, env)
    own = network.state_dict()
    model = with_own_parts(state, own, where=str(checkpoint))
    check_model(model, own, where=str(checkpoint), saved_identity=state, own_identity=identify(cfg, manager, env))
    network.load_state_dict(model)
    return network.to(env.device).eval().action_mean
