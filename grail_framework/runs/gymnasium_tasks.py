"""Every registered task as a gymnasium id, `Grail-PnpTable` and so on: importing this module registers them.

Isaac Lab imports it through the entry-point group `isaaclab.tasks`, so that `isaaclab list_envs` shows them. Without Isaac Lab:
`gymnasium.make("grail_framework.runs.gymnasium_tasks:Grail-PnpTable", num_envs=64)`. `make` gives one `Env` with tensors of all copies,
as Isaac Lab's are, `make_vec` a `VectorEnv` of numpy arrays. A policy is trained with `grail run --task pnp_table`.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

from grail_framework.errors import ConfigError
from grail_framework.plugins.manager import GrailPluginManager

try:
    import gymnasium
except ImportError as error:
    raise ConfigError(f"{__name__} needs the package gymnasium 1 ({error}): pip install 'gymnasium>=1.1,<2'") from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_framework.envs.adapters.gymnasium import GymnasiumVectorEnv
    from grail_framework.envs.adapters.gymnasium_tensors import GymnasiumTensorEnv
    from grail_framework.envs.tracking_env import TrackingEnv
    from grail_framework.registry import Entry

PREFIX = "Grail"


def make(*, task: str, render_mode: str | None = None, **options: Any) -> GymnasiumTensorEnv:
    """Build a task's environment for `gymnasium.make`; the options are those of `build`.

    Raises:
        ConfigError: an option that does not fit, or a render mode: there is none.
        DataError: the motion library cannot be used.
    """
    from grail_framework.envs.adapters.gymnasium_tensors import GymnasiumTensorEnv

    _refuse_rendering(render_mode)
    return GymnasiumTensorEnv(build(task, **options))


def make_vec(*, task: str, render_mode: str | None = None, **options: Any) -> GymnasiumVectorEnv:
    """Build a task's environment for `gymnasium.make_vec`; as `make`."""
    from grail_framework.envs.adapters.gymnasium import GymnasiumVectorEnv

    _refuse_rendering(render_mode)
    return GymnasiumVectorEnv(build(task, **options))


def build(
    task: str,
    *,
    num_envs: int | None = None,
    device: str | None = None,
    engine: str | None = None,
    physics: str | None = None,
    data: str | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    env_cfg_entry_point: str | None = None,
) -> TrackingEnv:
    """Build the environment that `grail run` would train in.

    Args:
        task: plain or qualified name.
        num_envs: copies.
        device: auto, cpu, cuda or cuda:N.
        engine: auto, mujoco, isaaclab or one of a plugin.
        physics: newton, physx or ovphysx, of the engine isaaclab.
        data: folder of the motion library; None: the task's demo library.
        seed: of the environment's random generator.
        overrides: as on the command line, in Hydra's grammar.
        env_cfg_entry_point: part of every registration that Isaac Lab lists; not used.

    Raises:
        ConfigError: an option or override that does not fit the task or this machine.
        DataError: the motion library cannot be used.
    """
    import logging

    from grail_framework.config.compose import RunOptions, compose
    from grail_framework.runs.assembly import build_env, load_parts
    from grail_framework.runs.data_check import check_data
    from grail_framework.runs.demo_library import with_demo_library
    from grail_framework.runs.engine_check import check_engine
    from grail_framework.runs.term_check import check_terms

    manager = _manager()
    options = RunOptions(data=data, engine=engine, physics=physics, device=device, num_envs=num_envs, seed=seed)
    composed = compose(
        manager.registry,
        task=task,
        options=options,
        overrides=overrides,
        edits=[manager.configure_run],
        settle=manager.settle_run,
    )
    doubts = [*composed.warnings, *check_engine(composed.cfg.engine, manager.registry)]
    settled = with_demo_library(composed.cfg, manager.registry)
    for doubt in (*doubts, *check_data(settled, manager.registry)):
        logging.getLogger(__name__).warning("%s", doubt)
    check_terms(settled, manager.registry)
    return build_env(load_parts(settled, manager))


def isaaclab_config() -> NoReturn:
    """Answer Isaac Lab's own runners, which ask for a configuration of its classes.

    Raises:
        ConfigError: always; it says what to do instead.
    """
    raise ConfigError(
        f"{PREFIX}-* tasks are no Isaac Lab configurations, so Isaac Lab's own runners cannot run them. Train with `grail run --task NAME` "
        "(names: `grail tasks list`), or build an environment with gymnasium.make(ID, num_envs=N)"
    )


def register() -> tuple[str, ...]:
    """Register all tasks of all active plugins that are not yet, and return their ids."""
    entries = list(_manager().registry.entries("task"))
    shared = Counter(entry.name for entry in entries)
    ids = [gymnasium_id(entry, qualified=shared[entry.name] > 1) for entry in entries]
    for name, entry in zip(ids, entries, strict=True):
        if name in gymnasium.registry:  # Isaac Sim's launcher may have this module imported anew
            continue
        gymnasium.register(
            id=name,
            entry_point=f"{__name__}:{make.__name__}",
            vector_entry_point=f"{__name__}:{make_vec.__name__}",
            disable_env_checker=True,  # it knows no batches
            kwargs={"task": entry.qualified, "env_cfg_entry_point": f"{__name__}:{isaaclab_config.__name__}"},
        )
    return tuple(ids)


def gymnasium_id(entry: Entry, *, qualified: bool = False) -> str:
    """Return a task's id: `Grail-PnpTable`, or `Grail-Hoi-PnpTable` with its plugin where several plugins have the name."""
    return "-".join([PREFIX, *([_camel(entry.plugin)] if qualified else []), _camel(entry.name)])


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"\W|_", name))


def _refuse_rendering(render_mode: str | None) -> None:
    if render_mode is not None:
        raise ConfigError(f"render_mode: got {render_mode!r}, allowed: None; these environments are not rendered")


@functools.cache
def _manager() -> GrailPluginManager:
    return GrailPluginManager().load()


register()
