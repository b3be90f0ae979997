"""The release's hand-object lines, through this plugin's table."""

from __future__ import annotations

import pytest

from grail_framework.config.compose import compose
from grail_framework.config.grammar import parse_overrides
from grail_framework.config.release import ReleaseTable
from grail_framework.errors import ConfigError
from grail_framework.plugins.manager import GrailPluginManager
from grail_hoi.release_aliases import ALIASES, base_checkpoint, base_config

TREE = {"action": {"func": "core:joint_residual"}, "rewards": {}}


@pytest.mark.parametrize("task", ["pnp_table", "pnp_ground", "advanced_manip_table", "advanced_manip_ground"])
def test_experiments(task):
    chosen, rest = ReleaseTable(ALIASES).task_of(parse_overrides([f"+exp=manager/universal_token/hoi/{task}", "num_envs=4"]))
    assert chosen == f"hoi:{task}"
    assert [override.key for override in rest] == ["num_envs"]


def test_unknown_experiment():
    with pytest.raises(ConfigError, match="manager/universal_token/hoi/pnp_table"):
        ReleaseTable(ALIASES).task_of(parse_overrides(["+exp=manager/universal_token/hoi/pnp_tabel"]))


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("++manager_env.config.object_mass=0.2", "scene.object.mass", 0.2),
        ("++manager_env.config.object_density=300", "scene.object.density", 300),
        ("++manager_env.config.use_motion_hand_actions=true", "command.use_motion_hand_actions", True),
        ("++manager_env.rewards.object_tracking_reward.weight=5", "rewards.object_tracking.weight", 5),
        ("++manager_env.rewards.object_tracking_reward.params.w_op=1.0", "rewards.object_tracking.params.w_op", 1.0),
        ("++manager_env.rewards.object_tracking_reward=null", "rewards.object_tracking", None),
        ("++manager_env.rewards.grasp_reward.weight=5", "rewards.grasp_right.weight", 5),
        ("++manager_env.rewards.grasp_reward_left.params.min_contacts=2", "rewards.grasp_left.params.min_contacts", 2),
        ("++manager_env.rewards.grasp_finger_direction.weight=1", "rewards.finger_direction_right.weight", 1),
        ("++manager_env.rewards.contact_center_left=null", "rewards.contact_center_left", None),
        (
            "++manager_env.rewards.grasp_reward.params.gate_with_contact_label=true",
            "rewards.grasp_right.gate",
            {"hand": "right", "missing": "error"},
        ),
        ("++manager_env.rewards.grasp_reward_left.params.gate_with_contact_label=false", "rewards.grasp_left.gate", None),
    ],
)
def test_paths(text, key, value):
    (moved,) = ReleaseTable(ALIASES).translate(parse_overrides([text]), TREE).overrides
    assert (moved.key, moved.value, moved.text) == (key, value, text)


@pytest.mark.parametrize("what", ["cfg", "checkpoint"])
def test_frozen_base_without_use_is_told(what):
    text = f"++manager_env.config.action_transform_module_{what}=models/base"
    translation = ReleaseTable(ALIASES).translate(parse_overrides([text]), TREE)
    assert translation.overrides == ()
    assert "joint_residual" in translation.notes[0]


def test_frozen_base_goes_to_the_transform_that_runs_it():
    tree = {"action": {"func": "hoi:latent_residual"}}
    assert base_config("a", {}, tree).edits == (("action.params.base_config", "a"),)
    assert base_checkpoint("b", {}, tree).edits == (("action.params.base_checkpoint", "b"),)


@pytest.fixture(scope="module")
def registry():
    return GrailPluginManager().load().registry


ENV = "++manager_env.config"


@pytest.mark.parametrize("task", ["pnp_table", "pnp_ground", "advanced_manip_table", "advanced_manip_ground"])
def test_the_release_s_overrides_reach_the_tasks(registry, task):
    lines = (
        f"{ENV}.object_mass=null",
        f"{ENV}.object_density=250",
        f"{ENV}.use_motion_hand_actions=true",
        f"{ENV}.latent_residual_mode=post_quantization",
        f"{ENV}.latent_residual_scale=0.2",
        f"{ENV}.action_transform_module_cfg=models/base/model_config.yaml",
        f"{ENV}.action_transform_module_checkpoint=models/base/last.pt",
        f"{ENV}.use_latent_residual=true",
        f"{ENV}.use_finger_primitive=true",
        f"{ENV}.use_staged_wrapper=false",
        f"{ENV}.add_object=true",
        f"{ENV}.add_table=true",
        f"{ENV}.table_size=[1.5,0.7,0.04]",
        f"{ENV}.meta_action_dim=66",
        "++manager_env.commands.motion.sample_before_contact_margin=5",
        "++manager_env.observations.tokenizer.enable_corruption=false",
        "++manager_env.observations.policy_atm.enable_corruption=false",
        "++manager_env.rewards.object_tracking_reward.params.w_ov=0.1",
        "++manager_env.rewards.grasp_reward.params.min_contacts=4",
        "++manager_env.terminations.object_pos_deviation.params.threshold=0.3",
        "++manager_env.terminations.anchor_ori=null",
        "++motion_shard_by_rank=false",
    )
    run = compose(registry, overrides=(f"+exp=manager/universal_token/hoi/{task}", *lines))
    cfg = run.cfg
    assert (cfg.scene.object.mass, cfg.scene.object.density, cfg.scene.object.dynamic) == (None, 250.0, True)
    assert cfg.scene.table.size == (1.5, 0.7, 0.04)
    assert cfg.command.use_motion_hand_actions
    assert cfg.command.sample_before_contact_margin == 5
    assert cfg.action.params == {
        "mode": "post_quantization",
        "scale": 0.2,
        "finger_primitive": "discrete",
        "base_checkpoint": "models/base/last.pt",
        "base_config": "models/base/model_config.yaml",
    }
    assert cfg.rewards["object_tracking"].params["w_ov"] == 0.1
    assert cfg.rewards["grasp_right"].params["min_contacts"] == 4
    assert cfg.terminations["object_pos_deviation"].params == {"threshold": 0.3}
    assert "anchor_ori" not in cfg.terminations
    assert not cfg.motion.shard_by_rank
    (note,) = run.warnings
    assert "meta_action_dim=66: follows from the base policy's tokens" in note


def test_the_table_may_be_taken_away(registry):
    overrides = [f"{ENV}.add_table=false", "~scene.contact_sensors.table_right_hand"]
    overrides += ["~rewards.hand_table_contact_penalty", f"{ENV}.object_is_dynamic=false"]
    cfg = compose(registry, task="advanced_manip_table", overrides=overrides).cfg
    assert cfg.scene.table is None
    assert not cfg.scene.object.dynamic


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("use_latent_residual=false", "action.func=core:joint_residual"),
        ("use_staged_wrapper=true", "allowed: false"),
        ("add_table=2", "allowed: true or false"),
    ],
)
def test_switches_that_cannot_be_otherwise(registry, text, answer):
    with pytest.raises(ConfigError, match=answer):
        compose(registry, task="pnp_table", overrides=[f"{ENV}.{text}"])


def test_an_anti_contact_factor_goes_to_the_gate(registry):
    factor = "++manager_env.rewards.grasp_reward.params.anti_contact_factor=-0.5"
    gate = compose(registry, task="pnp_table", overrides=[factor]).cfg.rewards["grasp_right"].gate
    assert (gate.hand, gate.missing, gate.anti_contact_factor) == ("right", "error", -0.5)
