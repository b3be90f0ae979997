"""What the release's hand-object configurations are called there and here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grail_framework.config.release import Conversion, ReleaseAlias, ReleaseExperiment

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENV: Final = "manager_env.config"
_HERE: Final = f"{__name__}:"

_TASKS: Final = ("pnp_table", "pnp_ground", "advanced_manip_table", "advanced_manip_ground")

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


def base_config(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Give the description of the frozen base to the action transform that runs it."""
    return _base("base_config", value, tree)


def base_checkpoint(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Give the weights of the frozen base to the action transform that runs it."""
    return _base("base_checkpoint", value, tree)


def _base(param: str, value: Any, tree: Mapping[str, Any]) -> Conversion:
    transform = str(tree["action"]["func"])
    if transform.rpartition(":")[2] == "latent_residual":
        return Conversion(edits=((f"action.params.{param}", value),))
    return Conversion(note=f"the action transform {transform!r} uses no frozen base policy; latent_residual does")


ALIASES: Final = (
    *(ReleaseExperiment(experiment=f"manager/universal_token/hoi/{task}", task=f"hoi:{task}") for task in _TASKS),
    ReleaseAlias(pattern=f"{_ENV}.object_mass", path="scene.object.mass"),
    ReleaseAlias(pattern=f"{_ENV}.object_density", path="scene.object.density"),
    ReleaseAlias(pattern=f"{_ENV}.use_motion_hand_actions", path="command.use_motion_hand_actions"),
    ReleaseAlias(pattern=f"{_ENV}.action_transform_module_cfg", convert=_HERE + "base_config"),
    ReleaseAlias(pattern=f"{_ENV}.action_transform_module_checkpoint", convert=_HERE + "base_checkpoint"),
    *(
        ReleaseAlias(pattern=f"manager_env.rewards.{name}.params.gate_with_contact_label", convert=f"{_HERE}gate_{hand}")
        for name, hand in (("grasp_reward", "right"), ("grasp_reward_right", "right"), ("grasp_reward_left", "left"))
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
