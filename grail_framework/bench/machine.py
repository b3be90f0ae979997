"""What a benchmark ran on: without it a figure says nothing."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import torch

_PACKAGES: Final = ("torch", "mujoco", "isaaclab", "newton", "warp-lang", "rsl-rl-lib")
_CPUINFO: Final = Path("/proc/cpuinfo")


def describe_machine() -> dict[str, str]:
    """Return processor, cores this process may use, GPU, versions (those that are installed) and the date."""
    found = {"cpu": processor(), "cores": str(_cores()), "gpu": _gpu(), "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {"date": datetime.now(UTC).strftime("%Y-%m-%d")}


def processor() -> str:
    """Name the processor's model, as far as the system tells it."""
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "none"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(names)
