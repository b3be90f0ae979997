"""What a run does until its first iteration is finished, without a run: afterwards the caches hold what it compiled."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from grail_framework.learning.distributed import make_accelerator
from grail_framework.learning.runner import OnPolicyRunner
from grail_framework.logging.stages import listening
from grail_framework.runs.assembly import build_env, build_network, load_parts
from grail_framework.runs.demo_library import with_demo_library

if TYPE_CHECKING:
    from grail_framework.config import RunCfg
    from grail_framework.logging.stages import StageListener
    from grail_framework.plugins.manager import GrailPluginManager


@attrs.frozen(kw_only=True)
class WarmUp:
    """What was compiled, and how long all of it took."""

    task: str
    engine: str
    device: str
    num_envs: int
    modules: int
    """Modules of kernels that were loaded; 0 for an engine that compiles nothing."""
    compiled: dict[str, float]
    """Those of them that were not in the cache -> how long their compiler took. [s]"""
    cache: str
    """Folder of compiled kernels; empty for an engine that compiles nothing."""
    duration_s: float
    """From loading the motions to the end of the first iteration. [s]"""


def warm_up(cfg: RunCfg, manager: GrailPluginManager, *, on_stage: StageListener) -> WarmUp:
    """Build environment and network of a checked configuration and train one iteration; nothing is written but caches.

    Raises:
        GrailError: anything wrong with data or configuration.
    """
    began = time.perf_counter()
    cfg = with_demo_library(cfg, manager.registry)
    on_stage("reading motions")
    parts = load_parts(cfg, manager)
    accelerator = make_accelerator(cpu=parts.device == "cpu", mixed_precision=cfg.algorithm.mixed_precision)
    on_stage(f"building {cfg.num_envs} environments ({cfg.engine.name})")
    with listening(on_stage):
        env = build_env(parts)
    try:
        on_stage("training one iteration")
        OnPolicyRunner(env, cfg, build_network(cfg, manager, env), accelerator).learn(1)
        # Only an engine that compiles has it.
        report = getattr(env.engine, "kernels", None)
        compiled: dict[str, float] = {}
        for module in () if report is None else report.compiled:
            compiled[module.name] = compiled.get(module.name, 0.0) + module.seconds
        return WarmUp(
            task=cfg.task,
            engine=cfg.engine.name,
            device=parts.device,
            num_envs=cfg.num_envs,
            modules=0 if report is None else report.loaded,
            compiled=compiled,
            cache="" if report is None else report.cache,
            duration_s=time.perf_counter() - began,
        )
    finally:
        env.close()
