"""The release's hand-object lines, through this plugin's table."""

from __future__ import annotations

import pytest

from grail_framework.config.grammar import parse_overrides
from grail_framework.config.release import ReleaseTable
from grail_framework.errors import ConfigError
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
