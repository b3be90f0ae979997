"""The root of the configuration: everything a run is made of, resolved and saved as `config.yaml`."""

from __future__ import annotations

from typing import Any

import attrs

from grail_framework.config.learning import (
    CheckpointCfg,
    DistributedCfg,
    EvaluationCfg,
    LoggingCfg,
    NetworkCfg,
    PpoCfg,
)
from grail_framework.config.scene import CommandCfg, EngineCfg, MotionCfg, RobotCfg, SceneCfg
from grail_framework.config.terms import (
    ActionCfg,
    CurriculumTermCfg,
    EventTermCfg,
    ObservationGroupCfg,
    RewardTermCfg,
    TerminationTermCfg,
)
from grail_framework.config.validators import at_least


@attrs.frozen(kw_only=True)
class RunCfg:
    """One training run. A task is a function that returns one of these; overrides and options change it."""

    task: str
    """Qualified name of the task."""
    summary: str = ""
    """One line on what is trained."""
    project: str = "GRAIL"
    """First folder of the run directory, and the W&B project."""
    config_path: str = "manager"
    """Second part of the run directory, as the release names its experiments."""
    experiment_dir: str | None = None
    """The run directory; None: `logs_rl/<project>/<config_path>/<name>-<timestamp>`."""
    num_envs: int = attrs.field(default=4096, validator=at_least(1))
    """Environments per process. [-]"""
    num_envs_cpu: int = attrs.field(default=64, validator=at_least(1))
    """Used instead of num_envs on a CPU engine when the user names no number. [-]"""
    iterations: int = attrs.field(default=20000, validator=at_least(1))
    """Total number of learning iterations, those before a resume included. [-]"""
    seed: int = attrs.field(default=0, validator=at_least(0))
    """Seed of every random generator; each process adds its rank. [-]"""
    checkpoint: str | None = None
    """Checkpoint file, or run directory, to start from; None: fresh, or the run directory's own on a resume."""
    resume: bool = False
    """Restore optimiser and learning rate too, and in the same run directory everything."""

    scene: SceneCfg = attrs.field(factory=SceneCfg)
    """What stands in every environment."""
    engine: EngineCfg = attrs.field(factory=EngineCfg)
    """Which engine simulates."""
    robot: RobotCfg = attrs.field(factory=RobotCfg)
    """Which robot."""
    motion: MotionCfg = attrs.field(factory=MotionCfg)
    """Which motions."""
    command: CommandCfg = attrs.field(factory=CommandCfg)
    """How the reference is followed."""
    action: ActionCfg
    """How the policy acts."""
    observations: dict[str, ObservationGroupCfg]
    """Observation groups; `policy` feeds the actor, `critic` the critic."""
    rewards: dict[str, RewardTermCfg]
    """Reward terms."""
    terminations: dict[str, TerminationTermCfg]
    """Termination terms."""
    events: dict[str, EventTermCfg] = attrs.field(factory=dict)
    """Disturbances and randomisation."""
    curriculums: dict[str, CurriculumTermCfg] = attrs.field(factory=dict)
    """Curricula."""
    network: NetworkCfg = attrs.field(factory=NetworkCfg)
    """The actor-critic."""
    algorithm: PpoCfg = attrs.field(factory=PpoCfg)
    """PPO."""
    safe_nan: bool = True
    """Reset environments whose state, observation or reward is not finite or above 1e6, instead of stopping."""
    logging: LoggingCfg = attrs.field(factory=LoggingCfg)
    """Writers."""
    checkpoints: CheckpointCfg = attrs.field(factory=CheckpointCfg)
    """Checkpoint schedule."""
    evaluation: EvaluationCfg = attrs.field(factory=EvaluationCfg)
    """Short evaluation of a run."""
    distributed: DistributedCfg = attrs.field(factory=DistributedCfg)
    """Multi-process settings."""
    presets: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    """What a preset (`--preset`) changes in this task beyond its own values, by the preset's name: overrides in Hydra's grammar."""
    extra: dict[str, Any] = attrs.field(factory=dict)
    """Sections of plugins, by plugin name; typed by the class the plugin registered."""
