"""The task motion_base: what it is made of. Whole runs of it are in tests/runs/test_base_bundle.py."""

from __future__ import annotations

import pytest

from grail_framework.config.compose import compose
from grail_framework.config.presets import PRESETS
from grail_framework.plugins.manager import GrailPluginManager


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


def test_it_is_motion_tracking_by_the_releases_networks(manager):
    cfg, tracking = (manager.registry.find("task", name).load()() for name in ("core:motion_base", "core:motion_tracking"))
    for section in ("scene", "robot", "command", "rewards", "terminations", "events", "algorithm"):
        assert getattr(cfg, section) == getattr(tracking, section)
    assert cfg.observations["critic"] == tracking.observations["critic"]
    assert {name: group.width for name, group in cfg.observations.items()} == {"policy": 930, "tokenizer": 1761, "critic": None}
    assert {term.history_length for term in cfg.observations["policy"].terms.values()} == {10}
    assert {term.history_length for term in cfg.observations["tokenizer"].terms.values()} == {1}
    assert not any(group.enable_corruption for group in cfg.observations.values())
    assert (cfg.action.func, cfg.network.func) == ("core:joint_position", "core:universal_token")
    widths = {name: value for name, value in cfg.network.params.items() if name.endswith("hidden_dims")}
    assert widths == {
        "encoder_hidden_dims": (2048, 1024, 512, 512),
        "dyn_hidden_dims": (2048, 2048, 1024, 1024, 512, 512),
        "kin_hidden_dims": (2048, 1024, 512, 512),
        "critic_hidden_dims": (2048, 2048, 1024, 1024, 512, 512),
    }


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_keep_the_layout_that_a_base_must_have(manager, preset):
    own, changed = (compose(manager.registry, task="motion_base", preset=name).cfg for name in (None, preset))
    for group in ("policy", "tokenizer"):
        assert changed.observations[group] == own.observations[group]
    assert changed.action == own.action


def test_its_demo_library_is_that_of_motion_tracking(manager):
    ours, theirs = (manager.registry.find("demo_library", f"core:{name}") for name in ("motion_base", "motion_tracking"))
    assert (ours.target, ours.summary) == (theirs.target, theirs.summary)
