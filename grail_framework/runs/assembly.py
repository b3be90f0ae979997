"""From a resolved configuration to the parts of a run: motions, environment, network. Names are resolved here, once."""

from __future__ import annotations

import inspect
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import torch

from grail_framework.config.hardware import CPU_ENGINE, plain_name
from grail_framework.envs.command import env_motion_ids
from grail_framework.envs.scene import scene_spec
from grail_framework.envs.terms import check_params
from grail_framework.envs.tracking_env import TrackingEnv
from grail_framework.errors import ConfigError
from grail_framework.learning.universal_token.imitation import JointTargets
from grail_framework.logging.run_log import ON_CONSOLE
from grail_framework.mdp.actions import AbsoluteAction
from grail_framework.motion.loading import load_library
from grail_framework.robots.lookup import find_robot
from grail_framework.runs.motion_check import check_motions
from grail_framework.runs.planned_motions import load_planned
from grail_framework.runs.usable_assets import with_usable_assets
from grail_framework.runs.width_check import check_widths

if TYPE_CHECKING:
    from grail_framework.config import RunCfg
    from grail_framework.learning.networks import ActorCritic
    from grail_framework.motion.library import MotionLibrary
    from grail_framework.plugins.manager import GrailPluginManager
    from grail_framework.plugins.results import TerrainPlan
    from grail_framework.robots.spec import RobotSpec

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True, eq=False)
class RunParts:
    """What several environments of one run share."""

    cfg: RunCfg
    manager: GrailPluginManager
    robot: RobotSpec
    motions: MotionLibrary
    device: str
    rank: int
    plan: TerrainPlan | None = None
    """Which motion each environment follows; None: environment k follows motion `k mod M`."""

    def motion_ids(self) -> tuple[int, ...]:
        """Return the motion of each environment of the configuration."""
        if self.plan is None:
            return env_motion_ids(self.cfg.num_envs, self.motions.num_motions)
        index = {key: position for position, key in enumerate(self.motions.keys)}
        return tuple(index[key] for key in self.plan.env_motion)


def engine_device(cfg: RunCfg, local_rank: int = 0) -> str:
    """Return the torch device the environment lives on.

    Raises:
        ConfigError: a GPU is asked for where there is none, or for an engine that runs on the CPU.
    """
    wanted = cfg.engine.device
    if plain_name(cfg.engine.name) == CPU_ENGINE:
        if wanted not in ("auto", "cpu"):
            raise ConfigError(f"engine.device={wanted}: the engine {CPU_ENGINE} runs on the CPU; use engine.device=cpu or auto")
        return "cpu"
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise ConfigError(f"engine.device={wanted}: no NVIDIA GPU is found by torch; use engine.device=cpu or auto")
    device = torch.device(f"cuda:{local_rank}" if wanted in ("auto", "cuda") else wanted)
    count = torch.cuda.device_count()
    if device.index >= count:
        raise ConfigError(
            f"engine.device={wanted}: {device} is meant for process {local_rank} of this machine, and torch sees {count} GPUs; start at "
            f"most {count} processes here, or name a GPU there is"
        )
    return str(device)


def load_parts(
    cfg: RunCfg,
    manager: GrailPluginManager,
    *,
    rank: int = 0,
    local_rank: int = 0,
    world_size: int = 1,
    plan: TerrainPlan | None = None,
) -> RunParts:
    """Load robot and motions, and check what only they can tell: all before the engine is imported.

    Args:
        cfg: the resolved configuration.
        manager: the loaded plugins.
        rank: of this process.
        local_rank: of this process among those of its machine.
        world_size: number of processes.
        plan: which motions the environments follow; None: what a plugin plans, if one does.

    Raises:
        AssetError: the robot's own file cannot be used.
        DataError: the motion library is missing, damaged or lacks what the task needs.
        EnvContractError: an observation group has another width than the configuration asserts.
    """
    registry = manager.registry
    robot = find_robot(cfg.robot, registry)
    device = engine_device(cfg, local_rank)
    readers = [entry.load()() for entry in registry.entries("motion_reader")]
    labeler = manager.contact_labels if manager.labels_contacts else None
    check = partial(manager.check_motions, cfg)
    if plan is None:
        plan = manager.discover_terrain(cfg, rank, world_size)
        _tell(plan)
    if plan is not None:
        motions, plan = load_planned(cfg, plan, robot, device=device, readers=readers, labeler=labeler, check=check)
        check_motions(cfg, motions)
        check_widths(cfg, robot, motions, registry, device=device)
        return RunParts(cfg=cfg, manager=manager, robot=robot, motions=motions, device=device, rank=rank, plan=plan)
    load = partial(
        load_library,
        robot=robot,
        device=device,
        need_object=cfg.scene.object is not None,
        need_table=cfg.scene.table is not None,
        readers=readers,
        need_hand_action=cfg.command.use_motion_hand_actions,
        labeler=labeler,
        rank=rank,
        world_size=world_size,
    )
    motions = with_usable_assets(cfg, load(cfg.motion), load, check)
    check_motions(cfg, motions)
    check_widths(cfg, robot, motions, registry, device=device)
    return RunParts(cfg=cfg, manager=manager, robot=robot, motions=motions, device=device, rank=rank)


def build_env(parts: RunParts, *, num_envs: int | None = None) -> TrackingEnv:
    """Build engine and environment.

    Args:
        parts: what the run shares.
        num_envs: instead of the configuration's, for a second, smaller environment; its environments follow the motions in turn.
    """
    cfg = parts.cfg if num_envs is None else attrs.evolve(parts.cfg, num_envs=num_envs)
    ids = parts.motion_ids() if num_envs is None else env_motion_ids(num_envs, parts.motions.num_motions)
    registry = parts.manager.registry
    spec = scene_spec(cfg, parts.robot, parts.motions, device=parts.device, motion_ids=ids)
    engine = registry.find("engine", cfg.engine.name).load()(spec)
    return TrackingEnv(cfg, engine, parts.motions, registry, seed=cfg.seed + parts.rank, motion_ids=ids)


def _tell(plan: TerrainPlan | None) -> None:
    for line in plan.notes if plan is not None else ():
        _log.info("%s", line, extra=ON_CONSOLE)
    for line in plan.warnings if plan is not None else ():
        _log.warning("%s", line)


def build_network(cfg: RunCfg, manager: GrailPluginManager, env: TrackingEnv) -> ActorCritic:
    """Build the actor-critic for the environment's observation and action widths.

    A factory with the parameter `observation_layout` is given the terms of every group, in order, with their widths; one with
    `joint_targets` what actions are to joints, None where that is no affine function of them.

    Raises:
        ConfigError: a parameter the network does not have.
    """
    factory = manager.registry.find("network", cfg.network.func).load()
    asked = inspect.signature(factory).parameters
    settings: dict[str, Any] = {
        "actor_obs_dim": env.observation_dims["policy"],
        "critic_obs_dim": env.observation_dims["critic"],
        "num_actions": env.num_actions,
        "init_noise_std": cfg.algorithm.init_noise_std,
        "min_noise_std": cfg.algorithm.min_noise_std,
        "max_noise_std": cfg.algorithm.max_noise_std,
    }
    if "joint_targets" in asked:
        action = env.action_term
        settings["joint_targets"] = JointTargets(*action.joint_targets) if isinstance(action, AbsoluteAction) else None
    if "observation_layout" in asked:
        settings["observation_layout"] = {name: dict(group.layout) for name, group in env.groups.items()}
    check_params(factory, "network", "network", cfg.network.func, cfg.network.params, supplied=tuple(settings))
    return factory(**settings, **cfg.network.params)
