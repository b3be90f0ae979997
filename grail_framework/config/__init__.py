"""Configuration: attrs classes that a task fills in and a user overrides. Imports neither torch nor numpy."""

from grail_framework.config.learning import (
    CheckpointCfg,
    DistributedCfg,
    EvaluationCfg,
    LoggingCfg,
    NetworkCfg,
    PpoCfg,
)
from grail_framework.config.run import RunCfg
from grail_framework.config.scene import (
    CommandCfg,
    ContactSensorCfg,
    EngineCfg,
    MotionCfg,
    ObjectCfg,
    RobotCfg,
    SceneCfg,
    TableCfg,
)
from grail_framework.config.terms import (
    ActionCfg,
    ContactGate,
    CurriculumTermCfg,
    EventTermCfg,
    ObservationGroupCfg,
    ObservationTermCfg,
    RewardTermCfg,
    TerminationTermCfg,
    UniformNoise,
)

__all__ = [
    "ActionCfg",
    "CheckpointCfg",
    "CommandCfg",
    "ContactGate",
    "ContactSensorCfg",
    "CurriculumTermCfg",
    "DistributedCfg",
    "EngineCfg",
    "EvaluationCfg",
    "EventTermCfg",
    "LoggingCfg",
    "MotionCfg",
    "NetworkCfg",
    "ObjectCfg",
    "ObservationGroupCfg",
    "ObservationTermCfg",
    "PpoCfg",
    "RewardTermCfg",
    "RobotCfg",
    "RunCfg",
    "SceneCfg",
    "TableCfg",
    "TerminationTermCfg",
    "UniformNoise",
]
