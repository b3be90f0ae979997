"""Which engine a machine can run, found out without importing torch or an engine."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from grail_framework.config.scene import EngineCfg
from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from grail_framework.registry import Registry

CPU_ENGINE: Final = "mujoco"
GPU_ENGINE: Final = "isaaclab"
_PACKAGE: Final = {CPU_ENGINE: "mujoco", GPU_ENGINE: "isaaclab"}
_EXTRA: Final = {GPU_ENGINE: "pip install 'grail-framework[isaaclab]' (Linux)", CPU_ENGINE: "pip install mujoco"}


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver is there and not hidden by CUDA_VISIBLE_DEVICES."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1", "NoDevFiles")
    return not hidden and (Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None)


def is_installed(package: str) -> bool:
    """Whether a top-level package can be imported; does not import it."""
    return find_spec(package) is not None


def runs_on_cpu(engine: EngineCfg) -> bool:
    """Whether physics runs on the CPU, where far fewer environments pay off."""
    return plain_name(engine.name) == CPU_ENGINE or engine.device == "cpu"


def plain_name(name: str) -> str:
    """A registry name without its plugin."""
    return name.rpartition(":")[2]


def resolve_engine(registry: Registry, name: str) -> tuple[str, tuple[str, ...]]:
    """Turn `auto` into an engine's name and check that a named one exists.

    Returns:
        The name, and what to tell the user.

    Raises:
        NotFoundError: no such engine; close matches are named.
        ConfigError: the engine is known and its package is not installed.
    """
    if name != "auto":
        engine = registry.find("engine", name)
        package = _PACKAGE.get(engine.name)
        if engine.plugin == "core" and package is not None and not is_installed(package):
            raise ConfigError(f"engine {name!r} needs the package {package!r}, which is not installed: {_EXTRA[engine.name]}")
        return name, ()
    if not has_nvidia_gpu():
        registry.find("engine", CPU_ENGINE)
        return CPU_ENGINE, ()
    if any(entry.name == GPU_ENGINE for entry in registry.entries("engine")):
        if is_installed(_PACKAGE[GPU_ENGINE]):
            return GPU_ENGINE, ()
        note = (
            f"an NVIDIA GPU is there, but isaaclab is not installed ({_EXTRA[GPU_ENGINE]}): physics runs on the CPU with mujoco"
        )
    else:
        note = "an NVIDIA GPU is there, but no plugin provides the engine isaaclab: physics runs on the CPU with mujoco"
    registry.find("engine", CPU_ENGINE)
    return CPU_ENGINE, (note,)
