"""What a run starts from: nothing, another run's weights, weights and optimiser, or its own past."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from grail_framework.errors import CheckpointError, ConfigError
from grail_framework.plugins.records import compare_plugin_sets
from grail_framework.runs.atomic import write_atomically
from grail_framework.runs.checkpoint import RunIdentity, check_model, with_own_parts
from grail_framework.runs.directory import LAST_LINK, RunDirectory, last_checkpoint
from grail_framework.runs.formats import read_checkpoint
from grail_framework.runs.moments import optimizer_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grail_framework.learning.runner import OnPolicyRunner
    from grail_framework.plugins.results import CheckpointFormat

_log = logging.getLogger(__name__)

Mode = Literal["fresh", "weights", "warm", "full"]
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "weights": ("model",),
    "warm": ("model", "optimizer", "learning_rate"),
    "full": ("model", "optimizer", "learning_rate", "iteration", "num_envs", "env", "rollout", "rng"),
}


@attrs.frozen(kw_only=True)
class ResumePlan:
    """How a run starts."""

    mode: Mode
    """`fresh`; `weights`: networks alone; `warm`: and optimiser and learning rate, counters at 0; `full`: everything."""
    checkpoint: Path | None = None
    """The file; None when fresh."""

    def describe(self) -> str:
        """Say in one line what will happen."""
        what = {
            "fresh": "starting from scratch",
            "weights": f"starting from the weights of {self.checkpoint}; optimiser and counters are new",
            "warm": f"warm resume: weights, optimiser and learning rate of {self.checkpoint}; counters start at 0",
            "full": f"full resume of {self.checkpoint}: everything, counters included",
        }
        return what[self.mode]


def plan_resume(*, checkpoint: str | None, resume: bool, run_directory: Path) -> ResumePlan:
    """Decide how a run starts; `checkpoint` is a file or a run directory (then its `last.pt`).

    Raises:
        CheckpointError: a resume without a checkpoint in a directory that has none.
    """
    if checkpoint is None and not resume:
        return ResumePlan(mode="fresh")
    if checkpoint is None:
        return ResumePlan(mode="full", checkpoint=last_checkpoint(run_directory, "--resume"))
    path = Path(checkpoint)
    if path.is_dir():
        path = path / LAST_LINK
    if not resume:
        return ResumePlan(mode="weights", checkpoint=path)
    same = path.absolute().parent.resolve() == run_directory.resolve()
    return ResumePlan(mode="full" if same else "warm", checkpoint=path)


def apply_resume(
    plan: ResumePlan,
    runner: OnPolicyRunner,
    *,
    identity: RunIdentity,
    directory: RunDirectory,
    formats: Sequence[CheckpointFormat] = (),
) -> None:
    """Load what the plan says into a runner that has not started; on every rank. A full resume cuts `metrics.jsonl` to it.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, does not fit, or lacks what the plan needs.
        ConfigError: `metrics.jsonl` cannot be read or rewritten.
    """
    if plan.mode == "fresh" or plan.checkpoint is None:
        return
    state = read_checkpoint(plan.checkpoint, formats)
    check_contents(state, plan)
    state["model"] = with_own_parts(state, runner.network.state_dict(), where=str(plan.checkpoint))
    check_model(
        state["model"],
        runner.network.state_dict(),
        where=str(plan.checkpoint),
        saved_identity=state,
        own_identity=identity,
    )
    if plan.mode == "weights":
        runner.ppo.load_weights(state)
    elif plan.mode == "warm":
        runner.ppo.load_state_dict(_with_optimizer(state, runner))
    else:
        for line in identity_differences(state, identity):
            _log.warning("resume: %s", line)
        runner.load_state_dict(state)
        if runner.accelerator.is_main_process:
            cut_metrics(directory.metrics, runner.iteration)
    _log.info("%s", plan.describe())


def _with_optimizer(state: dict[str, Any], runner: OnPolicyRunner) -> dict[str, Any]:
    """Put moments that are named by their parameters in the order of the run's optimiser."""
    if "optimizer" in state:
        return state
    groups = runner.ppo.state_dict()["optimizer"]["param_groups"]
    return state | {"optimizer": optimizer_of(state["optimizer_moments"], runner.network, groups)}


def check_contents(state: Mapping[str, Any], plan: ResumePlan) -> None:
    """Demand that a checkpoint holds what the plan needs.

    Raises:
        CheckpointError: something is missing; the message says what would still work.
    """
    missing = _missing(state, plan.mode)
    if not missing:
        return
    problem = state.get("optimizer_problem")
    why = f" (its optimiser state cannot be used: {problem})" if problem and "optimizer" in missing else ""
    way_out = "it can still give its weights: leave out --resume and start in a new run directory with --checkpoint"
    if plan.mode == "full" and not _missing(state, "warm"):
        way_out = (
            "it can still give its weights, optimiser state and learning rate to a new run (--resume --checkpoint FILE with another "
            "--experiment-dir, or none), or its weights alone (without --resume)"
        )
    raise CheckpointError(f"{plan.checkpoint} holds no {', '.join(missing)}{why}, which this resume needs; {way_out}")


def _missing(state: Mapping[str, Any], mode: Mode) -> list[str]:
    # In a full resume the moments must be the run's own, in the order it had them.
    instead = {"optimizer": "optimizer_moments"} if mode == "warm" else {}
    return [key for key in _NEEDED.get(mode, ()) if key not in state and instead.get(key, key) not in state]


def identity_differences(state: Mapping[str, Any], identity: RunIdentity) -> list[str]:
    """Say what differs between the run that wrote a checkpoint and this one: plugins and configuration, one line each."""
    lines = compare_plugin_sets(state.get("plugins", []), identity.plugins)
    if state.get("config_digest", "") != identity.config_digest:
        lines.append("the configuration is not the one the checkpoint was trained with")
    return lines


def cut_metrics(path: Path, iteration: int) -> None:
    """Drop the lines of `metrics.jsonl` after `iteration`, which the resumed run will write again, and a torn last line.

    Raises:
        ConfigError: the file cannot be read or rewritten.
    """
    try:
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True)
            write_atomically(path, b"".join(line for line in lines if _is_kept(line, iteration)))
    except OSError as error:
        raise ConfigError(f"{path} cannot be cut to iteration {iteration} ({error.strerror}); make it writable") from error


def _is_kept(line: bytes, iteration: int) -> bool:
    try:
        return line.endswith(b"\n") and int(json.loads(line)["iteration"]) <= iteration
    except (ValueError, KeyError, TypeError):
        return False
