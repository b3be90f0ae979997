"""A plan of any plugin: two libraries become one, every environment has the asset of its motion, bad motions leave the plan."""

from __future__ import annotations

import logging
import shutil

import attrs
import numpy as np
import pytest
import torch

from grail_framework import hookimpl
from grail_framework.assets.usd_writer import write_box_usd
from grail_framework.config import MotionCfg, NetworkCfg
from grail_framework.errors import AssetError, CheckpointError, DataError
from grail_framework.evaluation.checkpoints import evaluate_checkpoint
from grail_framework.evaluation.rollout import evaluate, first_envs, zero_action
from grail_framework.motion.clip import ObjectTrack
from grail_framework.motion.faults import ClipFault
from grail_framework.motion.writer import write_clip
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.plugins.results import TerrainMotion, TerrainPlan
from grail_framework.robots.g1 import g1_43dof
from grail_framework.runs.assembly import build_env, build_network, load_parts
from grail_framework.runs.formats import serialize
from grail_framework.runs.nan_dump import read_dump, replay_dump, write_dumps
from grail_framework.tasks.demo import mujoco_joint_order
from grail_framework.testing.bases import without_base
from grail_framework.testing.fakes import standing_clip

PLACE = {"a": 0.1, "b": 0.2, "c": 0.3}
"""Where the terrain of each motion is along y. [m]"""
FRAMES = {"a": 50, "b": 40, "c": 30, "u": 35, "v": 45}


class Hills:
    """Plans what a test says, and finds fault with what a test says."""

    grail_api = ">=1,<2"

    def __init__(self):
        self.plan = None
        self.faulty = {}

    @hookimpl
    def grail_register_engines(self, registry):
        registry.add("kinematic", "grail_framework.testing.fakes:KinematicEngine")

    @hookimpl
    def grail_discover_terrain(self):
        return self.plan

    @hookimpl
    def grail_check_motions(self, motions):
        paths = dict(zip(motions.keys, motions.object_usd, strict=True))
        return [ClipFault(path=paths[key], key=key, reason=why) for key, why in self.faulty.items() if key in paths]


@pytest.fixture
def hills():
    return Hills()


@pytest.fixture
def manager(hills):
    loaded = GrailPluginManager().load()
    loaded.register(hills, "hills")
    return loaded


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Three motions with a terrain each, and two without any; the motion `a` is also one of the flat ones."""
    root, robot = tmp_path_factory.mktemp("ground"), g1_43dof()
    order = mujoco_joint_order(robot)

    def write(folder, key, frames, place=None):
        clip = standing_clip(robot, key=key, frames=frames)
        track = None
        if place is not None:
            pos = np.tile([0.0, place, 0.0], (frames, 1)).astype(np.float32)
            track = ObjectTrack(pos=pos, quat=clip.root_quat, fps=50.0)
        names = tuple(clip.joint_names[i] for i in order)
        write_clip(attrs.evolve(clip, joint_names=names, joint_pos=clip.joint_pos[:, order], object=track), folder, robot)

    for key, place in PLACE.items():
        write(root / "stairs", key, FRAMES[key], place)
        write_box_usd(_made(root / "stairs" / "object_usd") / f"{key}.usd", (4.0, 4.0, 0.02))
    for key in "uva":
        write(root / "flat", key, FRAMES.get(key, 25) if key != "a" else 25)
    write_box_usd(root / "stairs" / "flat.usd", (0.02, 0.02, 0.02))
    return root


def _made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def ground(template, tmp_path):
    return shutil.copytree(template, tmp_path / "ground")


@pytest.fixture
def cfg(manager, ground):
    cfg = without_base(manager.registry.find("task", "hoi:pnp_ground").load()(), manager)
    return attrs.evolve(
        cfg,
        num_envs=6,
        rewards={},
        motion=MotionCfg(data=str(ground / "stairs"), use_packed=False),
        command=attrs.evolve(cfg.command, sample_before_contact=False, use_motion_hand_actions=False),
        engine=attrs.evolve(cfg.engine, name="hills:kinematic", device="cpu"),
        scene=attrs.evolve(cfg.scene, object=attrs.evolve(cfg.scene.object, dynamic=False)),
        network=NetworkCfg(func="core:mlp", params={"actor_hidden_dims": (8,), "critic_hidden_dims": (8,)}),
    )


def plan_of(ground, env_motion, **settings):
    usd = ground / "stairs" / "object_usd"
    terrain = [TerrainMotion(key=key, stem=key, usd=str(usd / f"{key}.usd")) for key in "abc"]
    flat = [
        TerrainMotion(key=key, stem=key[-1], usd=str(ground / "stairs" / "flat.usd"), flat=True) for key in ("u", "v", "flat:a")
    ]
    return TerrainPlan(
        motions=(*terrain, *flat),
        env_motion=tuple(env_motion),
        terrain_dir=str(ground / "stairs"),
        flat_dir=str(ground / "flat" / "robot"),
        **settings,
    )


def followed(env):
    return tuple(env.motions.keys[motion] for motion in env.command.motion_ids.tolist())


def stands_on(env):
    return [env.engine.spec.objects[index].path for index in env.engine.spec.env_object]


@pytest.fixture
def env(hills, cfg, manager, ground):
    hills.plan = plan_of(ground, ("u", "c", "v", "a", "flat:a", "c"))
    made = build_env(load_parts(cfg, manager))
    yield made
    made.close()


def test_every_environment_follows_its_motion_on_its_asset(env, hills):
    assert env.motions.keys == ("c", "a", "u", "v", "flat:a")
    assert followed(env) == hills.plan.env_motion
    assert stands_on(env) == list(hills.plan.env_usd)
    assert env.command.num_frames.tolist() == [35, 30, 45, 50, 25, 30]
    # The flat ones stand on a thing at the origin; the terrains are where their motions have them.
    places = [0.0, 0.3, 0.0, 0.1, 0.0, 0.3]
    torch.testing.assert_close(env.reference.object_pos_w[:, 1], torch.tensor(places))
    torch.testing.assert_close(env.state.object_pos_w[:, 1], torch.tensor(places))
    assert env.motions.has_object.tolist() == [True, True, False, False, False]


def test_motions_are_those_of_one_library_bit_by_bit(env, cfg, manager, hills, ground):
    """Joined with others, at another place: all that is gathered of a motion is what its own library gives."""
    hills.plan = None
    alone = load_parts(attrs.evolve(cfg, motion=attrs.evolve(cfg.motion, filter_motion_keys=("c",))), manager).motions
    frames = torch.arange(30)
    ours, theirs = (lib.frame(torch.full_like(frames, lib.keys.index("c")), frames) for lib in (env.motions, alone))
    for field in attrs.fields(type(ours)):
        assert torch.equal(getattr(ours, field.name), getattr(theirs, field.name)), field.name


def test_lines_of_the_plan_are_logged(hills, cfg, manager, ground, caplog):
    hills.plan = plan_of(ground, "abcabc", notes=("found three",), warnings=("two are missing",))
    with caplog.at_level(logging.INFO, logger="grail_framework"):
        load_parts(cfg, manager)
    said = [(record.levelname, record.message) for record in caplog.records]
    assert ("INFO", "found three") in said
    assert ("WARNING", "two are missing") in said
    assert (
        "INFO",
        "[PerRankMotion] Loaded 3 motion keys of the plan; forced motion_shard_world_size=1 (120 frames at 50 fps)",
    ) in said
    shown = [record.message for record in caplog.records if hasattr(record, "on_console")]
    assert [line.partition(" ")[0] for line in shown] == ["found", "[PerRankMotion]"]


def test_a_bad_motion_stops_or_leaves_its_environments_to_others(hills, cfg, manager, ground):
    (ground / "stairs" / "objects" / "c.pkl").write_bytes(b"torn")
    hills.plan = plan_of(ground, ("u", "c", "v", "a", "u", "c"))
    with pytest.raises(DataError, match=r"1 of 2 motions cannot be used.*\n.*'c'"):
        load_parts(cfg, manager)
    parts = load_parts(skipping(cfg), manager)
    assert parts.plan.env_motion == ("u", "a", "v", "a", "u", "a")
    assert parts.motions.keys == ("a", "u", "v")
    env = build_env(parts)
    assert followed(env) == parts.plan.env_motion
    assert stands_on(env) == list(parts.plan.env_usd)


def test_a_bad_asset_and_a_plugins_fault_do_the_same(hills, cfg, manager, ground):
    (ground / "stairs" / "object_usd" / "b.usd").write_bytes(b"PXR-USDC that ends here")
    hills.plan, hills.faulty = plan_of(ground, "abcabc"), {"c": "has a hole"}
    with pytest.raises(DataError) as caught:
        load_parts(cfg, manager)
    assert "2 of 3 motions cannot be used" in str(caught.value)
    assert "has a hole" in str(caught.value)
    assert load_parts(skipping(cfg), manager).plan.env_motion == ("a",) * 6


def test_all_of_one_kind_are_bad(hills, cfg, manager, ground):
    for key in "abc":
        (ground / "stairs" / "objects" / f"{key}.pkl").write_bytes(b"torn")
    hills.plan = plan_of(ground, "ubvaub")
    assert load_parts(skipping(cfg), manager).plan.env_motion == ("u", "u", "v", "v", "u", "u")
    hills.plan = plan_of(ground, "abcabc")
    with pytest.raises(DataError, match="no motion is left"):
        load_parts(skipping(cfg), manager)


def test_a_bad_asset_under_the_flat_motions(hills, cfg, manager, ground):
    (ground / "stairs" / "flat.usd").write_bytes(b"nothing")
    hills.plan = plan_of(ground, "uavbuc")
    with pytest.raises(AssetError, match="It stands under all flat motions: name another with flat_usd_path"):
        load_parts(skipping(cfg), manager)


def test_a_plugins_fault_counts_without_a_plan(hills, cfg, manager):
    hills.faulty = {"b": "is too long"}
    with pytest.raises(DataError, match=r"(?s)1 of 3 motions cannot be used.*is too long"):
        load_parts(cfg, manager)
    assert load_parts(skipping(cfg), manager).motions.keys == ("a", "c")


def skipping(cfg):
    return attrs.evolve(cfg, motion=attrs.evolve(cfg.motion, on_bad_clip="skip"))


def test_a_small_environment_of_an_evaluation_follows_the_motions_in_turn(hills, cfg, manager, ground):
    hills.plan = plan_of(ground, ("u", "c", "v", "a", "u", "c"))
    parts = load_parts(cfg, manager)
    env = build_env(parts, num_envs=parts.motions.num_motions)
    assert followed(env) == parts.motions.keys == ("c", "a", "u", "v")
    assert stands_on(env) == [parts.plan.find(key).usd for key in parts.motions.keys]


def test_an_evaluation_in_the_training_environment_counts_each_motion_once(env):
    result = evaluate(env, zero_action(env))
    assert [score.key for score in result.motions] == ["c", "a", "u", "v", "flat:a"]
    assert [score.num_frames for score in result.motions] == [30, 50, 35, 45, 25]


@pytest.mark.parametrize(
    ("motion_ids", "first"), [([0, 1, 2, 0, 1], {0: 0, 1: 1, 2: 2}), ([3, 1, 3, 0], {0: 3, 1: 1, 3: 0}), ([2], {2: 0})]
)
def test_first_envs(motion_ids, first):
    assert first_envs(motion_ids) == first
    assert list(first_envs(motion_ids)) == sorted(first)


def test_a_checkpoint_is_judged_on_all_motions_of_both_libraries(hills, cfg, manager, ground, tmp_path):
    """In batches of two, though the training had other numbers; each on its own ground."""
    hills.plan = plan_of(ground, ("a",) * 6)
    parts = load_parts(cfg, manager)
    env = build_env(parts, num_envs=1)
    network = build_network(cfg, manager, env)
    path = tmp_path / "last.pt"
    path.write_bytes(serialize({"model": dict(network.state_dict()), "task": cfg.task, "robot": cfg.robot.name}))
    stages = []
    result = evaluate_checkpoint(attrs.evolve(cfg, num_envs=2), path, manager, on_stage=stages.append)
    assert {score.key: score.num_frames for score in result.policy.motions} == {
        "a": 50,
        "b": 40,
        "c": 30,
        "u": 35,
        "v": 45,
        "flat:a": 25,
    }
    assert stages == [f"batch {n} of 3: 2 of 6 motions" for n in (1, 2, 3)]


def test_a_state_goes_on_only_with_the_same_plan(env, hills, cfg, manager, ground):
    state = env.state_dict()
    env.load_state_dict(state)
    hills.plan = plan_of(ground, ("u", "c", "v", "a", "flat:a", "a"))
    other = build_env(load_parts(cfg, manager))
    assert other.motions.keys == env.motions.keys
    with pytest.raises(CheckpointError, match="follow other motions than those of this run, though the motions are the same"):
        other.load_state_dict(state)


def test_an_older_state_without_the_plan_is_taken(env):
    state = env.state_dict()
    del state["command"]["motion_ids"]
    env.load_state_dict(state)


def test_an_invalid_environment_is_replayed_on_its_own_ground(env, cfg, manager, tmp_path):
    env.reset()
    for step in range(3):
        action = torch.zeros(6, env.num_actions)
        if step == 2:
            action[1, 3] = float("nan")
        env.step(action)
    (path,) = write_dumps(env.drain_invalid(), cfg, tmp_path, iteration=1, rank=0)
    dump = read_dump(path)
    assert dump.record.motion == "c"
    assert [finding.what for finding in replay_dump(dump, manager).findings] == ["action"]


def test_a_plan_names_its_motions(ground):
    plan = plan_of(ground, ("u", "c", "v", "a", "u", "c"))
    assert plan.motion_keys == ("c", "a", "c", "u", "v")
    assert plan.num_terrain_motions == 3
    assert [motion.key for motion in plan.followed()] == ["c", "a", "u", "v"]
    assert plan.only(["b", "flat:a"]).env_motion == ("b", "flat:a")
    with pytest.raises(DataError, match="no motion 'flat:b' on this terrain: did you mean 'flat:a'"):
        plan.only(["flat:b"])
    with pytest.raises(DataError, match="none of the 4 motions"):
        plan.without("abcuv")
