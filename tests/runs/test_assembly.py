"""What a network's factory is given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from grail_framework.config import ActionCfg, NetworkCfg, RunCfg
from grail_framework.errors import ConfigError
from grail_framework.learning.networks import MlpActorCritic
from grail_framework.learning.universal_token.network import UniversalTokenActorCritic
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.assembly import build_network

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv

LAYOUT = {
    "policy": {"base_ang_vel": 30, "gravity_dir": 10},
    "critic": {"command": 58},
    "tokenizer": {"command_multi_future_nonflat": 580, "motion_anchor_ori_heading_mf_nonflat": 60},
}
SMALL = {name: (8,) for name in ("encoder_hidden_dims", "dyn_hidden_dims", "kin_hidden_dims", "critic_hidden_dims")}


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


def build(manager: GrailPluginManager, func: str, params: dict[str, Any], layout: dict[str, dict[str, int]]) -> Any:
    """Build a network for an environment of which nothing but its widths is asked."""
    groups = {name: SimpleNamespace(layout=terms) for name, terms in layout.items()}
    widths = {name: sum(terms.values()) for name, terms in layout.items()}
    env = cast("TrackingEnv", SimpleNamespace(groups=groups, observation_dims=widths, num_actions=7, action_term=None))
    cfg = RunCfg(
        task="test",
        action=ActionCfg(func="none"),
        observations={},
        rewards={},
        terminations={},
        network=NetworkCfg(func=func, params=params),
    )
    return build_network(cfg, manager, env)


def test_a_network_that_asks_for_the_layout_is_given_it(manager):
    network = build(manager, "core:universal_token", SMALL, LAYOUT)
    assert isinstance(network, UniversalTokenActorCritic)
    assert network.actor_module.layout.widths == LAYOUT["tokenizer"]
    assert (network.actor_module.proprioception_dim, network.num_actions) == (40, 7)


def test_another_is_not(manager):
    assert isinstance(build(manager, "core:mlp", {"actor_hidden_dims": (8,)}, LAYOUT), MlpActorCritic)


def test_the_layout_is_no_parameter_of_the_configuration(manager):
    with pytest.raises(ConfigError, match="unknown parameter 'observation_layout'"):
        build(manager, "core:universal_token", {"observation_layout": {}}, LAYOUT)
    with pytest.raises(ConfigError, match="did you mean 'recon_coef'"):
        build(manager, "core:universal_token", {"recon_coeff": 0.1}, LAYOUT)


def test_a_missing_group_is_told(manager):
    with pytest.raises(ConfigError, match="reads the observation groups tokenizer"):
        build(manager, "core:universal_token", SMALL, {name: LAYOUT[name] for name in ("policy", "critic")})
