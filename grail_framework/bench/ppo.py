"""`grail bench ppo`: our PPO update against rsl_rl's on the same batch and networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from grail_framework.bench.ppo_update import UpdateSize, compare
from grail_framework.bench.record import Goal, Row, Samples
from grail_framework.errors import ConfigError
from grail_framework.runs.assembly import engine_device

if TYPE_CHECKING:
    from grail_framework.bench.task import BenchTask
    from grail_framework.config import RunCfg

UPDATE_GOAL: Final = Goal(bound=0.6)
LOSS_GOAL: Final = Goal(bound=1e-5, of_figure=True)
WAIT_GOAL: Final = Goal(bound=2.0, of_figure=True)
_MLP: Final = ("mlp", "core:mlp")
_DETAILS: Final = ("eager_ms", "rsl_rl_returns_ms", "weight_difference")


def measure(task: BenchTask) -> list[Row]:
    """Compare updates, the losses they come to, deciding a step, and on a GPU how often the host waits.

    Raises:
        ConfigError: rsl_rl is not installed, or the task's networks are none that it has.
    """
    size = update_size(task.cfg)
    found = compare(size, torch.device(engine_device(task.cfg)), task.repeats, task.cfg.algorithm)
    conditions = _conditions(task, size)
    details = found.details
    rows = [
        Row(
            unit="ms",
            figure=Samples(name="PPO update", values=[1e3 * took for took in found.ours]),
            reference=Samples(name="rsl_rl's, same batch and networks", values=[1e3 * took for took in found.rsl_rl]),
            goal=UPDATE_GOAL,
            conditions=conditions,
            details={name: details[name] for name in _DETAILS},
        ),
        Row(
            unit="-",
            figure=Samples(name="largest difference of a loss to rsl_rl's", values=[details["loss_difference"]]),
            goal=LOSS_GOAL,
            conditions=conditions,
        ),
        Row(
            unit="ms",
            figure=Samples(name="decide and store a step", values=[details["act_ms"]]),
            reference=Samples(name="rsl_rl's", values=[details["rsl_rl_act_ms"]]),
            conditions=conditions,
            details={"eager_ms": details["act_eager_ms"]},
        ),
    ]
    return [*rows, *([_waits(details, conditions)] if "waits" in details else [])]


def update_size(cfg: RunCfg) -> UpdateSize:
    """Return the size of a task's update: its environments, steps and hidden layers; the widths are those of pnp_table.

    Raises:
        ConfigError: the networks are no MLPs, or actor and critic have other layers.
    """
    hidden = {name: tuple(cfg.network.params.get(f"{name}_hidden_dims", UpdateSize().hidden)) for name in ("actor", "critic")}
    if cfg.network.func not in _MLP or hidden["actor"] != hidden["critic"]:
        raise ConfigError(
            f"grail bench ppo compares networks `mlp` with the same layers for actor and critic; {cfg.task} has "
            f"{cfg.network.func} with {hidden['actor']} and {hidden['critic']}. Write network.params.actor_hidden_dims=[512,256,128] "
            "and critic_hidden_dims alike, or name another task"
        )
    return UpdateSize(num_envs=cfg.num_envs, num_steps=cfg.algorithm.num_steps_per_env, hidden=hidden["actor"])


def _conditions(task: BenchTask, size: UpdateSize) -> dict[str, Any]:
    algorithm = task.cfg.algorithm
    return {
        "num_envs": size.num_envs,
        "device": engine_device(task.cfg),
        "steps_per_iteration": size.num_steps,
        "hidden": list(size.hidden),
        "widths": size.widths,
        "epochs": algorithm.num_learning_epochs,
        "mini_batches": algorithm.num_mini_batches,
    }


def _waits(details: dict[str, float], conditions: dict[str, Any]) -> Row:
    theirs = details["rsl_rl_waits"]
    return Row(
        unit="per update",
        figure=Samples(name="host waits for the GPU", values=[details["waits"]]),
        reference=Samples(name="rsl_rl's", values=[theirs]) if theirs else None,  # a ratio to nothing says nothing
        goal=WAIT_GOAL,
        conditions=conditions,
    )
