"""What an environment and its terms remember from step to step: the tensors, and the Python values of terms.

A captured step reads and writes the tensors where they were when it was captured, and knows Python values only as they were then. So a
term's memory must be tensors that it writes into.
"""

from __future__ import annotations

from collections import deque
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch

from grail_framework.envs.terms import BoundTerm, OncePerPhase, TermCall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grail_framework.envs.tracking_env import TrackingEnv

_DEPTH: Final = 5
_PLAIN: Final = (bool, int, float, complex, str, bytes, type(None))
_NO_MEMORY: Final = (BoundTerm, OncePerPhase, TermCall, FunctionType, BuiltinFunctionType, MethodType, ModuleType, type)

type Place = tuple[str, str]
"""Whose memory it is, and the attribute in it."""
type Fingerprint = dict[Place, str]


def tensors(env: TrackingEnv) -> dict[Place, torch.Tensor]:
    """Return every tensor that decides how the environment goes on, and constants beside them; each storage may appear more than once.

    Left out: motions, and the guard's ring, of which a step writes one row whatever was in it.
    """
    ring = env.guard.ring
    return {place: value for place, value in _walk(env) if isinstance(value, torch.Tensor) and value is not ring}


def fingerprint(env: TrackingEnv) -> Fingerprint:
    """Describe what a capture takes for granted: where all tensors are, and the Python values in the memory of terms."""
    return {place: _describe(value) for place, value in _walk(env)}


def changes(before: Fingerprint, after: Fingerprint) -> list[str]:
    """Say what changed that a capture takes for granted, one sentence per owner and attribute."""
    found = []
    for owner, name in dict.fromkeys((*before, *after)):
        was, now = before.get((owner, name)), after.get((owner, name))
        if was == now:
            continue
        if "tensor" in ((was or "")[:6], (now or "")[:6]):
            how = "is a new tensor each time; write into one that stays, with copy_() or out="
        else:
            how = f"is a Python value that changes ({was} -> {now}); keep it in a tensor on env.device"
        found.append(f"{owner}: {name} {how}")
    return found


def _describe(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"tensor {value.data_ptr():#x} {tuple(value.shape)} {value.stride()} {value.dtype}"
    return repr(value)


def _walk(env: TrackingEnv) -> Iterator[tuple[Place, Any]]:
    """Iterate over the tensors of the environment's parts, then over tensors and Python values in the memory of terms."""
    memories = _term_memories(env)
    foreign = (env, env.engine, env.motions, env.robot, env.cfg, env.generator, env.view, *memories.values())
    seen = {id(one) for one in foreign}
    for name, part in _parts(env).items():
        for path, value in _inside(part, name, seen, _DEPTH):
            if isinstance(value, torch.Tensor):
                yield ("the environment", path), value
    for owner, memory in memories.items():
        seen.discard(id(memory))
        for path, value in _inside(memory, "self", seen, _DEPTH):
            yield (owner, path), value


def _parts(env: TrackingEnv) -> dict[str, Any]:
    parts = {"state": env.state, "command": env.command, "guard": env.guard, "groups": env.groups, "events": env.events}
    parts |= {"rewards": env.rewards, "terminations": env.terminations, "errors": env.errors}
    own = {name: value for name, value in vars(env).items() if isinstance(value, torch.Tensor)}
    outputs = {f"outputs.{name}": value for name, value in env.graphs.buffers().items()} if env.graphs is not None else {}
    return {**parts, **own, **outputs}


def _term_memories(env: TrackingEnv) -> dict[str, Any]:
    memories = {f"action {env.cfg.action.func!r}": env.action_term}
    for _, term in env.stateful_terms():
        memories[f"{term.kind} {term.name!r} ({term.func})"] = term.instance
    return memories | {f"event {name!r}": instance for name, instance in env.events.instances().items()}


def _inside(value: Any, path: str, seen: set[int], depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, _PLAIN):
        yield path, value
    elif isinstance(value, _NO_MEMORY) or id(value) in seen or depth == 0:
        return
    elif isinstance(value, torch.Tensor):
        seen.add(id(value))
        yield path, value
    else:
        seen.add(id(value))
        for name, part in _attributes(value).items():
            yield from _inside(part, f"{path}{name}", seen, depth - 1)


def _attributes(value: Any) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return {f"[{key!r}]": part for key, part in value.items()}
    if isinstance(value, list | tuple | deque):
        return {f"[{index}]": part for index, part in enumerate(value)}
    if attrs.has(type(value)):
        return {f".{field.name}": getattr(value, field.name) for field in attrs.fields(type(value))}
    return {f".{name}": part for name, part in getattr(value, "__dict__", {}).items()}
