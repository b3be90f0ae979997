"""An optimiser's moments by the names of their parameters.

torch numbers the parameters of an optimiser in the order they were given to it. Which order that was is known of the framework's own
checkpoints, and can be found out of the release's: the shapes of the moments must be those of the parameters.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import torch

from grail_framework.errors import CheckpointError
from grail_framework.learning.bundles import split
from grail_framework.learning.universal_token.input_normalizers import is_of_training

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grail_framework.learning.networks import ActorCritic

Moments = dict[str, dict[str, torch.Tensor]]
"""Per parameter `step` (), `exp_avg` and `exp_avg_sq` (of its shape)."""
_BUFFERS: Final = "running_mean_std"
_KEPT: Final = ("exp_avg", "exp_avg_sq")
_WITHOUT_DECAY: Final = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)", re.IGNORECASE)
"""Parameters that the trainer of the release gives its optimiser in a second group (transformers' `Trainer`)."""


def trained_names(model: Mapping[str, torch.Tensor]) -> tuple[list[str], list[str]]:
    """Return the names of the actor's parameters and of the critic's, statistics of normalisers left out."""
    actor, critic = split(model)
    named = (actor, critic or {})
    return tuple(  # pyright: ignore[reportReturnType]
        [name for name in part if _BUFFERS not in name.split(".") and not is_of_training(name)] for part in named
    )


def moments_by_name(optimizer: object, model: Mapping[str, torch.Tensor]) -> Moments:
    """Name the moments of an optimiser's state dict by the network of the same checkpoint.

    Orders tried: actor then critic (one group, or one each), and the release's: all but biases and norms, then those.

    Raises:
        CheckpointError: it is no state of Adam, or its moments are of other parameters in every order.
    """
    groups, state = _parts(optimizer)
    indices = [index for group in groups for index in group]
    problems: list[str] = []
    for names in _orders(groups, *trained_names(model)):
        problem = _misfit(names, indices, state, model)
        if problem is None:
            named = zip(names, indices, strict=True)
            return {name: _moments(state[index], model[name]) for name, index in named if state.get(index)}
        if problem not in problems:
            problems.append(problem)
    raise CheckpointError("; or ".join(problems))


def _parts(optimizer: object) -> tuple[list[list[int]], dict[int, Any]]:
    groups = optimizer.get("param_groups") if isinstance(optimizer, dict) else None
    state = optimizer.get("state") if isinstance(optimizer, dict) else None
    if not isinstance(groups, list) or not isinstance(state, dict):
        raise CheckpointError("it is no state of a torch optimiser")
    found: list[list[int]] = []
    for group in groups:
        indices = group.get("params") if isinstance(group, dict) else None
        if not isinstance(indices, list) or not all(type(index) is int for index in indices):
            raise CheckpointError("its groups do not number their parameters")
        found.append(indices)
    return found, state


def _orders(groups: Sequence[Sequence[int]], actor: list[str], critic: list[str]) -> list[list[str]]:
    """Return orders of the parameters, the likeliest for these groups first."""
    plain = [*actor, *critic]
    first, second = decay_groups(plain)
    by_decay = [*first, *second]
    likely_by_decay = [len(group) for group in groups] == [len(first), len(second)]
    return [by_decay, plain] if likely_by_decay else [plain, by_decay]


def decay_groups(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split names as the release's trainer does for its optimiser: weights, then biases and norms."""
    without = [name for name in names if _WITHOUT_DECAY.search(name)]
    return [name for name in names if name not in without], without


def _misfit(
    names: Sequence[str], indices: Sequence[int], state: Mapping[int, Any], model: Mapping[str, torch.Tensor]
) -> str | None:
    """Say why moments are not those of parameters in an order; None where they are."""
    if len(names) != len(indices) or len(set(indices)) != len(indices):
        return f"it has {len(indices)} parameters, the networks {len(names)}"
    if unknown := [index for index in state if index not in set(indices)]:
        return f"its moments {unknown[:3]} are of no parameter"
    for name, index in zip(names, indices, strict=True):
        moments = state.get(index) or {}
        if not isinstance(moments, dict) or (moments and any(key not in moments for key in (*_KEPT, "step"))):
            return f"it holds no moments of Adam for parameter {index} ({', '.join(map(str, moments)) or moments!r})"
        if moments and not _is_number(moments["step"]):
            return f"step of parameter {index} is no number"
        for key in _KEPT if moments else ():
            if type(moments[key]) is not torch.Tensor or moments[key].shape != model[name].shape:
                shape = tuple(getattr(moments[key], "shape", ()))
                return f"{key} of parameter {index} has the shape {shape}, {name} {tuple(model[name].shape)}"
    return None


def _is_number(step: object) -> bool:
    if isinstance(step, torch.Tensor):
        return step.numel() == 1 and not step.is_complex()
    return isinstance(step, int | float)


def _moments(saved: Mapping[str, Any], parameter: torch.Tensor) -> dict[str, torch.Tensor]:
    step = torch.as_tensor(saved["step"], dtype=torch.float32).reshape(())
    return {"step": step, **{key: saved[key].to(parameter.dtype) for key in _KEPT}}


def optimizer_of(moments: Moments, network: ActorCritic, groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the state dict that the optimiser of a run takes: the moments in the order of its parameters.

    Args:
        moments: by name; a parameter without any begins with none.
        network: the run's.
        groups: the run's own parameter groups, the actor's and the critic's, as its optimiser's state dict has them.

    Raises:
        CheckpointError: a moment is of a parameter the network does not train, or of another shape.
    """
    critic = {id(parameter) for parameter in network.critic_parameters()}
    trained = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    ordered = [*((n, p) for n, p in trained if id(p) not in critic), *((n, p) for n, p in trained if id(p) in critic)]
    shapes = {name: parameter.shape for name, parameter in ordered}
    for name, saved in moments.items():
        if name not in shapes or any(saved[key].shape != shapes[name] for key in _KEPT):
            reason = f"trains no {name}" if name not in shapes else f"has {name} of the shape {tuple(shapes[name])}"
            raise CheckpointError(
                f"the checkpoint's optimiser state does not fit (this run {reason}); use its weights alone: leave out --resume"
            )
    indices = [index for group in groups for index in group["params"]]
    state = {index: dict(moments[name]) for index, (name, _) in zip(indices, ordered, strict=True) if name in moments}
    return {"state": state, "param_groups": [dict(group) for group in groups]}
