"""The benchmark of PPO updates takes its size from the task."""

import attrs
import pytest

from grail_framework.bench.ppo import measure, update_size
from grail_framework.bench.task import BenchTask
from grail_framework.config.compose import RunOptions, compose
from grail_framework.errors import ConfigError
from grail_framework.plugins.manager import GrailPluginManager

LAYERS = ["network.params.actor_hidden_dims=[8,4]", "network.params.critic_hidden_dims=[8,4]"]


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture
def task(manager):
    def make(*overrides):
        options = RunOptions(engine="mujoco", num_envs=4)
        small = ["algorithm.num_steps_per_env=3", "algorithm.num_mini_batches=2", "algorithm.num_learning_epochs=1"]
        cfg = compose(manager.registry, task="motion_tracking", options=options, overrides=[*small, *overrides]).cfg
        return BenchTask(cfg=cfg, manager=manager, repeats=2)

    return make


def test_update_decision_and_losses_are_of_the_same_size(task):
    update, losses, decision = measure(task(*LAYERS))
    for row in (update, losses, decision):
        assert row.conditions["num_envs"] == 4
        assert row.conditions["steps_per_iteration"] == 3
        assert row.conditions["hidden"] == [8, 4]
        assert (row.conditions["epochs"], row.conditions["mini_batches"]) == (1, 2)
    assert len(update.figure.values) == len(update.reference.values) == 2
    assert (update.goal.bound, losses.goal.bound) == (0.6, 1e-5)
    assert losses.met
    assert set(update.details) == {"eager_ms", "rsl_rl_returns_ms", "weight_difference"}


def test_the_task_s_own_layers_are_taken(task):
    cfg = task(*LAYERS).cfg
    assert update_size(cfg).hidden == (8, 4)
    assert update_size(attrs.evolve(cfg, network=attrs.evolve(cfg.network, params={}))).hidden == (512, 256, 128)


def test_networks_that_rsl_rl_does_not_have_are_refused(task):
    with pytest.raises(ConfigError, match="same layers for actor and critic"):
        update_size(task(LAYERS[0]).cfg)
