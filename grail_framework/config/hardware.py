"""Which engine a machine can run, found out without importing torch or an engine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
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
_EXTRA: Final = {
    GPU_ENGINE: f"pip install 'grail-framework[isaaclab]', or use --engine {CPU_ENGINE}",
    CPU_ENGINE: "pip install mujoco",
}
_NONE_VISIBLE: Final = ("", "-1", "NoDevFiles")


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver is there and not hidden by CUDA_VISIBLE_DEVICES."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in _NONE_VISIBLE
    return not hidden and (Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None)


def gpu_count() -> int:
    """Return how many NVIDIA GPUs a process sees: the machine's, as far as CUDA_VISIBLE_DEVICES shows them."""
    if not has_nvidia_gpu():
        return 0
    there = _gpus_of_machine()
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        return there
    count = 0
    for name in shown.split(","):
        # As CUDA does: the first that does not exist ends the list. Other names than numbers are not looked up.
        if name.strip().isdecimal() and int(name) >= there:
            break
        count += 1
    return count


def driver_cuda() -> str | None:
    """Return the newest CUDA version that the NVIDIA driver runs, such as 13.0; None without a driver."""
    import ctypes

    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    number = ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(number)) != 0:
        return None
    return f"{number.value // 1000}.{number.value % 1000 // 10}"


def is_installed(package: str) -> bool:
    """Whether a top-level package can be imported; does not import it."""
    return find_spec(package) is not None


def platform_problem(engine: str) -> str:
    """Say why an engine cannot run on this platform; empty where it can."""
    here = f"{platform.system()} {platform.machine()}"
    if plain_name(engine) != GPU_ENGINE or (sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")):
        return ""
    return f"the engine {GPU_ENGINE} runs on Linux x86-64, and this is {here}"


def runs_on_cpu(engine: EngineCfg) -> bool:
    """Whether physics runs on the CPU, where far fewer environments pay off."""
    name = plain_name(engine.name)
    without_gpu = name == GPU_ENGINE and engine.device == "auto" and not has_nvidia_gpu()
    return name == CPU_ENGINE or engine.device == "cpu" or without_gpu


def plain_name(name: str) -> str:
    """A registry name without its plugin."""
    return name.rpartition(":")[2]


def resolve_engine(registry: Registry, engine: EngineCfg) -> tuple[str, tuple[str, ...]]:
    """Turn `auto` into an engine's name and check that a named one exists and can run here.

    Returns:
        The name, and what to tell the user.

    Raises:
        NotFoundError: no such engine; close matches are named.
        ConfigError: the engine is known, and this is no platform for it or its package is not installed.
    """
    name = engine.name
    if name != "auto":
        found = registry.find("engine", name)
        package = _PACKAGE.get(found.name)
        if found.plugin == "core" and package is not None:
            if problem := platform_problem(name):
                raise ConfigError(f"{problem}: use --engine {CPU_ENGINE}")
            if not is_installed(package):
                raise ConfigError(
                    f"engine {name!r} needs the package {package!r}, which is not installed: {_EXTRA[found.name]}"
                )
        return name, ()
    registry.find("engine", CPU_ENGINE)
    if engine.device == "cpu" or not has_nvidia_gpu():
        return CPU_ENGINE, ()
    lack = _lack_of_gpu_engine(registry)
    return (
        (CPU_ENGINE, (f"an NVIDIA GPU is there, but {lack}: physics runs on the CPU with mujoco",))
        if lack
        else (GPU_ENGINE, ())
    )


def _lack_of_gpu_engine(registry: Registry) -> str:
    if not any(entry.name == GPU_ENGINE for entry in registry.entries("engine")):
        return "no plugin provides the engine isaaclab"
    if problem := platform_problem(GPU_ENGINE):
        return problem
    return "" if is_installed(_PACKAGE[GPU_ENGINE]) else f"isaaclab is not installed ({_EXTRA[GPU_ENGINE]})"


def _gpus_of_machine() -> int:
    """Count the GPUs the driver offers to this process or container; at least 1, since a driver is there."""
    import subprocess

    try:
        answer = subprocess.run(("nvidia-smi", "-L"), capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        answer = ""
    listed = len(re.findall(r"^GPU \d+:", answer, re.MULTILINE))
    return listed or max(len(list(Path("/dev").glob("nvidia[0-9]*"))), 1)
