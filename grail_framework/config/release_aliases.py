"""What the core knows of the release's configuration: run, data, reset, PPO, logging, and the edits of terms.

Objects, tables and the frozen base policy belong to the plugin of hand-object tasks, terrain to the terrain plugin.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final, cast

from grail_framework.config.release import Conversion, ReleaseAlias
from grail_framework.errors import ConfigError

MOTION: Final = "manager_env.commands.motion"
MOTION_LIB: Final = f"{MOTION}.motion_lib_cfg"
ENV: Final = "manager_env.config"

_HERE: Final = f"{__name__}:"
_NO_RENDERING: Final = "nothing is rendered while training"
_NO_PLAYBACK: Final = "a run trains; references are not played back"
_NO_RESET_NOISE: Final = "resets start exactly on the reference; no noise is added to the start pose"
_EVALUATION: Final = "belongs to the release's evaluation script; `grail run` trains. Leave it out"


def _moves(prefix: str, names: Mapping[str, str]) -> tuple[ReleaseAlias, ...]:
    return tuple(ReleaseAlias(pattern=f"{prefix}.{theirs}", path=ours) for theirs, ours in names.items())


def _notes(note: str, *patterns: str) -> tuple[ReleaseAlias, ...]:
    return tuple(ReleaseAlias(pattern=pattern, note=note) for pattern in patterns)


def headless(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Accept the release's switch for a viewer window, which there is not."""
    return Conversion(note=None if value is True else "there is no viewer window; runs are always headless")


def option_group(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Read `+opt=wandb`, the only option group of the release's launch lines."""
    if value != "wandb":
        raise ConfigError(f"got {value!r}, allowed: wandb")
    return Conversion(edits=(("logging.wandb", True),))


def motion_file(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Take the library's folder from `<library>/robot`; any other path is the folder of the robot motions alone."""
    path = PurePosixPath(_text(value))
    if path.name == "robot":
        return Conversion(edits=(("motion.data", str(path.parent)),))
    return Conversion(edits=(("motion.robot_dir", str(path)),))


def filter_keys(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Accept one key where a list of keys is wanted; null is no filter."""
    return Conversion(edits=(("motion.filter_motion_keys", None if value is None else _as_list(value)),))


def remove_keys(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Accept one prefix where a list of prefixes is wanted; null removes nothing."""
    return Conversion(edits=(("motion.remove_motion_keys", [] if value is None else _as_list(value)),))


def meta_info(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Ignore the single meta file of the release: every motion's own is read."""
    note = None if value is None else "each motion's own meta file is read, from meta/ beside robot/ or from motion.meta_dir"
    return Conversion(note=note)


def event(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Remove an event; one that the task does not have is off already."""
    term = parts["term"]
    if value is None and term not in tree["events"]:
        return Conversion(note=f"this task has no event {term!r}, so it is off already")
    return Conversion(edits=((f"events.{term}", value),))


def corruption(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Switch a group's noise; the groups of the release's frozen base exist only where a task uses that base."""
    group = parts["group"]
    if group in _BASE_GROUPS and group not in tree["observations"]:
        return Conversion(note=f"this task has no observation group {group!r}, which feeds the release's frozen base policy")
    return Conversion(edits=((f"observations.{group}.enable_corruption", value),))


def contact_gate(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Turn `gate_with_contact_label` of a reward into its gate."""
    term = parts["term"]
    if value is False:
        return Conversion(edits=((f"rewards.{term}.gate", None),))
    if value is not True:
        raise ConfigError(f"got {value!r}, allowed: true or false")
    reward = cast("Mapping[str, Any]", tree["rewards"].get(term) or {})
    if reward.get("gate"):
        return Conversion()
    return Conversion(edits=((f"rewards.{term}.gate", {"hand": _hand_of(term, reward)}),))


def anti_contact_factor(value: Any, parts: Mapping[str, str], tree: Mapping[str, Any]) -> Conversion:
    """Give a reward's gate its factor for contact before its time."""
    return anti_contact(parts["term"], value, tree)


def anti_contact(term: str, value: Any, tree: Mapping[str, Any]) -> Conversion:
    """Give the gate of a reward its factor.

    Raises:
        ConfigError: the reward has no gate.
    """
    reward = cast("Mapping[str, Any] | None", tree["rewards"].get(term, {}))
    if value is not None and reward and not reward.get("gate"):
        side = "left" if "left" in term else "right"
        raise ConfigError(
            f"reward_{str(reward['func']).rpartition(':')[2]}: anti_contact_factor requires gate_with_contact_label=True, and "
            f"rewards.{term} has no gate. Put gate_with_contact_label=true before it, or write +rewards.{term}.gate.hand={side} "
            f"+rewards.{term}.gate.anti_contact_factor={value}"
        )
    if value is None and reward and not reward.get("gate"):
        return Conversion()
    return Conversion(edits=((f"rewards.{term}.gate.anti_contact_factor", value),))


def _hand_of(term: str, reward: Mapping[str, Any]) -> str:
    """Find out which hand a reward is about: its parameter says so, else its name or its sensor's."""
    params = cast("Mapping[str, Any]", reward.get("params", {}))
    if params.get("hand") in ("left", "right"):
        return params["hand"]
    for text in (term, str(params.get("sensor", ""))):
        hands = [hand for hand in ("left", "right") if hand in text]
        if len(hands) == 1:
            return hands[0]
    raise ConfigError(f"which hand's label gates {term!r} is not clear; write +rewards.{term}.gate.hand=right or left")


def _as_list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [_text(value)]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"got {value!r} ({type(value).__name__}), allowed: a string")
    return value


_BASE_GROUPS: Final = ("tokenizer", "policy_atm")

_RUN: Final = (
    *_moves("algo.config", {"num_learning_iterations": "iterations"}),
    ReleaseAlias(pattern="headless", convert=_HERE + "headless"),
    ReleaseAlias(pattern="project_name", path="project"),
    ReleaseAlias(pattern="use_wandb", path="logging.wandb"),
    ReleaseAlias(pattern="opt", convert=_HERE + "option_group"),
    *_moves("wandb", {"wandb_project": "logging.wandb_project", "wandb_entity": "logging.wandb_entity"}),
    *_moves("callbacks.model_save", {"save_frequency": "checkpoints.save_frequency"}),
    *_notes("the folder of a run is set by --experiment-dir, and there is no Hydra job", "hydra.**"),
    *_notes("states of invalid environments are recorded by themselves", "debug_state_log"),
    *_notes(_NO_PLAYBACK, "replay", "replay_save_video", "replay_loop_num"),
    *(ReleaseAlias(pattern=p, refuse=_EVALUATION) for p in ("eval_callbacks", "run_eval_loop", "export_onnx_only")),
)

_PPO: Final = (
    *_moves(
        "algo.config",
        {
            name: f"algorithm.{name}"
            for name in (
                "num_steps_per_env",
                "num_learning_epochs",
                "num_mini_batches",
                "clip_param",
                "use_clipped_value_loss",
                "gamma",
                "lam",
                "value_loss_coef",
                "entropy_coef",
                "desired_kl",
                "schedule",
                "max_grad_norm",
                "init_noise_std",
                "aux_loss_scale",
            )
        },
    ),
    *_moves(
        "algo.config",
        {
            "actor_learning_rate": "algorithm.learning_rate",
            "vf_coef": "algorithm.value_loss_coef",
            "ppo_shuffle_every_epoch": "algorithm.shuffle_every_epoch",
        },
    ),
    *_notes("episodes start where `command` says and end with their motion", "algo.config.init_at_random_ep_len"),
    *_notes(
        "the release's trainer never read it: actor and critic share one learning rate. Set algorithm.critic_learning_rate for two",
        "algo.config.critic_learning_rate",
    ),
)

_DATA: Final = (
    ReleaseAlias(pattern=f"{MOTION_LIB}.motion_file", convert=_HERE + "motion_file"),
    *_moves(
        MOTION_LIB,
        {
            "object_motion_file": "motion.object_dir",
            "bps_dir": "motion.bps_dir",
            "target_fps": "motion.target_fps",
            "max_unique_motions": "motion.max_unique_motions",
            "interleave_by_object": "motion.interleave_by_object",
            "motion_shard_rank": "motion.shard_rank",
            "motion_shard_world_size": "motion.shard_world_size",
        },
    ),
    ReleaseAlias(pattern="motion_shard_by_rank", path="motion.shard_by_rank"),
    ReleaseAlias(pattern=f"{ENV}.object_usd_path", path="motion.object_usd"),
    ReleaseAlias(pattern=f"{MOTION_LIB}.filter_motion_keys", convert=_HERE + "filter_keys"),
    ReleaseAlias(pattern=f"{MOTION_LIB}.remove_motion_keys", convert=_HERE + "remove_keys"),
    ReleaseAlias(pattern=f"{ENV}.motion_meta_info_path", convert=_HERE + "meta_info"),
    *_notes("all motions of a process are always loaded", f"{MOTION_LIB}.load_unique_motions"),
    *_notes("motions are read into a packed store once; there are no loader threads", f"{MOTION_LIB}.multi_thread"),
    *_notes("human body motions are not read", f"{MOTION_LIB}.smpl_motion_file"),
    *_notes(
        "each process works out its own motions; there is no key file",
        f"{MOTION_LIB}.per_rank_motion_keys_file",
        f"{ENV}.per_rank_motion_keys_file",
    ),
)

_RESET: Final = (
    *_moves(
        MOTION,
        {
            name: f"command.{name}"
            for name in (
                "num_future_frames",
                "dt_future_ref_frames",
                "start_from_first_frame",
                "sample_before_contact",
                "sample_before_contact_margin",
                "sample_from_n_initial_frames",
                "object_init_z_offset",
                "init_z_offset",
                "use_motion_hand_actions",
            )
        },
    ),
    *_notes("the release never read it either: the first contact of any hand counts", f"{MOTION}.sample_before_contact_hand"),
    *_notes(_NO_RESET_NOISE, f"{MOTION}.object_position_randomize", f"{MOTION}.pose_range.**", f"{MOTION}.velocity_range.**"),
)

_TERMS: Final = (
    ReleaseAlias(pattern="manager_env.rewards.{term}", path="rewards.{term}"),
    ReleaseAlias(pattern="manager_env.rewards.{term}.weight", path="rewards.{term}.weight"),
    ReleaseAlias(pattern="manager_env.rewards.{term}.params.{param}", path="rewards.{term}.params.{param}"),
    ReleaseAlias(pattern="manager_env.rewards.{term}.params.gate_with_contact_label", convert=_HERE + "contact_gate"),
    ReleaseAlias(pattern="manager_env.rewards.{term}.params.anti_contact_factor", convert=_HERE + "anti_contact_factor"),
    ReleaseAlias(pattern="manager_env.terminations.{term}", path="terminations.{term}"),
    ReleaseAlias(pattern="manager_env.terminations.{term}.params.{param}", path="terminations.{term}.params.{param}"),
    ReleaseAlias(pattern="manager_env.events.{term}", convert=_HERE + "event"),
    ReleaseAlias(pattern="manager_env.events.{term}.params.{param}", path="events.{term}.params.{param}"),
    ReleaseAlias(pattern="manager_env.observations.{group}.enable_corruption", convert=_HERE + "corruption"),
)

_SIMULATION: Final = (
    *_moves(ENV, {"env_spacing": "scene.env_spacing", "safe_nan": "safe_nan"}),
    *_notes(
        "sizes a buffer of PhysX on the GPU; the engine {engine} has no such buffer to set",
        f"{ENV}.gpu_collision_stack_size_exp",
    ),
    *_notes(
        _NO_RENDERING,
        f"{ENV}.render_results",
        f"{ENV}.save_rendering_dir",
        f"{ENV}.max_render_envs",
        "manager_env.recorders.**",
    ),
)

ALIASES: Final = (*_RUN, *_PPO, *_DATA, *_RESET, *_TERMS, *_SIMULATION)
"""The core's table, registered as release alias `core`."""
