"""Whether this machine and its packages can run the chosen engine, asked before any of it is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grail_framework.config.distributions import (
    describe,
    install_line,
    installed_version,
    physics_mismatches,
    torch_cuda,
    version_mismatches,
)
from grail_framework.config.hardware import CPU_ENGINE, GPU_ENGINE, driver_cuda, gpu_count, has_nvidia_gpu, plain_name
from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from grail_framework.config.scene import EngineCfg
    from grail_framework.registry import Registry


def check_engine(engine: EngineCfg, registry: Registry) -> list[str]:
    """Check a settled engine, its device and its physics against this machine.

    Returns:
        What the user should know, a sentence each.

    Raises:
        ConfigError: no such GPU, or packages that are missing or of another version than the engine wants.
        NotFoundError: no such engine.
    """
    entry = registry.find("engine", engine.name)
    _check_device(engine)
    if entry.plugin != "core" or entry.name != GPU_ENGINE:
        unused = engine.physics != "newton"
        return [f"engine.physics={engine.physics} has no effect: the engine is {plain_name(engine.name)}"] if unused else []
    _check_versions()
    _check_physics(engine.physics)
    if engine.device != "cpu" and has_nvidia_gpu():
        _check_cuda(engine.device)
    return []


def _check_device(engine: EngineCfg) -> None:
    device = engine.device
    if not device.startswith("cuda"):
        return
    if not has_nvidia_gpu():
        raise ConfigError(f"engine.device: got {device!r}, and there is no NVIDIA GPU here. Allowed: auto, cpu (--device cpu)")
    if plain_name(engine.name) == CPU_ENGINE:
        raise ConfigError(
            f"engine.device: got {device!r}, allowed for the engine {CPU_ENGINE}: auto, cpu. What runs on a GPU is --engine {GPU_ENGINE}"
        )
    index = int(device.partition(":")[2] or 0)
    # Counting costs a call of nvidia-smi, and one GPU is there.
    if index > 0 and index >= (count := gpu_count()):
        allowed = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise ConfigError(
            f"engine.device: got {device!r}, and {count} NVIDIA GPUs are visible here. Allowed: auto, cpu, {allowed}"
        )


def _check_versions() -> None:
    mismatches = version_mismatches()
    if mismatches:
        raise ConfigError(
            f"engine {GPU_ENGINE}: {describe(mismatches)}. Mend it with {install_line(mismatches)}, or use "
            f"--engine {CPU_ENGINE}"
        )


def _check_physics(physics: str) -> None:
    mismatches = physics_mismatches(physics)
    if mismatches:
        raise ConfigError(
            f"engine.physics: got {physics!r}, and {describe(mismatches)}. Mend it with "
            f"{install_line(mismatches)}, or use --physics newton"
        )


def _check_cuda(device: str) -> None:
    """Demand a torch that is built for CUDA, and a driver that runs that version."""
    built, offered = torch_cuda(), driver_cuda()
    found = f"torch {installed_version('torch')}"
    if built is None:
        raise ConfigError(
            f"engine.device: got {device!r} on a machine with an NVIDIA GPU, and {found} is a build for the CPU. Install the build of "
            "the same version for CUDA, or use --device cpu"
        )
    if offered is not None and int(built.partition(".")[0]) > int(offered.partition(".")[0]):
        raise ConfigError(
            f"engine.device: got {device!r}, and {found} is built for CUDA {built}, while the NVIDIA driver runs CUDA {offered} at "
            f"most. Install a newer driver, or torch's build for CUDA {offered.partition('.')[0]}, or use --device cpu"
        )
