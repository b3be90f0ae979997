"""What the framework expects of a plugin's modules, terms and configurations, as assertions."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import torch

HEAVY_MODULES: Final = (
    "accelerate",
    "gymnasium",
    "hydra",
    "isaaclab",
    "jax",
    "matplotlib",
    "mujoco",
    "newton",
    "numpy",
    "omegaconf",
    "onnx",
    "pandas",
    "pxr",
    "scipy",
    "tensorboard",
    "tensordict",
    "torch",
    "wandb",
    "warp",
)
"""Packages that the plugin layer, the command line and the hook modules of plugins must not load."""

_PROBE: Final = """
import importlib, sys
before = set(sys.modules)
importlib.import_module({module!r})
print(*sorted(name for name in {heavy!r} if name in set(sys.modules) - before))
"""


def assert_import_light(module: str, *, heavy: Iterable[str] = HEAVY_MODULES) -> None:
    """Import a module in a process of its own and fail when that loads one of the heavy packages."""
    import os
    import subprocess
    import sys

    probe = _PROBE.format(module=module, heavy=tuple(heavy))
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, env=environ, timeout=120, check=False)
    assert done.returncode == 0, f"{module} cannot be imported:\n{done.stderr}"
    # Only the last line: the module itself may print.
    loaded = done.stdout.splitlines()[-1].split() if done.stdout.strip() else []
    assert not loaded, (
        f"importing {module} loads {', '.join(loaded)}; move the import into the function that needs it, or under "
        "`if TYPE_CHECKING:` when only annotations do"
    )


def assert_term_contract(term: Callable[..., Any], env: Any, *, kind: str = "reward", **params: Any) -> None:
    """Call a term and fail when it breaks its contract.

    Checked: `env` comes first; the result is a tensor on the environment's device, finite, of shape (num_envs,) for `reward` and
    `termination` and (num_envs, d) for `observation`; a reward is floating and not negative, a termination bool; no tensor of the
    environment was edited; on a CUDA device nothing waits for it.

    Args:
        term: a function `(env, **params)`, or a class made as `(env, **params)` and called as `(env)`.
        env: an environment, or an object with `num_envs`, `device` and the attributes the term reads.
        kind: reward, termination or observation.
        params: the term's parameters, as a configuration gives them.
    """
    name = getattr(term, "__name__", repr(term))
    assert kind in ("reward", "termination", "observation"), f"kind {kind!r}: allowed are reward, termination, observation"
    first = next(iter(inspect.signature(term).parameters), None)
    assert first == "env", f"{name}: the first parameter must be env, got {first!r}"
    if inspect.isclass(term):
        instance: Any = term(env, **params)  # pyright: ignore[reportCallIssue]  # isclass narrows to type[object]
        _check_call(name, kind, env, lambda: instance(env))
    else:
        _check_call(name, kind, env, lambda: term(env, **params))


def assert_cfg_roundtrip(cfg: Any) -> None:
    """Fail when a configuration is not equal to what is read back from its plain values, as a saved run would."""
    from grail_framework.config.structure import from_plain, to_plain

    again = from_plain(type(cfg), to_plain(cfg))
    assert again == cfg, f"{type(cfg).__name__} changes when it is saved and read:\n{cfg}\n{again}"


def _check_call(name: str, kind: str, env: Any, call: Callable[[], Any]) -> None:
    import torch

    before = {path: (tensor, tensor.clone()) for path, tensor in _tensors(env)}
    device = torch.device(env.device)
    if device.type == "cuda":
        call()  # a first call may set up caches; only later ones are in the step loop
        torch.cuda.set_sync_debug_mode("error")
    try:
        value = call()
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    for path, (tensor, copy) in before.items():
        assert torch.equal(tensor, copy) or torch.equal(torch.nan_to_num(tensor), torch.nan_to_num(copy)), (
            f"{name} edits {path} in place; terms only read"
        )
    _check_value(name, kind, env.num_envs, device, value)


def _check_value(name: str, kind: str, num_envs: int, device: torch.device, value: Any) -> None:
    import torch

    assert isinstance(value, torch.Tensor), f"{name} returned {type(value).__name__}, allowed: a tensor"
    rank = 2 if kind == "observation" else 1
    expected = f"({num_envs}, d)" if rank == 2 else f"({num_envs},)"
    assert value.ndim == rank and value.shape[0] == num_envs, f"{name} returned shape {tuple(value.shape)}, allowed: {expected}"  # noqa: PT018
    assert value.device.type == device.type, f"{name} returned a tensor on {value.device}, the environment is on {device}"
    if kind == "termination":
        assert value.dtype == torch.bool, f"{name} returned {value.dtype}, allowed: torch.bool"
        return
    assert value.dtype == torch.float32, f"{name} returned {value.dtype}, allowed: torch.float32"
    assert bool(torch.isfinite(value).all()), f"{name} returned values that are not finite: {value}"
    assert kind != "reward" or bool((value >= 0).all()), f"{name} returned negative values; the weight carries the sign"


def _tensors(owner: Any, path: str = "env", depth: int = 3) -> Iterator[tuple[str, torch.Tensor]]:
    """Iterate over the tensors that an object holds in its attributes and dictionaries, a few levels deep."""
    import torch

    if isinstance(owner, torch.Tensor):
        yield path, owner
    elif depth:
        names = [*getattr(owner, "__dict__", {}), *getattr(type(owner), "__slots__", ())]
        pairs = owner.items() if isinstance(owner, dict) else ((name, getattr(owner, name, None)) for name in names)
        for name, value in pairs:
            yield from _tensors(value, f"{path}.{name}", depth - 1)
