"""The release's launch lines, row by row of its documentation."""

from __future__ import annotations

import pytest
from config_example import EXPERIMENT

from grail_framework.config.compose import RunOptions, compose
from grail_framework.config.release import ReleaseAlias, ReleaseTable
from grail_framework.config.structure import to_plain
from grail_framework.errors import ConfigError, PluginLoadError
from grail_framework.registry import Entry

EXP = f"+exp={EXPERIMENT}"
MC = "++manager_env.commands.motion"
ML = f"{MC}.motion_lib_cfg"
CF = "++manager_env.config"
ENV = "++manager_env"


def value_at(cfg, path):
    node = to_plain(cfg)
    for name in path.split("."):
        node = node[name]
    return node


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("num_envs=2048", "num_envs", 2048),
        ("++algo.config.num_learning_iterations=3", "iterations", 3),
        ("++algo.config.entropy_coef=0.02", "algorithm.entropy_coef", 0.02),
        ("++algo.config.actor_learning_rate=5e-5", "algorithm.learning_rate", 5e-5),
        (f"{ML}.motion_file=/data/box_ha/robot", "motion.data", "/data/box_ha"),
        (f"{ML}.motion_file=/data/box_ha/robot/", "motion.data", "/data/box_ha"),
        (f"{ML}.motion_file=/data/my_robot_motions", "motion.robot_dir", "/data/my_robot_motions"),
        (f"{ML}.object_motion_file=/data/box_ha/objects", "motion.object_dir", "/data/box_ha/objects"),
        (f"{CF}.object_usd_path=/data/box_ha/object_usd", "motion.object_usd", "/data/box_ha/object_usd"),
        (f"{CF}.object_usd_path=[/a.usd,/b.usd]", "motion.object_usd", ("/a.usd", "/b.usd")),
        (f"{ML}.bps_dir=/data/box/bps", "motion.bps_dir", "/data/box/bps"),
        (f"{ML}.filter_motion_keys=[a,b]", "motion.filter_motion_keys", ("a", "b")),
        (f"{ML}.filter_motion_keys=a", "motion.filter_motion_keys", ("a",)),
        (f"{ML}.filter_motion_keys=null", "motion.filter_motion_keys", None),
        (f"{ML}.remove_motion_keys=[a]", "motion.remove_motion_keys", ("a",)),
        (f"{ML}.max_unique_motions=16", "motion.max_unique_motions", 16),
        (f"{ML}.interleave_by_object=True", "motion.interleave_by_object", True),
        ("motion_shard_by_rank=true", "motion.shard_by_rank", True),
        (f"{ML}.motion_shard_world_size=4", "motion.shard_world_size", 4),
        ("++checkpoint=models/x/last.pt", "checkpoint", "models/x/last.pt"),
        ("++resume=True", "resume", True),
        ("experiment_dir=logs/x", "experiment_dir", "logs/x"),
        (f"{MC}.start_from_first_frame=True", "command.start_from_first_frame", True),
        (f"{MC}.sample_before_contact=False", "command.sample_before_contact", False),
        (f"{MC}.sample_before_contact_margin=5", "command.sample_before_contact_margin", 5),
        (f"{MC}.sample_from_n_initial_frames=30", "command.sample_from_n_initial_frames", 30),
        (f"{MC}.object_init_z_offset=-0.13", "command.object_init_z_offset", -0.13),
        (f"{CF}.safe_nan=true", "safe_nan", True),
        (f"{CF}.env_spacing=5.0", "scene.env_spacing", 5.0),
        ("use_wandb=false", "logging.wandb", False),
        ("+opt=wandb", "logging.wandb", True),
        ("wandb.wandb_project=mine", "logging.wandb_project", "mine"),
        ("wandb.wandb_entity=2026", "logging.wandb_entity", "2026"),
        ("++callbacks.model_save.save_frequency=250", "checkpoints.save_frequency", 250),
        ("project_name=Mine", "project", "Mine"),
        (f"{ENV}.rewards.grasp_right.weight=5", "rewards.grasp_right.weight", 5.0),
        (f"{ENV}.rewards.grasp_right.params.min_contacts=8", "rewards.grasp_right.params.min_contacts", 8),
        (f"{ENV}.rewards.grasp_right.params.gate_with_contact_label=false", "rewards.grasp_right.gate", None),
        (f"{ENV}.rewards.grasp_left.params.gate_with_contact_label=true", "rewards.grasp_left.gate.hand", "left"),
        (f"{ENV}.rewards.grasp_right.params.anti_contact_factor=-0.5", "rewards.grasp_right.gate.anti_contact_factor", -0.5),
        (f"{ENV}.terminations.anchor_pos.params.threshold=0.5", "terminations.anchor_pos.params.threshold", 0.5),
        (f"{ENV}.observations.policy.enable_corruption=true", "observations.policy.enable_corruption", True),
        (f"{CF}.example_margin=0.4", "extra.example.margin", 0.4),
    ],
)
def test_row(registry, text, path, value):
    composed = compose(registry, overrides=[EXP, text])
    assert value_at(composed.cfg, path) == value
    assert composed.warnings == ()


@pytest.mark.parametrize(
    ("text", "section", "term"),
    [
        (f"{ENV}.terminations.anchor_pos=null", "terminations", "anchor_pos"),
        (f"{ENV}.rewards.grasp_left=null", "rewards", "grasp_left"),
        ("~manager_env.terminations.anchor_pos", "terminations", "anchor_pos"),
    ],
)
def test_row_that_removes_a_term(registry, text, section, term):
    composed = compose(registry, overrides=[EXP, text])
    assert term not in value_at(composed.cfg, section)
    assert composed.warnings == ()


@pytest.mark.parametrize(
    ("texts", "fragments"),
    [
        ([f"{CF}.gpu_collision_stack_size_exp=28"], ("gpu_collision_stack_size_exp=28", "engine mujoco", "no such buffer")),
        (
            [f"{CF}.render_results=True", f"{CF}.max_render_envs=2"],
            ("render_results", "max_render_envs", "nothing is rendered"),
        ),
        ([f"{ENV}.recorders.render_envs._target_=a.b.C"], ("nothing is rendered",)),
        (["++replay=true", "++replay_loop_num=1"], ("replay=true", "replay_loop_num", "not played back")),
        (["headless=False"], ("no viewer window",)),
        ([f"{ML}.multi_thread=False"], ("no loader threads",)),
        ([f"{ML}.smpl_motion_file=dummy"], ("human body motions",)),
        ([f"{MC}.sample_before_contact_hand=right_hand"], ("never read",)),
        ([f"{MC}.pose_range.x=[-0.1,0.1]"], ("no noise",)),
        ([f"{CF}.motion_meta_info_path=x.pkl"], ("meta/ beside robot/",)),
        ([f"{ENV}.events.push_robot=null"], ("no event 'push_robot'",)),
        ([f"{ENV}.observations.tokenizer.enable_corruption=false"], ("'tokenizer'", "frozen base")),
        (["++hydra.run.dir=x"], ("--experiment-dir",)),
        (["++algo.config.critic_learning_rate=1e-3"], ("algorithm.critic_learning_rate",)),
    ],
)
def test_row_without_effect_gives_one_warning(registry, texts, fragments):
    plain = compose(registry, overrides=[EXP])
    composed = compose(registry, overrides=[EXP, *texts])
    assert composed.cfg == plain.cfg
    (warning,) = composed.warnings
    for fragment in fragments:
        assert fragment in warning


@pytest.mark.parametrize("text", ["headless=True", "+headless=true", f"{CF}.motion_meta_info_path=null"])
def test_row_without_effect_that_needs_no_warning(registry, text):
    assert compose(registry, overrides=[EXP, text]).warnings == ()


def test_smoke_line_of_the_documentation(registry):
    line = [
        EXP,
        "num_envs=4",
        "headless=True",
        "++algo.config.num_learning_iterations=3",
        f"{CF}.gpu_collision_stack_size_exp=28",
        f"{ML}.motion_file=/data/box_ha/robot",
        f"{ML}.object_motion_file=/data/box_ha/objects",
        f"{CF}.object_usd_path=/data/box_ha/object_usd",
        f"{ML}.bps_dir=/data/box/bps",
    ]
    composed = compose(registry, overrides=line)
    cfg = composed.cfg
    assert (cfg.task, cfg.num_envs, cfg.iterations) == ("example:lift", 4, 3)
    assert cfg.motion.data == "/data/box_ha"
    assert len(composed.warnings) == 1


def test_same_experiment_as_task_and_alias(registry):
    assert compose(registry, task="lift", overrides=[EXP]).cfg.task == "example:lift"
    assert compose(registry, task="example:lift", overrides=[EXP, EXP]).cfg.task == "example:lift"


def test_two_experiments_are_refused(registry):
    with pytest.raises(ConfigError, match="two experiments"):
        compose(registry, overrides=[EXP, EXP + "_from_table"])


def test_option_and_alias_that_agree_are_fine(registry):
    options = RunOptions(data="/data/box_ha/", iterations=3)
    line = [EXP, f"{ML}.motion_file=/data/box_ha/robot", "++algo.config.num_learning_iterations=3"]
    cfg = compose(registry, options=options, overrides=line).cfg
    assert cfg.iterations == 3


def test_two_spellings_that_disagree_are_refused(registry):
    with pytest.raises(ConfigError, match=r"num_learning_iterations=3.*iterations=5.*disagree on iterations"):
        compose(registry, overrides=[EXP, "++algo.config.num_learning_iterations=3", "iterations=5"])


def test_same_spelling_twice_takes_the_last(registry):
    assert compose(registry, overrides=[EXP, "++resume=False", "resume=True", "num_envs=4", "++num_envs=8"]).cfg.num_envs == 8


def test_gate_of_a_reward_without_a_hand_is_asked_for(registry):
    text = f"{ENV}.rewards.tracking_anchor_pos.params.gate_with_contact_label=true"
    with pytest.raises(ConfigError, match=r"not clear; write \+rewards\.tracking_anchor_pos\.gate\.hand"):
        compose(registry, overrides=[EXP, text])


def test_the_most_specific_pattern_wins():
    table = ReleaseTable(
        [
            ReleaseAlias(pattern="a.**", note="rest"),
            ReleaseAlias(pattern="a.{x}.c", path="x.{x}"),
            ReleaseAlias(pattern="a.b.c", path="exact"),
        ]
    )
    assert table._find("a.b.c")[0].path == "exact"
    assert table._find("a.z.c") == (ReleaseAlias(pattern="a.{x}.c", path="x.{x}"), {"x": "z"})
    assert table._find("a.z.d.e")[0].note == "rest"
    assert table._find("b") is None


def test_an_alias_says_one_thing():
    with pytest.raises(ValueError, match="exactly one of"):
        ReleaseAlias(pattern="a", path="b", note="c")
    with pytest.raises(ValueError, match="exactly one of"):
        ReleaseAlias(pattern="a")


def test_a_table_that_does_not_load_is_named_where_a_path_stays_unknown(registry):
    registry.commit([Entry(kind="release_alias", name="x", plugin="broken", target="no_such_module:ALIASES")])
    assert compose(registry, overrides=[EXP, "num_envs=4"]).cfg.num_envs == 4
    with pytest.raises(ConfigError, match=r"no_such_module.*grail plugins show broken"):
        compose(registry, overrides=[EXP, "++manager_env.unknown=1"])


def test_a_converter_that_raises_is_the_plugins_fault(registry):
    with pytest.raises(PluginLoadError, match=r"example_broken.*KeyError"):
        compose(registry, overrides=[EXP, f"{CF}.example_broken=1"])
