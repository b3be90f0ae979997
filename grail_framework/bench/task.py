"""The task a benchmark runs on: composed and checked as `grail run` does, then built the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import torch

from grail_framework.config.hardware import GPU_ENGINE, plain_name
from grail_framework.learning.rng import seed_everything
from grail_framework.runs.assembly import build_env, engine_device, load_parts
from grail_framework.runs.demo_library import with_demo_library

if TYPE_CHECKING:
    from grail_framework.config import RunCfg
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.plugins.manager import GrailPluginManager
    from grail_framework.runs.assembly import RunParts

ACTION_SCALE = 0.05
"""Standard deviation of the actions that an environment is stepped with: an untrained policy's."""


@attrs.frozen(kw_only=True)
class BenchTask:
    """A checked configuration and how it is to be measured."""

    cfg: RunCfg
    manager: GrailPluginManager
    repeats: int = 5
    """How often each quantity is measured; the median counts. [-]"""
    steps: int = 20
    """Control steps in one measured block. [-]"""

    def settings(self) -> dict[str, Any]:
        """Return what was asked for, for the report."""
        cfg = self.cfg
        return {
            "task": cfg.task,
            "engine": cfg.engine.name,
            "physics": cfg.engine.physics if plain_name(cfg.engine.name) == GPU_ENGINE else None,
            "device": cfg.engine.device,
            "num_envs": cfg.num_envs,
            "seed": cfg.seed,
            "data": cfg.motion.data,
            "repeats": self.repeats,
            "steps": self.steps,
        }

    def conditions(self, **more: Any) -> dict[str, Any]:
        """Return the size that figure and reference of a row share."""
        return {"num_envs": self.cfg.num_envs, "engine": self.cfg.engine.name, "device": engine_device(self.cfg), **more}


def load_task(task: BenchTask) -> RunParts:
    """Seed everything, and load robot and motions.

    Raises:
        ConfigError: the engine cannot run on the device.
        DataError: the motion library is missing or lacks what the task needs.
    """
    seed_everything(task.cfg.seed)
    return load_parts(with_demo_library(task.cfg, task.manager.registry), task.manager)


def build_task(parts: RunParts) -> TrackingEnv:
    """Build engine and environment, and start every episode."""
    env = build_env(parts)
    env.reset()
    return env


def small_actions(env: TrackingEnv, count: int, seed: int) -> list[torch.Tensor]:
    """Draw so many actions (N, A) about zero."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(count, env.num_envs, env.num_actions, generator=generator) * ACTION_SCALE
    return list(draws.to(env.device).unbind(0))
