"""From the setting to the engine's scene, and what a run says when an engine had no room for some contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from grail_framework.config.compose import RunOptions, compose
from grail_framework.engine.mujoco.engine import MujocoEngine
from grail_framework.errors import ConfigError
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.launch import launch
from grail_framework.tasks.demo import make_demo_library

if TYPE_CHECKING:
    from pathlib import Path

SMALL = (
    "algorithm.num_steps_per_env=2",
    "algorithm.num_learning_epochs=1",
    "network.params.actor_hidden_dims=[8]",
    "network.params.critic_hidden_dims=[8]",
    "evaluation.at_start=false",
    "evaluation.at_end=false",
    "logging.console=off",
    "logging.tensorboard=false",
)


def compose_run(manager: GrailPluginManager, *overrides: str, **options: Any):
    options = {"engine": "mujoco", "num_envs": 4, **options}
    return compose(manager.registry, task="motion_tracking", options=RunOptions(**options), overrides=overrides).cfg


def test_a_run_says_once_what_to_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rooms = []

    def drop_in_three(engine: MujocoEngine) -> torch.Tensor:
        rooms.append(engine.spec.contact_room)
        return torch.tensor(3)

    monkeypatch.setattr(MujocoEngine, "drain_overflows", drop_in_three, raising=False)
    library, path = make_demo_library(tmp_path / "library", motions=1, seed=0), tmp_path / "run"
    manager = GrailPluginManager().load()
    options = {"data": str(library), "iterations": 2, "experiment_dir": str(path), "seed": 5}
    launch(compose_run(manager, *SMALL, "engine.contact_room=1.25", **options), manager)
    (said,) = [line for line in (path / "run.log").read_text().splitlines() if "contacts did not fit" in line]
    assert "in 3 environments of iteration 1" in said
    assert "raise engine.contact_room, now 1.25" in said
    assert set(rooms) == {1.25}


def test_room_is_positive_and_changes_nothing_unless_set():
    manager = GrailPluginManager().load()
    assert compose_run(manager).engine.contact_room == 1.0
    with pytest.raises(ConfigError, match=r"engine\.contact_room"):
        compose_run(manager, "engine.contact_room=0")
