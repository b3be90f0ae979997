"""Whole runs of motion_base on the CPU engine, and the base policy that each leaves behind."""

from __future__ import annotations

import logging
import os
import signal

import pytest
import torch
import yaml
from point_run import assert_same, lines

from grail_framework.config.compose import RunOptions, compose
from grail_framework.errors import CheckpointError, RunStoppedError
from grail_framework.learning.bundles import check_model_config, read_bundle
from grail_framework.learning.universal_token.imitation import JointTargets
from grail_framework.learning.universal_token.module import UniversalTokenModule
from grail_framework.learning.universal_token.network import universal_token
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs import base_bundle, launch
from grail_framework.runs.formats import read_checkpoint
from grail_framework.tasks.demo import make_demo_library

ENVS = 4
SMALL = (
    "algorithm.num_steps_per_env=6",
    "algorithm.num_learning_epochs=2",
    "evaluation.at_start=false",
    "evaluation.at_end=false",
    "logging.console=off",
    "logging.tensorboard=false",
)


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return make_demo_library(tmp_path_factory.mktemp("demo") / "library", motions=2)


@pytest.fixture(scope="module")
def train(manager, library):
    def run(path, iterations, *, resume=False, task="motion_base", preset="laptop", overrides=()):
        options = RunOptions(
            data=str(library),
            engine="mujoco",
            num_envs=ENVS,
            iterations=iterations,
            resume=resume,
            experiment_dir=str(path),
            seed=5,
        )
        composed = compose(manager.registry, task=task, preset=preset, options=options, overrides=[*SMALL, *overrides])
        launch.launch(composed.cfg, manager)
        return path

    return run


@pytest.fixture(scope="module")
def whole(train, tmp_path_factory):
    """A run of two iterations."""
    return train(tmp_path_factory.mktemp("run") / "whole", 2)


def test_a_run_leaves_a_base_that_acts_as_its_policy(whole):
    bundle = read_bundle(whole / "bundle")
    saved = read_checkpoint(whole / "last.pt")
    released = ("std", "actor_module.encoders.", "actor_module.decoders.")
    assert bundle.policy.keys() == {name for name in saved["model"] if name.startswith(released)}
    assert bundle.model_config["algo_config"]["network"]["params"]["normalize_actor"] is False
    layout = saved["observation_layout"]
    assert bundle.model_config["env_config"]["observations"] == layout
    prefix = "actor_module."
    state = {name.removeprefix(prefix): value for name, value in bundle.policy.items() if name.startswith(prefix)}
    module = UniversalTokenModule.from_state_dict(state, layout=layout["tokenizer"])
    module_widths = {"num_tokens": 2, "token_dim": 32, "proprioception_dim": 930, "tokenizer_dim": 1761, "num_actions": 29}
    assert check_model_config(bundle.model_config, module_widths | {"decoder_input_dim": 994}) == []
    assert check_model_config(bundle.model_config, {"num_tokens": 3})
    assert (module.tokenizer_dim, module.proprioception_dim, module.num_actions) == (1761, 930, 29)
    assert (module.num_tokens, module.token_dim) == (2, 32)
    observed = saved["rollout"][0]["observations"]
    with torch.no_grad():
        tokens = module.quantize(module.encode(observed["tokenizer"]))
        actions = module.decode(tokens, observed["policy"])
    assert tokens.shape == (ENVS, 2, 32)
    # The run's network normalises what it reads, and the bundle's first layers do it themselves: rounded otherwise.
    torch.testing.assert_close(actions, network_of(saved, whole).action_mean(observed), rtol=0.0, atol=1e-4)
    said = (whole / "run.log").read_text()
    assert f"action.params.base_checkpoint={whole / 'bundle'}" in said


def network_of(saved, folder):
    """The network of the run, made anew with what its checkpoint holds."""
    layout = saved["observation_layout"]
    read, valued = (sum(layout[name].values()) for name in ("policy", "critic"))
    params = yaml.safe_load((folder / "config.yaml").read_text())["network"]["params"]
    targets = JointTargets((0.0,) * 29, (1.0,) * 29)  # only new actors learn from them
    network = universal_token(read, valued, 29, observation_layout=layout, joint_targets=targets, **params)
    network.load_state_dict(saved["model"])
    return network.requires_grad_(False)


def test_what_the_bundle_says_about_the_robot(whole, manager):
    robot = manager.registry.find("robot", "core:g1_43dof").load()()
    said = read_bundle(whole / "bundle").model_config
    assert tuple(said["env_config"]["joint_names"]) == robot.joint_names[:29]
    assert said["env_config"]["action_scale"][0] == pytest.approx(0.35066, abs=1e-5)
    assert said["algo_config"]["iteration"] == 2


def test_two_halves_are_one_whole(train, whole, tmp_path):
    train(tmp_path / "halves", 1)
    train(tmp_path / "halves", 2, resume=True)
    assert_same(read_checkpoint(whole / "last.pt"), read_checkpoint(tmp_path / "halves" / "last.pt"))
    assert lines(whole) == lines(tmp_path / "halves")
    assert_same(read_bundle(whole / "bundle").policy, read_bundle(tmp_path / "halves" / "bundle").policy)


def test_a_stopped_run_leaves_its_base(train, tmp_path, monkeypatch):
    def stop(self, iteration, metrics):
        if iteration == 1:  # a second signal would end the process at once
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(launch._Run, "on_iteration", stop)
    with pytest.raises(RunStoppedError):
        train(tmp_path / "run", 50)
    said = read_bundle(tmp_path / "run" / "bundle").model_config
    assert said["algo_config"]["iteration"] == 2


def test_an_mlp_is_no_base(train, tmp_path):
    train(tmp_path / "run", 1, task="motion_tracking")
    assert not (tmp_path / "run" / "bundle").exists()


def test_a_full_disk_is_told_and_the_run_ends_well(train, tmp_path, monkeypatch, caplog):
    def refuse(folder, **content):
        raise CheckpointError("No space left on device")

    monkeypatch.setattr(base_bundle, "write_bundle", refuse)
    with caplog.at_level(logging.ERROR):
        train(tmp_path / "run", 1)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "No space left on device" in record.getMessage()
    assert f"{tmp_path / 'run' / 'last.pt'} serves as well" in record.getMessage()
