"""A task, its terms and a registry for the tests of configuration and preflight. Loads neither torch nor an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from grail_framework import hookimpl
from grail_framework.config import (
    ActionCfg,
    CommandCfg,
    ContactGate,
    ContactSensorCfg,
    ObjectCfg,
    ObservationGroupCfg,
    ObservationTermCfg,
    RewardTermCfg,
    RunCfg,
    SceneCfg,
    TableCfg,
    TerminationTermCfg,
    UniformNoise,
)
from grail_framework.registry import Registrar, Registry

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = "example"
EXPERIMENT = "manager/universal_token/hoi/lift"


@attrs.frozen(kw_only=True)
class ExampleSection:
    """A plugin's section."""

    margin: float = 0.1
    """How far. [m]"""
    names: tuple[str, ...] = ()
    """Which."""


def lift() -> RunCfg:
    return RunCfg(
        task="anything",
        summary="Lift an object",
        project="Example",
        config_path="manager/example",
        num_envs=4096,
        scene=SceneCfg(
            object=ObjectCfg(mass=0.1),
            contact_sensors={"right_hand": ContactSensorCfg(links=("right_.*",), partner="object")},
        ),
        command=CommandCfg(sample_before_contact=True),
        action=ActionCfg(func="residual", params={"scale": 0.5}),
        observations={
            "policy": ObservationGroupCfg(
                terms={
                    "joint_pos": ObservationTermCfg(func="example:joint_pos", noise=UniformNoise(low=-0.01, high=0.01)),
                    "object_bps": ObservationTermCfg(func="example:object_bps"),
                }
            ),
            "critic": ObservationGroupCfg(terms={"joint_pos": ObservationTermCfg(func="example:joint_pos")}),
        },
        rewards={
            "tracking_anchor_pos": RewardTermCfg(func="anchor", weight=0.5, params={"std": 0.3}),
            "grasp_right": RewardTermCfg(
                func="example:grasp",
                weight=40.0,
                params={"sensor": "right_hand", "min_contacts": 3},
                gate=ContactGate(hand="right"),
            ),
            "grasp_left": RewardTermCfg(func="grasp", weight=0.0, params={"sensor": "right_hand"}),
        },
        terminations={
            "anchor_pos": TerminationTermCfg(func="too_far", params={"threshold": 0.25}),
            "tracking_time_out": TerminationTermCfg(func="time_out", time_out=True),
        },
        extra={"example": ExampleSection(margin=0.2)},
    )


def lift_from_table() -> RunCfg:
    cfg = lift()
    return attrs.evolve(cfg, scene=attrs.evolve(cfg.scene, table=TableCfg()))


def walk() -> RunCfg:
    cfg = lift()
    terms = {"joint_pos": ObservationTermCfg(func="example:joint_pos")}
    return attrs.evolve(
        cfg,
        scene=SceneCfg(),
        command=CommandCfg(),
        observations={name: ObservationGroupCfg(terms=terms) for name in ("policy", "critic")},
        rewards={"tracking_anchor_pos": cfg.rewards["tracking_anchor_pos"]},
        extra={},
    )


def broken_task() -> RunCfg:
    raise RuntimeError("no such robot")


def wrong_task() -> dict[str, int]:
    return {"num_envs": 4}


def joint_pos(env: object) -> object: ...


def object_bps(env: object) -> object: ...


def anchor(env: object, std: float) -> object: ...


def grasp(
    env: object,
    *,
    sensor: str,
    force_threshold: float = 0.1,
    min_contacts: int = 3,
    mode: Literal["sum", "any"] = "any",
    links: tuple[str, ...] = (),
) -> object: ...


def too_far(env: object, threshold: float) -> object: ...


class time_out:  # noqa: N801
    def __init__(self, env: object, *, margin: int = 0) -> None: ...

    def __call__(self, env: object) -> object: ...


def push(env: object, *, velocity: tuple[float, float] = (0.0, 0.5)) -> None: ...


def residual(env: object, *, scale: float) -> object: ...


def mlp(actor_obs_dim: int, critic_obs_dim: int, num_actions: int, *, hidden: tuple[int, ...] = (64,)) -> object: ...


def engine(spec: object) -> object: ...


_THINGS = {
    "task": ("lift", "lift_from_table", "walk", "broken_task", "wrong_task"),
    "observation": ("joint_pos", "object_bps"),
    "reward": ("anchor", "grasp"),
    "termination": ("too_far", "time_out"),
    "event": ("push",),
    "action": ("residual",),
}


class ExamplePlugin:
    """Registers everything above under the name `example`."""

    grail_api = ">=1,<2"

    def _add(self, registry: Registrar) -> None:
        for name in _THINGS[registry.kind]:
            registry.add(name, f"config_example:{name}")

    @hookimpl
    def grail_register_tasks(self, registry: Registrar) -> None:
        self._add(registry)

    @hookimpl
    def grail_register_observations(self, registry: Registrar) -> None:
        self._add(registry)

    @hookimpl
    def grail_register_rewards(self, registry: Registrar) -> None:
        self._add(registry)

    @hookimpl
    def grail_register_terminations(self, registry: Registrar) -> None:
        registry.add("too_far", "config_example:too_far")
        registry.add("time_out", "config_example:time_out")

    @hookimpl
    def grail_register_events(self, registry: Registrar) -> None:
        self._add(registry)

    @hookimpl
    def grail_register_actions(self, registry: Registrar) -> None:
        self._add(registry)

    @hookimpl
    def grail_register_config_section(self, registry: Registrar) -> None:
        registry.add(PLUGIN, "config_example:ExampleSection")

    @hookimpl
    def grail_register_release_aliases(self, registry: Registrar) -> None:
        registry.add("example", "config_example:ALIASES")
        registry.add("core_table", "grail_framework.config.release_aliases:ALIASES")


def make_registry() -> Registry:
    """All of the plugin, and a robot, engines and a network under the plugin `core`."""
    registry = Registry()

    def fill(kind: str, plugin: str, targets: dict[str, str]) -> None:
        staged: list = []
        registrar = Registrar(kind, plugin, staged)
        for name, target in targets.items():
            registrar.add(name, target)
        registry.commit(staged)

    for kind, names in _THINGS.items():
        fill(kind, PLUGIN, {name: f"config_example:{name}" for name in names})
    fill("config_section", PLUGIN, {PLUGIN: "config_example:ExampleSection"})
    fill("release_alias", PLUGIN, {"example": "config_example:ALIASES"})
    fill("release_alias", "core", {"core": "grail_framework.config.release_aliases:ALIASES"})
    fill("robot", "core", {"g1_43dof": "grail_framework.robots.g1:g1_43dof"})
    fill("engine", "core", {"mujoco": "config_example:engine"})
    fill("network", "core", {"mlp": "config_example:mlp"})
    return registry


def make_library(root: Path, stems: tuple[str, ...] = ("box__carry__000", "box__carry__001", "cup__lift__000")) -> Path:
    """Lay out a motion library of empty files: the checks before the engine look at names only."""
    for folder, suffix in (("robot", "pkl"), ("objects", "pkl"), ("meta", "pkl"), ("object_usd", "usd"), ("bps", "npy")):
        (root / folder).mkdir(parents=True)
        for stem in stems:
            (root / folder / f"{stem}.{suffix}").touch()
    return root


def __getattr__(name: str) -> object:
    if name == "ALIASES":
        from grail_framework.config.release import ReleaseAlias, ReleaseExperiment

        return (
            ReleaseExperiment(experiment=EXPERIMENT, task="example:lift"),
            ReleaseExperiment(experiment=EXPERIMENT + "_from_table", task="example:lift_from_table"),
            ReleaseAlias(pattern="manager_env.config.example_margin", path="extra.example.margin"),
            ReleaseAlias(pattern="manager_env.config.example_broken", convert="config_example:broken_converter"),
        )
    raise AttributeError(name)


def broken_converter(value: object, parts: object, tree: object) -> object:
    raise KeyError("oops")
