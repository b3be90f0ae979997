"""Asserted widths of observation groups, measured in one environment without physics: before an engine is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch

from grail_framework.engine.kinematic import KinematicEngine
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.tracking_env import TrackingEnv

if TYPE_CHECKING:
    from grail_framework.config import RunCfg
    from grail_framework.motion.library import MotionLibrary
    from grail_framework.registry import Registry
    from grail_framework.robots.spec import RobotSpec


def check_widths(cfg: RunCfg, robot: RobotSpec, motions: MotionLibrary, registry: Registry, *, device: str) -> None:
    """Compute every observation once, if any group asserts its width.

    A term's width is known only once it has been computed: it follows from the robot, the scene's sensors and the terms' parameters,
    all of which are the run's own here. Random numbers of the run stay as they are.

    Raises:
        EnvContractError: a group has another width than it asserts, or a term returned no vector.
        GrailError: what else building the environment would say of the terms, the action or the scene.
    """
    if all(group.width is None for group in cfg.observations.values()):
        return
    alone = attrs.evolve(
        cfg,
        num_envs=1,
        command=attrs.evolve(cfg.command, start_from_first_frame=True, sample_before_contact=False),
        rewards={},
        terminations={},
        events={},
        curriculums={},
    )
    spec = scene_spec(alone, robot, motions, device=device, motion_ids=(0,))
    with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []):
        TrackingEnv(alone, KinematicEngine(spec), motions, registry, capture=False, motion_ids=(0,))
