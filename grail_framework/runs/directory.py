"""The run directory: where it is, what lies in it, and its manifest. Imports no torch."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import yaml

from grail_framework import PLUGIN_API, __version__
from grail_framework.errors import CheckpointError, ConfigError
from grail_framework.runs.atomic import check_writable, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LAST_LINK = "last.pt"
_STEP = re.compile(r"model_step_(\d+)\.pt")
_VERSIONS = ("torch", "accelerate", "mujoco", "numpy", "attrs", "isaaclab", "newton", "warp-lang")
_SECRET_NAME = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)


@attrs.frozen
class RunDirectory:
    """Paths of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def meta(self) -> Path:
        """The manifest."""
        return self.path / "meta.yaml"

    @property
    def metrics(self) -> Path:
        """One JSON object per iteration."""
        return self.path / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """What the framework logged."""
        return self.path / "run.log"

    @property
    def last(self) -> Path:
        """Link to the newest whole checkpoint."""
        return self.path / LAST_LINK

    def step(self, iteration: int) -> Path:
        """Return the checkpoint's path of an iteration."""
        return self.path / f"model_step_{iteration:06d}.pt"

    def holds_a_run(self) -> bool:
        """Tell whether a run has left a configuration or checkpoints here."""
        return self.config.exists() or self.last.exists() or bool(list_checkpoints(self.path))


def list_checkpoints(directory: Path) -> list[tuple[int, Path]]:
    """List (iteration, path) of the checkpoints of a run directory, oldest first."""
    found = [(int(match[1]), path) for path in directory.glob("model_step_*.pt") if (match := _STEP.fullmatch(path.name))]
    return sorted(found)


def step_of(checkpoint: Path) -> int | None:
    """Iteration of a checkpoint by its name or its link's target; None where neither says it."""
    found = _STEP.fullmatch(checkpoint.resolve().name)
    return int(found[1]) if found else None


def last_checkpoint(directory: Path, flag: str) -> Path:
    """Return the link to the newest checkpoint of a run directory; `flag` is the option that asks for it.

    Raises:
        CheckpointError: there is none; what there is, and what to do, are said.
    """
    last = RunDirectory(directory).last
    if last.exists():
        return last
    whole = list_checkpoints(directory)
    dangling = f"; {LAST_LINK} points to {last.readlink()}, which is gone" if last.is_symlink() else ""
    if whole:
        raise CheckpointError(
            f"{flag}: {directory} has no {LAST_LINK}{dangling}. It holds {', '.join(path.name for _, path in whole[-3:])}: write "
            f"--checkpoint {whole[-1][1]}"
        )
    ended = "; its run ended before the first one: remove the folder and start again without --resume"
    raise CheckpointError(
        f"{flag}: {directory} holds no checkpoint{dangling}, allowed: a *.pt file or a run directory with {LAST_LINK}"
        f"{ended if RunDirectory(directory).holds_a_run() else ''}"
    )


def run_directory_path(
    *, project: str, config_path: str, name: str, experiment_dir: str | None = None, root: Path = Path("logs_rl")
) -> Path:
    """Return where a run goes: `experiment_dir`, else `<root>/<project>/<config_path>/<name>-<YYYYmmdd_HHMMSS>`, free so far."""
    if experiment_dir is not None:
        return Path(experiment_dir)
    stamp = datetime.now().strftime("%Y%m%d_%H%M%S")
    path = root / project / config_path / f"{re.sub(r'[^\w.-]', '_', name)}-{stamp}"
    attempt, free = 1, path
    while free.exists():  # two runs started in one second
        attempt += 1
        free = path.with_name(f"{path.name}_{attempt}")
    return free


def open_run_directory(path: Path, *, resume: bool) -> RunDirectory:
    """Create the run directory, on the main process only.

    Raises:
        ConfigError: it holds a run already and this is no resume, or it cannot be written.
    """
    directory = RunDirectory(path)
    if directory.holds_a_run() and not resume:
        raise ConfigError(f"{path} already holds a run; continue it with --resume, or choose another experiment_dir")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the run directory {path} cannot be created ({error.strerror}); choose another experiment_dir"
        ) from error
    try:
        check_writable(path)
    except OSError as error:
        raise ConfigError(_not_writable(path, error)) from error
    return directory


def save_config(directory: RunDirectory, config: Mapping[str, Any]) -> None:
    """Write the resolved configuration (plain values) as `config.yaml`.

    Raises:
        ConfigError: it cannot be written; the file is as it was.
    """
    _save(directory.config, config)


def save_meta(directory: RunDirectory, meta: Mapping[str, Any]) -> None:
    """Write the manifest (plain values) as `meta.yaml`.

    Raises:
        ConfigError: it cannot be written; the file is as it was.
    """
    _save(directory.meta, meta)


def _save(path: Path, content: Mapping[str, Any]) -> None:
    try:
        write_atomically(path, yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True))
    except OSError as error:
        raise ConfigError(_not_writable(path, error)) from error


def _not_writable(path: Path, error: OSError) -> str:
    return f"{path} cannot be written ({error.strerror}); make room or make it writable, or choose another experiment_dir"


def build_meta(
    *,
    task: str,
    config_digest: str,
    plugins: Sequence[Mapping[str, str]],
    argv: Sequence[str] | None = None,
    world_size: int = 1,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the manifest of a run that starts now; `plugins` are {name, version, target} each. Values of secrets are left out."""
    return {
        "task": task,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "grail_framework": __version__,
        "plugin_api": list(PLUGIN_API),
        "config_digest": config_digest,
        "plugins": [dict(plugin) for plugin in plugins],
        "argv": redact(sys.argv[1:] if argv is None else argv),
        "world_size": world_size,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": _versions(),
        "git_commit": _git_commit(),
        **(extra or {}),
    }


def redact(argv: Sequence[str]) -> list[str]:
    """Return the arguments with the values of those named like a secret replaced by `***`."""
    shown: list[str] = []
    hide_next = False
    for argument in argv:
        name, equals, _ = argument.partition("=")
        secret = _SECRET_NAME.search(name) is not None and (equals == "=" or name.startswith("-"))
        if hide_next and not argument.startswith("-"):
            shown.append("***")
        else:
            shown.append(f"{name}=***" if secret and equals else argument)
        hide_next = secret and not equals
    return shown


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    answer = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=10)
    return answer.stdout.strip() if answer.returncode == 0 else None
