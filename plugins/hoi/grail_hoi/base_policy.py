"""The frozen base policy: read, compared with what the task observes and moves, and made into a network that no longer learns."""

from __future__ import annotations

import hashlib
import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch

from grail_framework.errors import CheckpointError
from grail_framework.learning.bundles import check_model_config, find_checkpoint, read_bundle, read_model_config
from grail_framework.learning.universal_token.module import DYNAMICS, UniversalTokenModule
from grail_framework.learning.universal_token.widths import read_widths
from grail_hoi.base_files import HOW_TO_GET_ONE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grail_framework.config import RunCfg
    from grail_framework.robots.spec import RobotSpec

_SHOWN: Final = 6
_log: Final = logging.getLogger(__name__)
ENCODER: Final = "g1"
"""Of the base's encoders the one of the robot's own motion, which manipulation tasks choose always."""
_PREFIX: Final = "actor_module."
_USED: Final = (f"encoders.{ENCODER}.", f"encoder_input_projectors.{ENCODER}.", f"decoders.{DYNAMICS}.")
_SETTINGS: Final = ("activation", "token_dim", "fsq_levels", "num_frames")
"""What a network's names and shapes do not say, as the parameters of `core:universal_token` are called."""

RELEASE_WIDTHS: Final[Mapping[str, int]] = {
    "encoder_index": 3,
    "command_multi_future_nonflat": 580,
    "command_z_multi_future_nonflat": 10,
    "command_z": 1,
    "motion_anchor_ori_heading_mf_nonflat": 60,
    "motion_anchor_ori_heading": 6,
    "command_multi_future_lower_body": 240,
    "vr_3point_local_target": 9,
    "vr_3point_local_orn_target": 12,
    "smpl_joints_multi_future_local_nonflat": 720,
    "smpl_root_ori_heading_multi_future": 60,
    "joint_pos_multi_future_wrist_for_smpl": 60,
}
"""Widths of the group `tokenizer` in the GRAIL release, 1761 in all: a base is compared with them before there is an environment."""
_RELEASE_FRAMES: Final = 10


@attrs.frozen(kw_only=True, eq=False)
class BasePolicy:
    """A base policy as its file has it."""

    path: Path
    """The file, or the folder it is in."""
    state: dict[str, torch.Tensor] = attrs.field(repr=False)
    """The parameters that are used, without the prefix `actor_module.`."""
    digest: bytes
    """SHA-256 of those parameters."""
    latent_width: int
    """Width of the latent, all tokens together. [-]"""
    settings: dict[str, Any]
    """What names and shapes do not say, where the file does: keyword arguments of `UniversalTokenModule.from_state_dict`."""
    inputs: tuple[str, ...] | None
    """The terms that the encoder reads; None: the file does not say."""
    observed: dict[str, dict[str, int]]
    """Groups `tokenizer` and `policy` it was trained on, terms in order with their widths; empty: the file does not say."""
    joint_names: tuple[str, ...]
    """The joints it moves, in order; empty: the file does not say."""
    action_scale: tuple[float, ...]
    """Change of each joint's target per unit of action; empty: the file does not say. [rad]"""
    doubts: tuple[str, ...]
    """Where model_config.yaml contradicts the weights, a sentence each."""


def read_base(where: Path, config: str | None = None) -> BasePolicy:
    """Read a base policy: a bundle's folder or file, or a run directory of `motion_base`.

    Args:
        where: the file or folder.
        config: its model_config.yaml; None: the one beside it.

    Raises:
        CheckpointError: a file cannot be read, or holds no universal-token network.
    """
    stamps = [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in _files(where, config)]
    return _read(where, config, tuple(stamps))


def _files(where: Path, config: str | None) -> list[Path]:
    if config is not None and not Path(config).expanduser().is_file():
        raise CheckpointError(
            f"action.params.base_config: got {config!r}, which is not there, allowed: a model_config.yaml, or null for the one beside "
            "the base policy"
        )
    try:
        weights = find_checkpoint(where)
    except CheckpointError as error:
        raise CheckpointError(f"action.params.base_checkpoint: {error}. {HOW_TO_GET_ONE}") from error
    return [weights, *([Path(config).expanduser()] if config is not None else [])]


@lru_cache(maxsize=1)
def _read(where: Path, config: str | None, _stamps: tuple[tuple[Path, int, int], ...]) -> BasePolicy:
    """Read it once: it is looked at before the engine starts, and again by every environment."""
    bundle = read_bundle(where)
    beside = bundle.model_config or _run_config(bundle.path.parent)
    described = beside if config is None else read_model_config(Path(config).expanduser())
    whole = {name.removeprefix(_PREFIX): tensor for name, tensor in bundle.policy.items()}
    state = {name: tensor for name, tensor in whole.items() if name.startswith(_USED)}
    for part in (_USED[0], _USED[2]):
        if not any(name.startswith(part) for name in state):
            raise CheckpointError(
                f"{bundle.path} holds no {_PREFIX}{part}*, so it is no base policy, which is a universal-token network, as "
                f"`grail run --task motion_base` trains one. It holds {_some(list(bundle.policy))}"
            )
    # Only the projector of a height map needs the terms' widths; a base of manipulation has none.
    widths = read_widths({name: tensor for name, tensor in state.items() if not name.startswith(_USED[1])}, {})
    latent, (reads, *_, moves) = widths.encoders[ENCODER][-1], widths.decoders[DYNAMICS]
    known = {"proprioception_dim": reads - latent, "decoder_input_dim": reads, "num_actions": moves}
    network = _own(described, "algo_config", "network")
    environment = _own(described, "env_config")
    observed = environment.get("observations") or _mapping(bundle.extra.get("observation_layout"))
    return BasePolicy(
        path=bundle.path,
        state=state,
        digest=digest(state),
        latent_width=latent,
        settings={name: value for name, value in _mapping(network.get("params")).items() if name in _SETTINGS},
        inputs=_inputs(_mapping(network.get("params"))),
        observed={name: dict(observed[name]) for name in ("tokenizer", "policy") if name in observed},
        joint_names=tuple(environment.get("joint_names", ())),
        action_scale=tuple(environment.get("action_scale", ())),
        doubts=tuple(f"base policy {bundle.path}: {line}" for line in check_model_config(described, known)),
    )


def _run_config(folder: Path) -> Mapping[str, Any]:
    """Return what a run's config.yaml says of its network, as a model_config.yaml would: a checkpoint of a run that still goes on."""
    file = folder / "config.yaml"
    return {"algo_config": {"network": read_model_config(file).get("network")}} if file.is_file() else {}


def _own(config: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return a part of a model_config.yaml that a run of this framework wrote; empty where another program did."""
    network = _mapping(_mapping(config.get("algo_config")).get("network"))
    if str(network.get("func")).rpartition(":")[2] != "universal_token":
        return {}
    found: Mapping[str, Any] = config
    for key in path:
        found = _mapping(found.get(key))
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _inputs(params: Mapping[str, Any]) -> tuple[str, ...] | None:
    terms = _mapping(params.get("inputs")).get(ENCODER)
    return None if terms is None else tuple(terms)


def frozen_module(
    base: BasePolicy, tokenizer: Mapping[str, int], *, inputs: Sequence[str] | None = None, device: torch.device | str = "cpu"
) -> UniversalTokenModule:
    """Make the network of a base policy: it takes no gradient and never trains.

    Args:
        base: from `read_base`.
        tokenizer: terms of the group `tokenizer`, in order, with their widths.
        inputs: the terms that its encoder reads; None: those its file names, else the public configurations'.
        device: where it runs.

    Raises:
        CheckpointError: its encoder reads other widths than these terms have.
    """
    chosen = tuple(inputs) if inputs is not None else base.inputs
    try:
        module = UniversalTokenModule.from_state_dict(
            base.state, layout=tokenizer, inputs=None if chosen is None else {ENCODER: chosen}, **base.settings
        )
    except CheckpointError as error:
        raise CheckpointError(
            f"the base policy {base.path} does not fit the observation group tokenizer: {error}. In a task they are called "
            "action.params.base_inputs=[...]"
        ) from error
    return module.requires_grad_(False).eval().to(device)


def check_groups(base: BasePolicy, module: UniversalTokenModule, layouts: Mapping[str, Mapping[str, int]]) -> None:
    """Compare a base policy with the groups `tokenizer` and `policy_atm` of an environment, terms with their widths.

    Raises:
        CheckpointError: the decoder reads another width than `policy_atm` has, or the base was trained on other terms.
    """
    ours = layouts["policy_atm"]
    _check_proprioception(base, module, sum(ours.values()), f": {_layout(ours)}")
    for trained, group in (("tokenizer", "tokenizer"), ("policy", "policy_atm")):
        theirs = base.observed.get(trained)
        if theirs is not None and list(theirs.items()) != list(layouts[group].items()):
            raise CheckpointError(
                f"the base policy {base.path} was trained on other observations than the group {group} has, or on others in order: "
                f"{_layout(theirs)} then, {_layout(layouts[group])} here. Let them agree, or name another base with "
                "action.params.base_checkpoint=..."
            )


def _check_proprioception(base: BasePolicy, module: UniversalTokenModule, width: int, told: str) -> None:
    if module.proprioception_dim != width:
        raise CheckpointError(
            f"the base policy {base.path} reads {module.proprioception_dim} numbers of proprioception beside {base.latent_width} of its "
            f"tokens, and the observation group policy_atm has {width}{told}. Restore the group, or name the base that was trained on it "
            "with action.params.base_checkpoint=..."
        )


def check_robot(base: BasePolicy, module: UniversalTokenModule, robot: RobotSpec) -> None:
    """Compare what a base policy moves with the joints of a robot that motions describe; another scale of actions is a warning.

    Raises:
        CheckpointError: another number of joints, or others, or in another order.
    """
    joints = robot.joints[: robot.num_motion_joints]
    names = tuple(joint.name for joint in joints)
    if module.num_actions != len(names):
        raise CheckpointError(
            f"the base policy {base.path} moves {module.num_actions} joints, and motions describe {len(names)} of the robot "
            f"{robot.name}; it was trained on another robot. Name one of this robot with action.params.base_checkpoint=..."
        )
    if base.joint_names and base.joint_names != names:
        differing = [f"{theirs} ({ours} here)" for theirs, ours in zip(base.joint_names, names, strict=False) if theirs != ours]
        raise CheckpointError(
            f"the base policy {base.path} moves other joints than the robot {robot.name}, or in another order: {_some(differing)}. "
            "Name a base of this robot with action.params.base_checkpoint=..."
        )
    pairs = zip(joints, base.action_scale, strict=False)
    scaled = [joint.name for joint, scale in pairs if abs(joint.action_scale - scale) > 1e-4 * abs(scale)]
    if scaled:
        _log.warning("the base policy %s was trained with other action scales of %s", base.path, _some(scaled))


def check_base(where: Path, cfg: RunCfg) -> tuple[str, ...]:
    """Look at the base policy of a configuration before there is an environment; return what the user should know.

    Raises:
        CheckpointError: it cannot be read, or does not fit the groups that the configuration describes.
    """
    params = cfg.action.params
    base = read_base(where, params.get("base_config"))
    width = cfg.observations["policy_atm"].width
    terms = list(cfg.observations["tokenizer"].terms)
    if cfg.command.num_future_frames != _RELEASE_FRAMES or any(term not in RELEASE_WIDTHS for term in terms):
        return base.doubts
    module = frozen_module(base, {term: RELEASE_WIDTHS[term] for term in terms}, inputs=params.get("base_inputs"))
    if width is not None:
        _check_proprioception(base, module, width, "")
    return base.doubts


def digest(state: Mapping[str, torch.Tensor]) -> bytes:
    """Return the SHA-256 of tensors, their names and shapes, in order of names."""
    found = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        found.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return found.digest()


def _layout(terms: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {width}" for name, width in terms.items())


def _some(names: Sequence[str]) -> str:
    return (", ".join(names[:_SHOWN]) or "nothing") + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
