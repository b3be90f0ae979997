"""Presets change what fits a machine, and say so."""

from __future__ import annotations

import attrs
import pytest
from config_example import lift

from grail_framework.config import NetworkCfg
from grail_framework.config.compose import RunOptions, compose
from grail_framework.config.presets import PRESETS, find_preset
from grail_framework.errors import ConfigError
from grail_framework.plugins.manager import GrailPluginManager

KEPT = ("rewards", "terminations", "action", "scene", "command", "events", "curriculums", "robot", "motion")


@pytest.fixture(scope="module")
def first_party():
    return GrailPluginManager().load().registry


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize(
    "task",
    ["core:motion_tracking", "core:motion_base", "hoi:pnp_table", "hoi:advanced_manip_ground", "terrain:terrain_tracking"],
)
def test_the_changes_told_are_the_changes_made(first_party, task, preset):
    changed = compose(first_party, task=task, preset=preset)
    by_hand = compose(first_party, task=task, overrides=changed.preset_changes)
    assert changed.preset_changes
    assert changed.cfg == by_hand.cfg


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize(
    "task",
    ["core:motion_tracking", "core:motion_base", "hoi:pnp_table", "hoi:advanced_manip_ground", "terrain:terrain_tracking"],
)
def test_the_task_itself_stays(first_party, task, preset):
    own, changed = (compose(first_party, task=task, preset=name).cfg for name in (None, preset))
    changes = own.presets.get(preset, ())
    assert all(
        getattr(own, section) == getattr(changed, section)
        for section in KEPT
        if not any(section in change for change in changes)
    )


def test_a_task_adds_its_own_changes(first_party):
    own, changed = (compose(first_party, task="pnp_table", preset=name).cfg for name in (None, "laptop"))
    assert own.rewards.keys() - changed.rewards.keys() == {"finger_primitive_limit"}
    assert all(own.rewards[name] == term for name, term in changed.rewards.items())


@pytest.mark.parametrize("preset", list(PRESETS))
def test_two_stacked_networks_start_slowly_and_their_critic_does_not(first_party, preset):
    tokens, other = (
        compose(first_party, task=task, preset=preset).cfg.algorithm for task in ("motion_base", "motion_tracking")
    )
    assert tokens.learning_rate <= other.learning_rate / 10
    assert tokens.critic_learning_rate == 10 * tokens.learning_rate
    assert other.critic_learning_rate is None


def test_a_tasks_wrong_change_is_named(registry, monkeypatch):
    broken = attrs.evolve(lift(), presets={"laptop": ("algorithm.learning_rat=1",)})
    monkeypatch.setattr("config_example.lift", lambda: broken)
    with pytest.raises(ConfigError, match="learning_rat"):
        compose(registry, task="lift", preset="laptop")


def test_overrides_and_options_win(registry):
    composed = compose(
        registry, task="lift", preset="laptop", options=RunOptions(seed=3), overrides=["algorithm.learning_rate=3e-4"]
    )
    assert (composed.cfg.algorithm.learning_rate, composed.cfg.algorithm.desired_kl, composed.cfg.seed) == (3e-4, 0.05, 3)


def test_an_unknown_preset_names_the_known():
    with pytest.raises(ConfigError, match=r"--preset: got 'laptob'; did you mean 'laptop'\?"):
        find_preset("laptob")


def test_a_continued_run_keeps_its_settings(registry):
    saved = compose(registry, task="lift").cfg
    with pytest.raises(ConfigError, match="--preset laptop: a run that is continued keeps its settings"):
        compose(registry, saved=saved, preset="laptop")


@pytest.mark.parametrize("name", ["universal_token", "core:universal_token"])
@pytest.mark.parametrize(
    ("preset", "layers", "critic"), [("laptop", (128, 128), (256, 128)), ("scratch", (512, 256), (512, 256, 128))]
)
def test_a_universal_token_network_gets_other_layers_and_keeps_its_tokens(name, preset, layers, critic):
    network = NetworkCfg(func=name, params={"num_tokens": 2, "encoders": ("g1",)})
    params = PRESETS[preset](attrs.evolve(lift(), network=network)).network.params
    assert params == {
        "num_tokens": 2,
        "encoders": ("g1",),
        "encoder_hidden_dims": layers,
        "dyn_hidden_dims": layers,
        "kin_hidden_dims": layers,
        "critic_hidden_dims": critic,
        "normalize_actor": True,
        "normalize_critic": True,
    }


@pytest.mark.parametrize("preset", list(PRESETS))
def test_motion_base_starts_at_the_reference_and_a_residual_is_there_already(first_party, preset):
    params = compose(first_party, task="core:motion_base", preset=preset).cfg.network.params
    assert params["imitated_rollouts"] == 5
    own = compose(first_party, task="core:motion_base").cfg
    residual = attrs.evolve(own, action=attrs.evolve(own.action, func="core:joint_residual"))
    assert "imitated_rollouts" not in PRESETS[preset](residual).network.params


@pytest.mark.parametrize("preset", list(PRESETS))
def test_another_plugins_network_stays(preset):
    network = NetworkCfg(func="mine:mlp", params={"width": 3})
    assert PRESETS[preset](attrs.evolve(lift(), network=network)).network == network
