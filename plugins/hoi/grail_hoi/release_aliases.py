"""What the release's hand-object configurations are called there and here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grail_framework.config.release import Conversion, ReleaseAlias, ReleaseExperiment
from grail_framework.config.release_aliases import anti_contact
from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENV: Final = "manager_env.config"
_HERE: Final = f"{__name__}:"

_TASKS: Final = ("pnp_table", "pnp_ground", "advanced_manip_table", "advanced_manip_ground")

_GRASPS: Final = (("grasp_reward", "right"), ("grasp_reward_right", "right"), ("grasp_reward_left", "left"))
_TERM_NAMES: Final = {
    "object_tracking_reward": "object_tracking",
    **{
        f"{theirs}{suffix}": f"{ours}_{hand}"
        for theirs, ours in (
            ("grasp_reward", "grasp"),
            ("grasp_finger_direction", "finger_direction"),
            ("contact_center", "contact_center"),
        )
        for suffix, hand in (("", "right"), ("_right", "right"), ("_left", "left"))
    },
}
"""Reward terms that the release's configurations call otherwise than ours do; without a side they mean the right hand."""


def gate_right(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Turn the right grasp reward's private switch into a gate, which stops the run where a clip has no labels."""
    return _gate("right", value)


def gate_left(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Turn the left grasp reward's private switch into a gate."""
    return _gate("left", value)


def _gate(hand: str, value: Any) -> Conversion:
    gate = {"hand": hand, "missing": "error"} if value else None
    return Conversion(edits=((f"rewards.grasp_{hand}.gate", gate),))


def anti_contact_right(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Give the gate of the right grasp reward its factor for contact before its time."""
    return anti_contact("grasp_right", value, tree)


def anti_contact_left(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Give the gate of the left grasp reward its factor for contact before its time."""
    return anti_contact("grasp_left", value, tree)


def base_config(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Give the description of the frozen base to the action transform that runs it."""
    return _residual("base_config", value, tree)


def base_checkpoint(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Give the weights of the frozen base to the action transform that runs it."""
    return _residual("base_checkpoint", value, tree)


def residual_mode(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Say where the residual enters the frozen base."""
    return _residual("mode", value, tree)


def residual_scale(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Give the action transform the factor of its latent residual."""
    return _residual("scale", value, tree)


def _residual(param: str, value: Any, tree: Mapping[str, Any]) -> Conversion:
    transform = str(tree["action"]["func"])
    if transform.rpartition(":")[2] == "latent_residual":
        return Conversion(edits=((f"action.params.{param}", value),))
    return Conversion(note=f"the action transform {transform!r} uses no frozen base policy; latent_residual does")


def always(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Accept a switch that the release's four configurations have on; what is without it is another action transform."""
    if value is not True:
        raise ConfigError(
            f"got {value!r}, allowed: true. Another way to act is another action transform: action.func=core:joint_residual needs no "
            "frozen base policy"
        )
    return Conversion()


def never(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Accept a switch that the release's four configurations have off, and nothing here can be on."""
    if value is not False:
        raise ConfigError(
            f"got {value!r}, allowed: false; actions are transformed in the environment, not by a wrapper around it"
        )
    return Conversion()


def add_object(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Keep the object of the scene, or take it away."""
    return _furniture("object", value, tree)


def add_table(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Put a table into the scene, or take it away."""
    return _furniture("table", value, tree)


def _furniture(what: str, value: Any, tree: Mapping[str, Any]) -> Conversion:
    if value not in (True, False):
        raise ConfigError(f"got {value!r}, allowed: true or false")
    if value is (tree["scene"][what] is not None):
        return Conversion()
    return Conversion(edits=((f"scene.{what}", {} if value else None),))


ALIASES: Final = (
    *(ReleaseExperiment(experiment=f"manager/universal_token/hoi/{task}", task=f"hoi:{task}") for task in _TASKS),
    ReleaseAlias(pattern=f"{_ENV}.object_mass", path="scene.object.mass"),
    ReleaseAlias(pattern=f"{_ENV}.object_density", path="scene.object.density"),
    ReleaseAlias(pattern=f"{_ENV}.use_motion_hand_actions", path="command.use_motion_hand_actions"),
    ReleaseAlias(pattern=f"{_ENV}.object_is_dynamic", path="scene.object.dynamic"),
    ReleaseAlias(pattern=f"{_ENV}.add_object", convert=_HERE + "add_object"),
    ReleaseAlias(pattern=f"{_ENV}.add_table", convert=_HERE + "add_table"),
    ReleaseAlias(pattern=f"{_ENV}.table_size", path="scene.table.size"),
    ReleaseAlias(pattern=f"{_ENV}.latent_residual_mode", convert=_HERE + "residual_mode"),
    ReleaseAlias(pattern=f"{_ENV}.latent_residual_scale", convert=_HERE + "residual_scale"),
    ReleaseAlias(pattern=f"{_ENV}.use_latent_residual", convert=_HERE + "always"),
    ReleaseAlias(pattern=f"{_ENV}.use_finger_primitive", convert=_HERE + "always"),
    ReleaseAlias(pattern=f"{_ENV}.use_staged_wrapper", convert=_HERE + "never"),
    *(
        ReleaseAlias(pattern=f"{_ENV}.{name}", note="follows from the base policy's tokens and the robot's hands")
        for name in ("meta_action_dim", "tokenizer_action_dim", "hand_action_dim")
    ),
    ReleaseAlias(pattern=f"{_ENV}.action_transform_module_cfg", convert=_HERE + "base_config"),
    ReleaseAlias(pattern=f"{_ENV}.action_transform_module_checkpoint", convert=_HERE + "base_checkpoint"),
    *(
        ReleaseAlias(pattern=f"manager_env.rewards.{name}.params.gate_with_contact_label", convert=f"{_HERE}gate_{hand}")
        for name, hand in _GRASPS
    ),
    *(
        ReleaseAlias(pattern=f"manager_env.rewards.{name}.params.anti_contact_factor", convert=f"{_HERE}anti_contact_{hand}")
        for name, hand in _GRASPS
    ),
    *(
        alias
        for theirs, ours in _TERM_NAMES.items()
        for alias in (
            ReleaseAlias(pattern=f"manager_env.rewards.{theirs}", path=f"rewards.{ours}"),
            ReleaseAlias(pattern=f"manager_env.rewards.{theirs}.weight", path=f"rewards.{ours}.weight"),
            ReleaseAlias(pattern=f"manager_env.rewards.{theirs}.params.{{param}}", path=f"rewards.{ours}.params.{{param}}"),
        )
    ),
)
"""The plugin's table, registered as release alias `hoi`."""
