"""A run on the CPU engine in two halves, in one process: bitwise that of one go, whatever there is to be remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from point_run import assert_same, lines

from grail_framework.config.compose import RunOptions, compose
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.formats import read_checkpoint
from grail_framework.runs.launch import launch
from grail_framework.testing.bases import write_base
from grail_framework.testing.fakes import write_box_library

if TYPE_CHECKING:
    from pathlib import Path

SMALL = (
    "algorithm.num_steps_per_env=6",
    "algorithm.num_learning_epochs=2",
    "network.params.actor_hidden_dims=[16]",
    "network.params.critic_hidden_dims=[16]",
    "evaluation.at_start=false",
    "evaluation.at_end=false",
    "logging.console=off",
    "logging.tensorboard=false",
)
WAYS = {
    "plain": (),
    "evaluations": ("evaluation.every=1", "evaluation.at_start=true", "evaluation.at_end=true"),
    "curriculum": (
        "++curriculums.ramp={func: 'core:reward_weight', params: {reward: object_tracking, start: 0.0, end: 2.0, "
        "from_iteration: 1, to_iteration: 4}}",
    ),
    "histories": ("observations.policy.terms.joint_pos.history_length=3", "observations.policy.width=null"),
    "noise": ("observations.policy.enable_corruption=true",),
    "base": ("action.params.base_checkpoint={base}",),
}


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return write_box_library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("way", WAYS)
def test_two_halves_are_one_whole(manager, library, base, tmp_path: Path, way: str):
    def train(path: Path, iterations: int, *, resume: bool = False) -> None:
        options = RunOptions(
            data=str(library),
            engine="mujoco",
            num_envs=4,
            iterations=iterations,
            resume=resume,
            experiment_dir=str(path),
            seed=5,
        )
        acting = () if way == "base" else ("action.func=core:joint_residual",)
        overrides = [*SMALL, *acting, *(text.replace("{base}", str(base)) for text in WAYS[way])]
        composed = compose(manager.registry, task="pnp_ground", options=options, overrides=overrides, settle=manager.settle_run)
        launch(composed.cfg, manager)

    train(tmp_path / "whole", 4)
    train(tmp_path / "halves", 2)
    train(tmp_path / "halves", 4, resume=True)
    last = read_checkpoint(tmp_path / "whole" / "last.pt")
    assert_same(last, read_checkpoint(tmp_path / "halves" / "last.pt"))
    whole, halves = (lines(tmp_path / name) for name in ("whole", "halves"))
    assert whole == halves
    assert [line["iteration"] for line in whole] == [1, 2, 3, 4]
    if way == "evaluations":
        assert all("eval/tracked_fraction" in line for line in whole)
    elif way == "curriculum":
        assert len({line["curriculum/ramp"] for line in whole}) > 2
    elif way == "histories":
        assert last["observation_layout"]["policy"]["joint_pos"] == 3 * 43
