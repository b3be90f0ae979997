"""Checkpoints in the GRAIL release's schema for tests: tensors, and pickled objects of classes that are gone when they are read."""

from __future__ import annotations

import enum
import pathlib
import sys
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import yaml

from grail_framework.learning.bundles import CHECKPOINT, MODEL_CONFIG, POLICY, VALUE, release_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

STATE_CLASS = "trl.experimental.ppo.ppo_trainer.OnlineTrainerState"
ARGS_CLASS = "gear_sonic.trl.utils.common.TrainingConfig"
STRATEGY_CLASS = "transformers.trainer_utils.IntervalStrategy"
"""What the files name beyond torch's own."""


def write_release_bundle(
    folder: Path,
    policy: Mapping[str, torch.Tensor],
    value: Mapping[str, torch.Tensor] | None,
    *,
    optimizer: Mapping[str, Any] | None = None,
    learning_rate: float = 2e-5,
    global_step: int = 6000,
    model_config: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write `last.pt` as the release's trainer does, with its `state` and `args`, and `model_config.yaml` if it is given.

    Args:
        folder: made if it does not exist.
        policy: the actor's parameters by the framework's names.
        value: the critic's; None as where a policy was distilled.
        optimizer: state dict of its AdamW, as is.
        learning_rate: what `args` records.
        global_step: what `state` records.
        model_config: content of the file; None writes none.
        extra: keys added to the file or replacing its own.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CHECKPOINT
    with foreign_classes() as made:
        args = made[ARGS_CLASS]()
        args.learning_rate = learning_rate
        args.output_dir = pathlib.PurePosixPath("logs_rl/x")
        args.eval_strategy = made[STRATEGY_CLASS].STEPS
        args.device = torch.device("cuda", 0)
        state = made[STATE_CLASS]()
        state.__dict__.update(global_step=global_step, epoch=None, stateful_callbacks={}, cur_reward_sum=torch.zeros(4, 1))
        content = {
            POLICY: release_names(policy, POLICY),
            VALUE: None if value is None else release_names(value, VALUE),
            "optimizer_state_dict": None if optimizer is None else dict(optimizer),
            "lr_scheduler_state_dict": {"base_lrs": [learning_rate], "last_epoch": global_step, "lr_lambdas": [{}]},
            "state": state,
            "args": args,
            "env_state_dict": {"motion_lib": {"sampling_prob": torch.ones(3) / 3}},
            **(extra or {}),
        }
        torch.save(content, path)
    if model_config is not None:
        (folder / MODEL_CONFIG).write_text(yaml.safe_dump(dict(model_config)))
    return path


@contextmanager
def foreign_classes() -> Iterator[dict[str, type[Any]]]:
    """Let the classes that the release's files name exist for the length of a block; modules that were there come back after it."""
    classes: dict[str, type[Any]] = {STATE_CLASS: type("x", (), {}), ARGS_CLASS: type("x", (), {})}
    classes[STRATEGY_CLASS] = enum.Enum("x", {"NO": "no", "STEPS": "steps"})  # pyright: ignore[reportArgumentType]
    with modules_of(classes):
        yield classes


@contextmanager
def modules_of(classes: Mapping[str, type[Any]]) -> Iterator[None]:
    """Let classes be importable by their full names for the length of a block."""
    names = {".".join(full.split(".")[:depth]) for full in classes for depth in range(1, full.count(".") + 1)}
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update({name: types.ModuleType(name) for name in names})
    for full, cls in classes.items():
        module, _, name = full.rpartition(".")
        cls.__module__, cls.__qualname__, cls.__name__ = module, name, name
        setattr(sys.modules[module], name, cls)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
