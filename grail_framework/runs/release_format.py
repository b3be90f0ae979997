"""Checkpoints of the GRAIL release: reading them as the framework's own, and writing the framework's for the release.

The release's file is a dictionary: policy_state_dict, value_state_dict, optimizer_state_dict, lr_scheduler_state_dict, state and args
(objects of its trainer), env_state_dict. Networks, moments, learning rate and the number of iterations have a counterpart here.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

import torch

from grail_framework.errors import CheckpointError
from grail_framework.learning.bundles import (
    ACTOR_MODEL,
    CHECKPOINT,
    CRITIC,
    POLICY,
    leaving,
    networks_of,
    write_bundle,
)
from grail_framework.learning.foreign import attribute
from grail_framework.learning.torch_files import mentions, read_torch_file
from grail_framework.learning.universal_token.input_normalizers import fed_layers
from grail_framework.plugins.results import CheckpointFormat
from grail_framework.runs.moments import decay_groups, moments_by_name, trained_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grail_framework.runs.moments import Moments

SECTION: Final = "grail_framework"
"""Key of what the framework adds to a file it writes; the release does not read it."""
IDENTITY: Final = ("task", "robot", "observation_layout", "contact_links", "plugins", "config_digest")
_ADAMW: Final = ("betas", "eps", "weight_decay")
"""Settings of an optimiser that make a difference to what it computes."""


def detect_release(path: Path) -> bool:
    """Look for the names of the release's networks in a file's pickle, without unpickling it."""
    return mentions(path, POLICY, ACTOR_MODEL)


def read_release(path: Path) -> dict[str, Any]:
    """Read a checkpoint of the release, by the names of the framework's own checkpoints.

    Nothing in it is executed. Keys, as far as it has them: model, optimizer_moments (by parameter) or optimizer_problem (why they are
    not usable), learning_rate, iteration, absent (beginnings of the names of what it has no weights of).

    Raises:
        CheckpointError: it is damaged or holds no policy.
    """
    content = read_torch_file(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, where a checkpoint is a dictionary")
    policy, value = networks_of(content, path)
    state: dict[str, Any] = {"model": policy | (value or {})}
    if value is None:
        state["absent"] = [CRITIC]
    if (optimizer := content.get("optimizer_state_dict")) is not None:
        try:
            state["optimizer_moments"] = moments_by_name(optimizer, state["model"])
        except CheckpointError as problem:
            state["optimizer_problem"] = str(problem)
    rate = attribute(content.get("args"), "learning_rate")
    if isinstance(rate, float | int) and rate > 0.0:
        state["learning_rate"] = float(rate)
    step = attribute(content.get("state"), "global_step")
    if type(step) is int and step >= 0:
        state["iteration"] = step
    return state | _own_section(content)


def _own_section(content: Mapping[Any, Any]) -> dict[str, Any]:
    section = content.get(SECTION)
    return {key: section[key] for key in IDENTITY if key in section} if isinstance(section, dict) else {}


def write_release(path: Path, state: Mapping[str, Any], *, model_config: Mapping[str, Any] | None = None) -> None:
    """Write a state of the framework as a checkpoint that the release's trainer loads.

    The release unpickles the whole file and asks `state` and `args` for attributes: both are written as `argparse.Namespace`, a class
    every Python has. Moments are in the groups and the order of its optimiser. What only the framework has is left out, but for what
    the run was, in a section of its own.

    Args:
        path: `last.pt` of a folder, which is made.
        state: the content of a checkpoint of the framework, or of a release's that was read here.
        model_config: what is written as `model_config.yaml` beside it; None: nothing.

    Raises:
        CheckpointError: the disk does not take it, or the name is another.
    """
    if path.name != CHECKPOINT:
        raise CheckpointError(f"{path}: a checkpoint of the release is written as {CHECKPOINT} of a folder; name the folder")
    policy, value = leaving(state["model"])
    extra: dict[str, Any] = {"lr_scheduler_state_dict": None}
    extra["state"] = argparse.Namespace(global_step=int(state.get("iteration", 0)))
    (moments, _), rate = moments_of(state), state.get("learning_rate")
    if rate is not None:
        extra["args"] = argparse.Namespace(learning_rate=float(rate))
    if moments is not None and rate is not None:
        changed = changed_weights(state)
        kept = {name: moment for name, moment in moments.items() if name not in changed}
        extra["optimizer_state_dict"] = _release_optimizer(kept, state, float(rate))
    extra[SECTION] = {key: state[key] for key in IDENTITY if key in state}
    write_bundle(path.parent, policy=policy, value=value, model_config=model_config, extra=extra)


def changed_weights(state: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the weights that are others for the release, which has no normalised inputs; their moments do not fit them."""
    return tuple(f"{layer}.weight" for layer in fed_layers(state["model"]).values())


def moments_of(state: Mapping[str, Any]) -> tuple[Moments | None, str]:
    """Return the moments of a checkpoint's content by parameter; where there are none, None and why."""
    if "optimizer_moments" in state:
        return state["optimizer_moments"], ""
    if "optimizer" not in state:
        return None, state.get("optimizer_problem", "it holds none")
    try:
        return moments_by_name(state["optimizer"], state["model"]), ""
    except CheckpointError as problem:
        return None, str(problem)


def _release_optimizer(moments: Moments, state: Mapping[str, Any], rate: float) -> dict[str, Any]:
    """Return the state dict of the release's AdamW: two groups, weights and then biases, of actor and critic together."""
    actor, critic = trained_names(state["model"])
    groups = decay_groups([*actor, *critic])
    (own, *_) = (state.get("optimizer") or {}).get("param_groups") or [{}]
    (settings,) = torch.optim.AdamW([torch.zeros(1)], weight_decay=0.0).state_dict()["param_groups"]
    settings |= {key: own[key] for key in _ADAMW if key in own}
    order = [name for group in groups for name in group]
    return {
        "state": {index: dict(moments[name]) for index, name in enumerate(order) if name in moments},
        "param_groups": [
            {**settings, "lr": rate, "params": list(range(start, start + len(group)))}
            for group, start in zip(groups, (0, len(groups[0])), strict=True)
        ],
    }


RELEASE_FORMAT: Final = CheckpointFormat(name="grail_release", detect=detect_release, read=read_release, write=write_release)
"""A torch zip file as the release's trainer writes it, read without executing it."""
