"""Phases of a configuration, engine and environment count, digest."""

from __future__ import annotations

import subprocess
import sys

import attrs
import pytest
from config_example import ExampleSection, lift

from grail_framework.config import hardware
from grail_framework.config.compose import RunOptions, compose, config_digest
from grail_framework.errors import ConfigError, NotFoundError
from grail_framework.plugins.results import SettledRun
from grail_framework.registry import Entry


def test_task_defaults_alone(registry):
    composed = compose(registry, task="lift")
    expected = attrs.evolve(lift(), task="example:lift", num_envs=64)
    assert composed.cfg == attrs.evolve(expected, engine=attrs.evolve(expected.engine, name="mujoco"))
    assert composed.warnings == ()
    assert composed.provenance == {}


def test_options_reach_their_fields(registry):
    options = RunOptions(
        data="d",
        bps="b",
        engine="mujoco",
        num_envs=12,
        iterations=7,
        checkpoint="c.pt",
        resume=True,
        experiment_dir="e",
        seed=3,
        on_bad_clip="skip",
    )
    cfg = compose(registry, task="lift", options=options).cfg
    assert (cfg.motion.data, cfg.motion.bps_dir, cfg.motion.on_bad_clip) == ("d", "b", "skip")
    assert (cfg.engine.name, cfg.num_envs, cfg.iterations, cfg.seed) == ("mujoco", 12, 7, 3)
    assert (cfg.checkpoint, cfg.resume, cfg.experiment_dir) == ("c.pt", True, "e")


def test_later_phases_win(registry):
    def edit(cfg):
        return attrs.evolve(cfg, seed=1, iterations=11, num_envs_cpu=32)

    composed = compose(registry, task="lift", options=RunOptions(), overrides=["iterations=12"], edits=[edit])
    assert (composed.cfg.seed, composed.cfg.iterations, composed.cfg.num_envs) == (1, 12, 32)
    assert composed.provenance == {"iterations": "iterations=12"}


def test_plugins_settle_what_the_user_made_of_it(registry):
    """They see overrides, options, engine and number of environments, of a saved configuration too, and have the last word."""
    seen = []

    def settle(cfg):
        seen.append((cfg.seed, cfg.iterations, cfg.engine.name, cfg.num_envs))
        return SettledRun(cfg=attrs.evolve(cfg, seed=9), warnings=("the seed is 9",))

    composed = compose(
        registry, task="lift", options=RunOptions(engine="mujoco", iterations=7), overrides=["seed=3"], settle=settle
    )
    assert (composed.cfg.seed, composed.warnings) == (9, ("the seed is 9",))
    compose(registry, saved=composed.cfg, settle=settle)
    assert seen == [(3, 7, "mujoco", 64), (9, 7, "mujoco", 64)]


@pytest.mark.parametrize(
    ("options", "overrides", "expected"),
    [
        (RunOptions(), [], 64),
        (RunOptions(), ["num_envs_cpu=16"], 16),
        (RunOptions(), ["num_envs=256"], 256),
        (RunOptions(num_envs=4096), [], 4096),
    ],
)
def test_environments_on_a_cpu_engine(registry, options, overrides, expected):
    assert compose(registry, task="lift", options=options, overrides=overrides).cfg.num_envs == expected


def test_environments_on_another_engine(registry):
    registry.commit([Entry(kind="engine", name="third", plugin="x", target="x:y")])
    assert compose(registry, task="lift", options=RunOptions(engine="third")).cfg.num_envs == 4096
    assert (
        compose(registry, task="lift", options=RunOptions(engine="third"), overrides=["engine.device=cpu"]).cfg.num_envs == 64
    )


@pytest.mark.parametrize(
    ("gpu", "registered", "installed", "engine", "warned"),
    [
        (False, True, True, "mujoco", ""),
        (True, True, True, "isaaclab", ""),
        (True, True, False, "mujoco", "isaaclab is not installed"),
        (True, False, True, "mujoco", "no plugin provides the engine isaaclab"),
    ],
)
def test_engine_auto(registry, monkeypatch, gpu, registered, installed, engine, warned):
    monkeypatch.setattr(hardware, "has_nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(hardware, "is_installed", lambda package: installed or package != "isaaclab")
    if registered:
        registry.commit([Entry(kind="engine", name="isaaclab", plugin="core", target="x:y")])
    composed = compose(registry, task="lift")
    assert composed.cfg.engine.name == engine
    assert composed.cfg.num_envs == (4096 if engine == "isaaclab" else 64)
    assert warned in "".join(composed.warnings)
    assert bool(composed.warnings) == bool(warned)


def test_engine_that_is_known_and_not_installed(registry, monkeypatch):
    monkeypatch.setattr(hardware, "is_installed", lambda package: False)
    registry.commit([Entry(kind="engine", name="isaaclab", plugin="core", target="x:y")])
    with pytest.raises(ConfigError, match=r"isaaclab.*not installed.*grail-framework\[isaaclab\]"):
        compose(registry, task="lift", options=RunOptions(engine="isaaclab"))


def test_hidden_gpus_do_not_count(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not hardware.has_nvidia_gpu()


def test_no_engine_at_all(registry):
    registry._entries["engine"].clear()
    with pytest.raises(NotFoundError, match="no engine 'mujoco'"):
        compose(registry, task="lift")


def test_home_is_expanded_in_paths(registry, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    composed = compose(
        registry, task="lift", options=RunOptions(data="~/lib"), overrides=["checkpoint='~/x.pt'", "project='~/x'"]
    )
    assert composed.cfg.motion.data == "/home/somebody/lib"
    assert composed.cfg.checkpoint == "/home/somebody/x.pt"
    assert composed.cfg.project == "~/x"


def test_a_task_with_a_wrong_value_is_its_authors_fault(registry):
    def edit(cfg):
        return attrs.evolve(cfg, project=3)

    with pytest.raises(ConfigError, match=r"project: got 3 \(int\).*itself; tell its author"):
        compose(registry, task="lift", edits=[edit])


def test_sections_stay_typed(registry):
    assert compose(registry, task="lift").cfg.extra == {"example": ExampleSection(margin=0.2)}


@pytest.mark.parametrize(
    "override",
    [
        "iterations=5",
        "logging.wandb_project=x",
        "experiment_dir=x",
        "checkpoint=x.pt",
        "resume=true",
        "evaluation.at_end=false",
        "checkpoints.last_frequency=7",
    ],
)
def test_digest_leaves_out_logging_and_length(registry, override):
    plain = compose(registry, task="lift").cfg
    assert config_digest(compose(registry, task="lift", overrides=[override]).cfg) == config_digest(plain)


@pytest.mark.parametrize(
    "override",
    ["seed=1", "rewards.grasp_right.weight=41", "num_envs=8", "~terminations.anchor_pos", "extra.example.margin=0.3"],
)
def test_digest_depends_on_the_rest(registry, override):
    plain = compose(registry, task="lift").cfg
    assert config_digest(compose(registry, task="lift", overrides=[override]).cfg) != config_digest(plain)


def test_digest_does_not_depend_on_how_a_value_is_written(registry):
    one = compose(registry, task="lift", overrides=["algorithm.gamma=1", "num_envs=8"]).cfg
    other = compose(registry, task="lift", overrides=["num_envs=8", "algorithm.gamma=1.0"]).cfg
    assert config_digest(one) == config_digest(other)
    assert len(config_digest(one)) == 64


def test_configuration_without_overrides_loads_nothing_heavy():
    code = (
        "import sys, grail_framework.config, grail_framework.config.compose, grail_framework.config.release_aliases;"
        "print([m for m in ('torch', 'numpy', 'mujoco', 'hydra', 'yaml', 'omegaconf', 'click', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_saved_configuration_takes_the_tasks_place(registry):
    first = compose(registry, task="lift", overrides=["rewards.grasp_right.weight=41", "num_envs=12", "checkpoint=old.pt"]).cfg
    options = RunOptions(resume=True, experiment_dir="runs/a", iterations=7)
    again = compose(registry, options=options, saved=first).cfg
    assert (again.rewards["grasp_right"].weight, again.num_envs) == (41.0, 12)
    assert (again.checkpoint, again.resume, again.experiment_dir, again.iterations) == (None, True, "runs/a", 7)
    assert config_digest(again) == config_digest(first)


def test_a_named_task_goes_before_a_saved_configuration(registry):
    saved = compose(registry, task="lift", overrides=["num_envs=12"]).cfg
    assert compose(registry, task="lift", saved=saved).cfg.num_envs == 64
