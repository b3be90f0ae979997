"""Every check that can be made before the engine is imported: a mistake should cost a second, not a minute."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grail_framework.config.consistency import check_consistency
from grail_framework.config.hardware import is_installed
from grail_framework.errors import AssetError, CheckpointError, ConfigError
from grail_framework.runs.data_check import check_data, missing_path
from grail_framework.runs.directory import RunDirectory, last_checkpoint, list_checkpoints, step_of
from grail_framework.runs.engine_check import check_engine
from grail_framework.runs.robot_check import check_robot
from grail_framework.runs.term_check import check_terms

if TYPE_CHECKING:
    from grail_framework.config import RunCfg
    from grail_framework.registry import Registry

_NO_CHECKPOINT: Final = (".yaml", ".yml", ".json", ".jsonl", ".log", ".onnx", ".pkl", ".npz", ".csv", ".txt", ".py")


def preflight(cfg: RunCfg, registry: Registry) -> list[str]:
    """Check a resolved configuration against the registry and this machine; imports terms, never an engine.

    Returns:
        What the user should know, a sentence each.

    Raises:
        ConfigError: fields that contradict each other or this machine.
        DataError: a folder or file of the motion library, or the robot's own file, that is missing or not the one meant.
        CheckpointError: a checkpoint that is not there.
        NotFoundError: a name that nothing registered.
    """
    warnings = [*check_consistency(cfg), *check_engine(cfg.engine, registry)]
    _check_machine(cfg, registry)
    _check_run_directory(cfg)
    _check_start(cfg)
    warnings += check_data(cfg, registry)
    check_terms(cfg, registry)
    return warnings


def _check_machine(cfg: RunCfg, registry: Registry) -> None:
    check_robot(cfg, registry)
    if cfg.robot.asset is not None and not (asset := Path(cfg.robot.asset).expanduser()).exists():
        raise AssetError(missing_path(asset, "robot.asset"))
    for writer in cfg.logging.writers:
        registry.find("writer", writer)
    if cfg.logging.wandb and not is_installed("wandb"):
        raise ConfigError(
            "logging.wandb: got true, and the package wandb is not installed. Install 'grail-framework[wandb]', or write "
            "logging.wandb=false"
        )


def _check_run_directory(cfg: RunCfg) -> None:
    directory = Path("logs_rl" if cfg.experiment_dir is None else cfg.experiment_dir)
    if cfg.experiment_dir == "":
        raise ConfigError("--experiment-dir: got an empty path; is the shell variable in it set?")
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"--experiment-dir: {directory} is a file, allowed: a folder, or a path that does not exist yet")
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ConfigError(f"--experiment-dir: {existing} is a file, so {directory} cannot be made in it")
    if not os.access(existing, os.W_OK):
        raise ConfigError(f"--experiment-dir: {existing} is not writable. Name another with --experiment-dir DIR")
    if cfg.experiment_dir is not None and not cfg.resume and RunDirectory(directory).holds_a_run():
        if list_checkpoints(directory) or RunDirectory(directory).last.exists():
            raise ConfigError(
                f"--experiment-dir: {directory} already holds a run. Add --resume to go on with it, or name another folder"
            )
        raise ConfigError(
            f"--experiment-dir: {directory} holds a run that ended before its first checkpoint. Remove it, or name another folder"
        )


def _check_start(cfg: RunCfg) -> None:
    """Check where the run starts from: nothing, weights, a warm resume, or its own last checkpoint."""
    if cfg.checkpoint is None:
        if not cfg.resume:
            return
        if cfg.experiment_dir is None:
            raise ConfigError("--resume: resumes what? Add --experiment-dir RUN to go on with a run, or --checkpoint FILE")
        directory = Path(cfg.experiment_dir)
        if not directory.exists():
            raise CheckpointError(missing_path(directory, "--experiment-dir"))
        checkpoint = last_checkpoint(directory, "--resume")
    else:
        checkpoint = resolve_checkpoint(cfg.checkpoint)
    same = cfg.experiment_dir is not None and checkpoint.parent.resolve() == Path(cfg.experiment_dir).resolve()
    if cfg.resume and not same and cfg.experiment_dir is not None and RunDirectory(Path(cfg.experiment_dir)).holds_a_run():
        raise ConfigError(
            f"--experiment-dir: {cfg.experiment_dir} already holds a run, and --resume with {checkpoint} would begin another in it at "
            "iteration 0. Leave out --checkpoint to go on with it, or name another folder"
        )
    step = step_of(checkpoint)
    if cfg.resume and same and step is not None and step >= cfg.iterations:
        raise ConfigError(
            f"--iterations: got {cfg.iterations}, and {checkpoint} is already at iteration {step}. It is the total, those before "
            f"the resume included: write more than {step}"
        )


def resolve_checkpoint(text: str) -> Path:
    """Find the checkpoint file that a file or run directory means.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(text)
    if not text:
        raise CheckpointError("--checkpoint: got an empty path; is the shell variable in it set?")
    if not path.exists():
        raise CheckpointError(missing_path(path, "--checkpoint"))
    if path.is_dir():
        return last_checkpoint(path, "--checkpoint")
    if path.suffix in _NO_CHECKPOINT:
        raise CheckpointError(f"--checkpoint: got {path}, allowed: a checkpoint (*.pt) or a run directory")
    if path.stat().st_size == 0:
        raise CheckpointError(f"--checkpoint: {path} is empty; was the disk full? Take an older one beside it")
    return path
