"""Hand-object interaction tasks and their terms.

Import strings only: this module is read by every `grail` command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grail_framework import hookimpl

if TYPE_CHECKING:
    from grail_framework.config import RunCfg
    from grail_framework.plugins.results import SettledRun
    from grail_framework.registry import Registrar

grail_api = ">=1,<2"

# Name -> (target, summary).
_TASKS: Final[dict[str, tuple[str, str]]] = {
    "pnp_table": ("grail_hoi.tasks.pnp_table:pnp_table", "Pick up an object from a table and put it down again"),
    "pnp_ground": ("grail_hoi.tasks.pnp_ground:pnp_ground", "Pick up an object from the ground and carry it"),
    "advanced_manip_table": (
        "grail_hoi.tasks.advanced_manip_table:advanced_manip_table",
        "Lift, turn and set down a heavier object on a table",
    ),
    "advanced_manip_ground": (
        "grail_hoi.tasks.advanced_manip_ground:advanced_manip_ground",
        "Lift, turn and set down a heavier object that stands on the ground",
    ),
}
_OBSERVATIONS: Final[dict[str, tuple[str, str]]] = {
    "finger_tips_force": ("grail_hoi.mdp.observations:finger_tips_force", "Contact force of each finger link on the object"),
    "hand_object_transform_6d": ("grail_hoi.mdp.observations:hand_object_transform_6d", "Object pose in the hand frame"),
    "grab_contact_flag": ("grail_hoi.mdp.observations:grab_contact_flag", "Legacy contact flag, always 0"),
}
_TERMINATIONS: Final[dict[str, tuple[str, str]]] = {
    "hand_table_contact_termination": (
        "grail_hoi.mdp.terminations:hand_table_contact_termination",
        "The hand presses the table",
    ),
    "grasp_failure_after_contact": (
        "grail_hoi.mdp.terminations:grasp_failure_after_contact",
        "No grasp a while after the reference's contact began",
    ),
}
_ACTIONS: Final[dict[str, tuple[str, str]]] = {
    "latent_residual": (
        "grail_hoi.mdp.latent_residual:latent_residual",
        "Change the latent of a frozen base policy, which moves the body; a primitive per hand",
    ),
}
_RELEASE_ALIASES: Final[dict[str, tuple[str, str]]] = {
    "hoi": ("grail_hoi.release_aliases:ALIASES", "Experiments and term names of hand-object interaction"),
}
_DEMO_LIBRARIES: Final[dict[str, tuple[str, str]]] = {
    "pnp_table": ("grail_hoi.demo.library:make_pnp_table", "Cans, cartons, bottles, cups and barrels carried over a table"),
    "pnp_ground": ("grail_hoi.demo.library:make_pnp_ground", "Objects picked up from the ground with one hand or both"),
    "advanced_manip_table": (
        "grail_hoi.demo.library:make_advanced_manip_table",
        "Heavier cartons, cans, barrels and cups tilted and turned over a table",
    ),
    "advanced_manip_ground": (
        "grail_hoi.demo.library:make_advanced_manip_ground",
        "Racks lifted off the ground with both hands, tilted and turned",
    ),
}


@hookimpl
def grail_register_tasks(registry: Registrar) -> None:
    """Register the plugin's tasks."""
    registry.add_all(_TASKS)


@hookimpl
def grail_register_observations(registry: Registrar) -> None:
    """Register the plugin's observation terms."""
    registry.add_all(_OBSERVATIONS)


@hookimpl
def grail_register_terminations(registry: Registrar) -> None:
    """Register the plugin's termination terms."""
    registry.add_all(_TERMINATIONS)


@hookimpl
def grail_register_actions(registry: Registrar) -> None:
    """Register the plugin's action transforms."""
    registry.add_all(_ACTIONS)


@hookimpl
def grail_register_release_aliases(registry: Registrar) -> None:
    """Register the plugin's release paths."""
    registry.add_all(_RELEASE_ALIASES)


@hookimpl
def grail_register_demo_library(registry: Registrar) -> None:
    """Register how the plugin's tasks get demonstration data."""
    registry.add_all(_DEMO_LIBRARIES)


@hookimpl
def grail_settle_run(cfg: RunCfg) -> SettledRun | None:
    """Find the base policy of a task that acts through one, or have it act without."""
    from grail_hoi.configure import settle

    return settle(cfg)
