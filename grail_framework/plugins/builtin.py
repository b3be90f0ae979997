"""The core's own features, registered through the hooks that third parties use."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from grail_framework import __version__
from grail_framework.plugins.builtin_observations import OBSERVATIONS
from grail_framework.plugins.markers import hookimpl
from grail_framework.plugins.records import PluginRecord

if TYPE_CHECKING:
    from grail_framework.plugins.results import HealthCheck
    from grail_framework.registry import Registrar

grail_api = ">=1,<2"

NAME: Final = "core"
"""Plugin name of the core: `core:motion_tracking` is its task."""

# Name -> (target, summary).
_TASKS: Final[dict[str, tuple[str, str]]] = {
    "motion_tracking": ("grail_framework.tasks.motion_tracking:motion_tracking", "Follow a robot motion, without any object"),
    "motion_base": ("grail_framework.tasks.motion_base:motion_base", "Follow a robot motion with a base policy of tokens"),
}
_ROBOTS: Final[dict[str, tuple[str, str]]] = {
    "g1_43dof": ("grail_framework.robots.g1:g1_43dof", "Unitree G1 with two three-finger hands, 43 joints"),
    "g1_29dof": ("grail_framework.robots.g1:g1_29dof", "Unitree G1 with rubber hands, 29 joints"),
}
_ENGINES: Final[dict[str, tuple[str, str]]] = {
    "mujoco": ("grail_framework.engine.mujoco.engine:build", "MuJoCo on the CPU, in a pool of threads"),
    "isaaclab": ("grail_framework.engine.isaaclab.engine:build", "Isaac Lab on an NVIDIA GPU, or slowly on the CPU"),
}
_REWARDS: Final[dict[str, tuple[str, str]]] = {
    "tracking_anchor_pos": (
        "grail_framework.mdp.rewards:tracking_anchor_pos",
        "Reward the anchor body for being at its reference position",
    ),
    "tracking_anchor_ori": (
        "grail_framework.mdp.rewards:tracking_anchor_ori",
        "Reward the anchor body for its reference orientation",
    ),
    "tracking_relative_body_pos": (
        "grail_framework.mdp.rewards:tracking_relative_body_pos",
        "Reward the tracked bodies for their re-anchored reference positions",
    ),
    "tracking_relative_body_ori": (
        "grail_framework.mdp.rewards:tracking_relative_body_ori",
        "Reward the tracked bodies for their re-anchored reference orientations",
    ),
    "tracking_relative_body_ori_weighted": (
        "grail_framework.mdp.rewards:tracking_relative_body_ori_weighted",
        "Like `tracking_relative_body_ori` with a weight per body",
    ),
    "tracking_body_linvel": (
        "grail_framework.mdp.rewards:tracking_body_linvel",
        "Reward the tracked bodies for their reference linear velocities",
    ),
    "tracking_body_angvel": (
        "grail_framework.mdp.rewards:tracking_body_angvel",
        "Reward the tracked bodies for their reference angular velocities",
    ),
    "undesired_contacts": (
        "grail_framework.mdp.rewards:undesired_contacts",
        "Count the links of a contact sensor whose net force exceeds the threshold [N]",
    ),
    "is_terminated": ("grail_framework.mdp.rewards:is_terminated", "Give 1 where the episode ended by a failure in this step"),
}
_TERMINATIONS: Final[dict[str, tuple[str, str]]] = {
    "anchor_pos": (
        "grail_framework.mdp.terminations:anchor_pos",
        "End where the anchor body's height is further than the threshold [m] from the reference",
    ),
    "anchor_ori": (
        "grail_framework.mdp.terminations:anchor_ori",
        "End where the squared angle between anchor body and reference exceeds the threshold [rad^2]",
    ),
    "ee_body_pos": (
        "grail_framework.mdp.terminations:ee_body_pos",
        "End where an end effector's height is further than the threshold [m] from the re-anchored reference",
    ),
    "anchor_pos_adaptive": (
        "grail_framework.mdp.terminations:anchor_pos_adaptive",
        "`anchor_pos` with a threshold that is loosened while the reference is low",
    ),
    "ee_body_pos_adaptive": (
        "grail_framework.mdp.terminations:ee_body_pos_adaptive",
        "`ee_body_pos` with a threshold that is loosened while the reference is low",
    ),
    "foot_pos_xyz": (
        "grail_framework.mdp.terminations:foot_pos_xyz",
        "End where a foot is further than a threshold from its re-anchored reference",
    ),
    "object_pos_deviation": (
        "grail_framework.mdp.terminations:object_pos_deviation",
        "End where the object is further than the threshold [m] from its reference position",
    ),
    "object_z_pos_deviation": (
        "grail_framework.mdp.terminations:object_z_pos_deviation",
        "End where the object's height is further than the threshold [m] from the reference",
    ),
    "tracking_time_out": (
        "grail_framework.mdp.terminations:tracking_time_out",
        "End where the current frame is the motion's last",
    ),
}
_EVENTS: Final[dict[str, tuple[str, str]]] = {
    "push_robot": ("grail_framework.mdp.events:push_robot", "Add a random velocity to the robot's root"),
    "joint_default_pos": ("grail_framework.mdp.events:joint_default_pos", "Shift what counts as zero of every joint"),
    "physics_material": ("grail_framework.mdp.events:physics_material", "Friction and restitution of the robot's surfaces"),
    "body_com": ("grail_framework.mdp.events:body_com", "Shift the centre of mass of some bodies"),
    "body_mass": ("grail_framework.mdp.events:body_mass", "Scale the mass and inertia of some bodies"),
}
_CURRICULUMS: Final[dict[str, tuple[str, str]]] = {
    "reward_weight": ("grail_framework.mdp.curriculums:reward_weight", "Move the weight of a reward linearly over iterations"),
}
_ACTIONS: Final[dict[str, tuple[str, str]]] = {
    "joint_position": (
        "grail_framework.mdp.actions:joint_position",
        "Move the joints that motions describe about the default pose: target = default + scale * action",
    ),
    "joint_residual": (
        "grail_framework.mdp.actions:joint_residual",
        "Move the joints about the reference: target = reference joint + scale * action, hands by one primitive each",
    ),
}
_NETWORKS: Final[dict[str, tuple[str, str]]] = {
    "mlp": ("grail_framework.learning.networks:mlp", "Two multi-layer perceptrons, actor and critic"),
    "universal_token": (
        "grail_framework.learning.universal_token.network:universal_token",
        "Encoders of the reference, quantised tokens, decoders to actions and back to the reference",
    ),
}
_METRICS: Final[dict[str, tuple[str, str]]] = {
    "mpjpe_g": ("grail_framework.evaluation.body_metrics:mpjpe_g", "Tracked bodies' position error in the world"),
    "mpjpe_l": ("grail_framework.evaluation.body_metrics:mpjpe_l", "Tracked bodies' position error about the pelvis"),
    "mpjpe_pa": ("grail_framework.evaluation.body_metrics:mpjpe_pa", "Tracked bodies' error after Procrustes alignment"),
    "vel_dist": ("grail_framework.evaluation.body_metrics:vel_dist", "Error of the tracked bodies' first differences"),
    "accel_dist": ("grail_framework.evaluation.body_metrics:accel_dist", "Error of the tracked bodies' second differences"),
    "obj_pos_error": ("grail_framework.evaluation.object_metrics:obj_pos_error", "Object's distance to its reference"),
    "obj_ori_error": ("grail_framework.evaluation.object_metrics:obj_ori_error", "Angle between object and reference"),
    "obj_pos_error_motion": (
        "grail_framework.evaluation.object_metrics:obj_pos_error_motion",
        "Object's distance to its reference over the whole motion, failed or not",
    ),
    "success_paper": (
        "grail_framework.evaluation.object_metrics:success_paper",
        "Mean object error over the whole motion below 20 cm",
    ),
}
_MOTION_READERS: Final[dict[str, tuple[str, str]]] = {
    "grail": (
        "grail_framework.motion.readers.grail:GrailReader",
        "Folders robot/, objects/, object_usd/, meta/ of joblib files",
    ),
    "npz": ("grail_framework.motion.readers.npz:NpzReader", "npz archives in the layouts of holosoma and BeyondMimic"),
    "csv": ("grail_framework.motion.readers.csv:CsvReader", "CSV tables: root position, quaternion, joints"),
}
_WRITERS: Final[dict[str, tuple[str, str]]] = {
    "jsonl": ("grail_framework.logging.jsonl:JsonlWriter", "metrics.jsonl in the run directory"),
    "tensorboard": ("grail_framework.logging.tensorboard:TensorboardWriter", "Event files in the run directory"),
    "wandb": ("grail_framework.logging.wandb:WandbWriter", "Weights & Biases"),
}
_RELEASE_ALIASES: Final[dict[str, tuple[str, str]]] = {
    "core": ("grail_framework.config.release_aliases:ALIASES", "Paths of data, run length, checkpoints, rewards, terminations"),
}
_DEMO_LIBRARIES: Final[dict[str, tuple[str, str]]] = {
    "motion_tracking": (
        "grail_framework.tasks.demo:make_demo_library",
        "A robot that squats, steps, waves and turns on its spot",
    ),
    "motion_base": (
        "grail_framework.tasks.demo:make_demo_library",
        "A robot that squats, steps, waves and turns on its spot",
    ),
}


def record() -> PluginRecord:
    """Describe the core as a plugin, not loaded."""
    return PluginRecord(name=NAME, dist="grail-framework", version=__version__, target=__name__, source="builtin")


@hookimpl
def grail_register_tasks(registry: Registrar) -> None:
    """Register the core's tasks."""
    registry.add_all(_TASKS)


@hookimpl
def grail_register_robots(registry: Registrar) -> None:
    """Register the core's robots."""
    registry.add_all(_ROBOTS)


@hookimpl
def grail_register_engines(registry: Registrar) -> None:
    """Register the core's engines."""
    registry.add_all(_ENGINES)


@hookimpl
def grail_register_observations(registry: Registrar) -> None:
    """Register the core's observation terms."""
    registry.add_all(OBSERVATIONS)


@hookimpl
def grail_register_rewards(registry: Registrar) -> None:
    """Register the core's reward terms."""
    registry.add_all(_REWARDS)


@hookimpl
def grail_register_terminations(registry: Registrar) -> None:
    """Register the core's termination terms."""
    registry.add_all(_TERMINATIONS)


@hookimpl
def grail_register_events(registry: Registrar) -> None:
    """Register the core's event terms."""
    registry.add_all(_EVENTS)


@hookimpl
def grail_register_curriculums(registry: Registrar) -> None:
    """Register the core's curricula."""
    registry.add_all(_CURRICULUMS)


@hookimpl
def grail_register_actions(registry: Registrar) -> None:
    """Register the core's action transforms."""
    registry.add_all(_ACTIONS)


@hookimpl
def grail_register_networks(registry: Registrar) -> None:
    """Register the core's networks."""
    registry.add_all(_NETWORKS)


@hookimpl
def grail_register_metrics(registry: Registrar) -> None:
    """Register the core's metrics."""
    registry.add_all(_METRICS)


@hookimpl
def grail_register_motion_readers(registry: Registrar) -> None:
    """Register the core's motion readers."""
    registry.add_all(_MOTION_READERS)


@hookimpl
def grail_register_writers(registry: Registrar) -> None:
    """Register the core's writers."""
    registry.add_all(_WRITERS)


@hookimpl
def grail_register_release_aliases(registry: Registrar) -> None:
    """Register the release paths of the core's fields."""
    registry.add_all(_RELEASE_ALIASES)


@hookimpl
def grail_register_demo_library(registry: Registrar) -> None:
    """Register how the core's tasks get demonstration data."""
    registry.add_all(_DEMO_LIBRARIES)


@hookimpl
def grail_health_checks() -> list[HealthCheck]:
    """Check the interpreter and the packages that every run needs; finds them without importing them."""
    from grail_framework.config.distributions import ISAACLAB, describe, install_line, installed_version, version_mismatches
    from grail_framework.plugins.results import HealthCheck

    version = ".".join(map(str, sys.version_info[:3]))
    checks = [
        HealthCheck(
            name="python", ok=sys.version_info[:2] == (3, 12), detail=version, fix="use Python 3.12; `make setup` finds one"
        )
    ]
    for package in ("torch", "numpy", "mujoco", "accelerate", "pxr"):
        found = find_spec(package) is not None
        checks.append(HealthCheck(name=package, ok=found, detail="installed" if found else "missing", fix="run `make setup`"))
    if installed_version(ISAACLAB) is not None:
        wrong = version_mismatches()
        detail = describe(wrong) or "as it wants them"
        checks.append(HealthCheck(name="versions under isaaclab", ok=not wrong, detail=detail, fix=install_line(wrong)))
    return checks
