"""The base policy that a run of a universal-token network leaves behind, for tasks that act by a residual on its tokens."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from grail_framework.config.structure import to_plain
from grail_framework.errors import CheckpointError
from grail_framework.learning.bundles import leaving, write_bundle
from grail_framework.learning.universal_token.network import UniversalTokenActorCritic

if TYPE_CHECKING:
    from pathlib import Path

    from grail_framework.config import RunCfg
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.learning.networks import ActorCritic

_log = logging.getLogger(__name__)

FOLDER: Final = "bundle"
"""Name of the bundle in the run directory."""
_LEFT: Final = {"normalize_actor": False}
"""What the network of a bundle is beside what it was trained as: the first layers normalise their inputs themselves."""


def leave_base(run_directory: Path, cfg: RunCfg, env: TrackingEnv, network: ActorCritic, *, iteration: int) -> Path | None:
    """Write the actor of a universal-token network to `bundle/` in the run directory, and tell the log how to use it.

    An earlier bundle is replaced. Main process only.

    Args:
        run_directory: where.
        cfg: the run's configuration.
        env: what the actor was trained in.
        network: the run's.
        iteration: iterations done.

    Returns:
        The folder. None where the network is of another kind or sees a height map, which no task with a base observes, and where the
        disk does not take it, which is an error in the log and not of the run: its checkpoint serves as well.
    """
    if not isinstance(network, UniversalTokenActorCritic) or _sees_terrain(network):
        return None
    folder = run_directory / FOLDER
    policy, value = leaving(network.state_dict())
    try:
        write_bundle(folder, policy=policy, value=value, model_config=describe_base(cfg, env, network, iteration=iteration))
    except CheckpointError as error:
        _log.error("the base policy was not written: %s; %s serves as well", error, run_directory / "last.pt")
        return None
    _log.info(
        "base policy of iteration %d in %s; for a task that acts through it: action.params.base_checkpoint=%s",
        iteration,
        folder,
        folder,
    )
    return folder


def _sees_terrain(network: UniversalTokenActorCritic) -> bool:
    return any(".conv_layers." in name for name, _ in network.actor_module.encoder_input_projectors.named_parameters())


def describe_base(cfg: RunCfg, env: TrackingEnv, network: UniversalTokenActorCritic, *, iteration: int) -> dict[str, Any]:
    """Return what `model_config.yaml` says beside the weights, in plain values: what the network reads, is made of and moves."""
    actor = network.actor_module
    joints = env.robot.joints[: actor.num_actions]
    settings = {name: value for name, value in actor.settings.items() if name != "layout"}
    return {
        "env_config": {
            "task": cfg.task,
            "robot": cfg.robot.name,
            "joint_names": [joint.name for joint in joints],
            "action_scale": [joint.action_scale for joint in joints],
            "default_joint_pos": [joint.default_pos for joint in joints],
            "observations": {name: dict(group.layout) for name, group in env.groups.items()},
        },
        "algo_config": {
            "network": {"func": cfg.network.func, "params": {**to_plain(cfg.network.params), **settings, **_LEFT}},
            "num_tokens": actor.num_tokens,
            "token_dim": actor.token_dim,
            "tokenizer_dim": actor.tokenizer_dim,
            "proprioception_dim": actor.proprioception_dim,
            "decoder_input_dim": actor.num_tokens * actor.token_dim + actor.proprioception_dim,
            "num_actions": actor.num_actions,
            "iteration": iteration,
        },
    }
