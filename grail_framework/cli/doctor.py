"""`grail doctor`: versions, GPU, plugins, and what plugins themselves check."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, Final

import click

from grail_framework import PLUGIN_API, __version__
from grail_framework.cli.render import Row, show_table
from grail_framework.config.distributions import (
    ISAACLAB,
    PHYSICS,
    describe,
    install_line,
    installed_version,
    physics_mismatches,
    torch_cuda,
    version_mismatches,
)
from grail_framework.config.hardware import GPU_ENGINE, driver_cuda, platform_problem
from grail_framework.errors import EXIT_PLUGIN
from grail_framework.plugins.compat import format_version

if TYPE_CHECKING:
    from grail_framework.cli.state import CliState

_PACKAGES: Final = (
    "torch",
    "mujoco",
    "numpy",
    "accelerate",
    "hydra-core",
    "attrs",
    "click",
    "pluggy",
    "rich",
    "tensorboard",
    "wandb",
    "isaaclab",
    "newton",
    "warp-lang",
    "mujoco-warp",
)
_GPU_QUERY: Final = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")


@click.command()
@click.pass_obj
def doctor(state: CliState) -> None:
    """Check this installation.

    Exits with 3 when a plugin does not load or a check is not ok.
    """
    manager = state.catalogue
    for name, value in _versions().items():
        click.echo(f"{name:14} {value}")
    click.echo()
    rows = [
        Row((f"plugin {r.name}", r.status.value, "; ".join(filter(None, (r.reason, *r.notes))), r.hint), r.status.is_problem)
        for r in manager.records
    ]
    checks = manager.health_checks()
    rows += [
        Row(
            (f"{plugin}: {check.name}", "ok" if check.ok else "not ok", check.detail, "" if check.ok else check.fix),
            not check.ok,
        )
        for plugin, check in checks
    ]
    rows += [Row((f"physics {name}", *_physics(name))) for name in PHYSICS]
    show_table(("Check", "Status", "Found", "What to do"), rows)
    for line in manager.unknown_names():
        click.echo(f"warning: {line}")
    if any(row.problem for row in rows):
        raise click.exceptions.Exit(EXIT_PLUGIN)


def _versions() -> dict[str, str]:
    found = {
        "grail-framework": f"{__version__} (plugin API {format_version(PLUGIN_API)})",
        "python": f"{platform.python_version()} at {sys.executable}",
        "platform": platform.platform(),
        "GPU": _gpus(),
        "CUDA": f"driver: {driver_cuda() or 'none'}, torch: {torch_cuda() or 'none'}",
    }
    for name in _PACKAGES:
        found[name] = installed_version(name) or "not installed"
    return found


def _physics(name: str) -> tuple[str, str, str]:
    """Say whether a physics backend of the engine isaaclab can be used, why not, and what to do."""
    if problem := platform_problem(GPU_ENGINE):
        return "not usable", problem, "use --engine mujoco"
    if installed_version(ISAACLAB) is None:
        return "not usable", "isaaclab is not installed", "pip install 'grail-framework[isaaclab]'"
    lacks = [*version_mismatches(), *physics_mismatches(name)]
    return ("not usable", describe(lacks), install_line(lacks)) if lacks else ("usable", "", "")


def _gpus() -> str:
    import subprocess

    try:
        answer = subprocess.run(_GPU_QUERY, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        return "none (no nvidia-smi)"
    except subprocess.TimeoutExpired:
        return "nvidia-smi does not answer"
    if answer.returncode != 0:
        return f"nvidia-smi failed: {(answer.stderr or answer.stdout).strip()}"
    return "; ".join(answer.stdout.strip().splitlines()) or "none"
