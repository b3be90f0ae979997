"""Evaluating a checkpoint: origin, batches with the right assets, motions that cannot be used."""

import attrs
import pytest
import torch

from grail_framework.config import MotionCfg, NetworkCfg
from grail_framework.errors import CheckpointError, DataError
from grail_framework.evaluation import checkpoints
from grail_framework.evaluation.checkpoints import check_origin, evaluate_checkpoint, evaluation_config
from grail_framework.runs.assembly import build_env, build_network, load_parts
from grail_framework.runs.formats import serialize
from grail_framework.testing.fakes import write_box_library

KEYS = tuple(f"box__{i:03d}" for i in range(5))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return write_box_library(tmp_path_factory.mktemp("library"), KEYS)


@pytest.fixture
def run_cfg(cfg, library):
    network = NetworkCfg(func="core:mlp", params={"actor_hidden_dims": (8,), "critic_hidden_dims": (8,)})
    return attrs.evolve(
        cfg,
        num_envs=2,
        network=network,
        motion=MotionCfg(data=str(library)),
        engine=attrs.evolve(cfg.engine, name="kinematics:kinematic", device="cpu"),
    )


@pytest.fixture
def checkpoint(run_cfg, manager, tmp_path):
    torch.manual_seed(0)
    env = build_env(load_parts(run_cfg, manager), num_envs=1)
    network = build_network(run_cfg, manager, env)
    layout = {name: group.layout for name, group in env.groups.items()}
    path = tmp_path / "model_step_000007.pt"
    state = {"model": dict(network.state_dict()), "iteration": 7, "observation_layout": layout}
    path.write_bytes(serialize(state | {"task": run_cfg.task, "robot": run_cfg.robot.name}))
    return path


@pytest.fixture
def built(monkeypatch):
    """The scenes of the environments that are built, in order, and whether each was closed before the next."""
    scenes, open_now = [], []
    build = checkpoints.build_env

    def watched(*args, **kwargs):
        assert not open_now
        env = build(*args, **kwargs)
        scenes.append(env.engine.spec)
        open_now.append(env)
        close = env.close
        env.close = lambda: (open_now.clear(), close())
        return env

    monkeypatch.setattr(checkpoints, "build_env", watched)
    return scenes


def test_each_batch_has_the_objects_of_its_motions(run_cfg, checkpoint, manager, library, built):
    stages = []
    result = evaluate_checkpoint(run_cfg, checkpoint, manager, on_stage=stages.append)
    assert tuple(score.key for score in result.policy.motions) == KEYS
    assert [spec.num_envs for spec in built] == [2, 2, 1]
    objects = [[spec.objects[index].path for index in spec.env_object] for spec in built]
    wanted = [str(library / "object_usd" / f"{key}.usd") for key in KEYS]
    assert objects == [wanted[:2], wanted[2:4], wanted[4:]]
    assert stages[-1] == "batch 3 of 3: 1 of 5 motions"
    assert (result.iteration, result.num_envs, result.zero_action, result.skipped) == (7, 2, None, ())
    # A batch of five says the same.
    at_once = evaluate_checkpoint(attrs.evolve(run_cfg, num_envs=8), checkpoint, manager)
    assert at_once.policy.totals() == pytest.approx(result.policy.totals(), rel=1e-5, abs=1e-5)


def test_the_checkpoints_weights_act_without_noise(run_cfg, checkpoint, manager):
    cfg = attrs.evolve(run_cfg, num_envs=5)
    first, second = (evaluate_checkpoint(cfg, checkpoint, manager, baseline=True) for _ in range(2))
    assert first.as_plain() == second.as_plain()
    assert first.zero_action is not None
    assert first.zero_action.mean("mpjpe_l") != pytest.approx(first.policy.mean("mpjpe_l"), rel=1e-3)
    plain = first.as_plain()
    assert plain["zero_action"]["num_motions"] == plain["num_motions"] == 5
    assert plain["units"]["mpjpe_g"] == "mm"


def test_a_bad_motion_is_left_out_or_stops(run_cfg, checkpoint, manager, tmp_path):
    keys = ("box__000", "box__001", "box__002")
    library = write_box_library(tmp_path / "library", keys)
    (library / "objects" / "box__002.pkl").write_bytes(b"torn")
    cfg = attrs.evolve(run_cfg, num_envs=1, motion=MotionCfg(data=str(library)))
    with pytest.raises(DataError, match="box__002"):
        evaluate_checkpoint(cfg, checkpoint, manager)
    skipping = attrs.evolve(cfg, motion=attrs.evolve(cfg.motion, on_bad_clip="skip"))
    for num_envs in (1, 3):  # alone in its batch, and with others
        result = evaluate_checkpoint(attrs.evolve(skipping, num_envs=num_envs), checkpoint, manager)
        assert [score.key for score in result.policy.motions] == ["box__000", "box__001"]
        assert result.skipped == ("box__002",)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"task": "hoi:pnp_table"}, r"trained for the task hoi:pnp_table, and this evaluation is of hoi:pnp_ground"),
        ({"task": "hoi:pnp_ground", "robot": "h2_31dof"}, r"trained for the robot h2_31dof, .* of g1_43dof"),
    ],
)
def test_another_origin_is_refused(cfg, tmp_path, state, message):
    with pytest.raises(CheckpointError, match=message):
        check_origin(state, cfg, tmp_path / "last.pt")


def test_an_unknown_origin_is_none_to_refuse(cfg, tmp_path):
    check_origin({}, cfg, tmp_path / "last.pt")


def test_a_network_of_other_widths_is_refused(run_cfg, checkpoint, manager):
    other = attrs.evolve(run_cfg, network=NetworkCfg(func="core:mlp", params={"actor_hidden_dims": (9,)}))
    with pytest.raises(CheckpointError, match=r"\(8, 984\) in the checkpoint, \(9, 984\) in this run"):
        evaluate_checkpoint(other, checkpoint, manager)


def test_shards_and_start_frames_of_the_training_do_not_count(cfg):
    command = attrs.evolve(cfg.command, sample_before_contact=True)
    motion = MotionCfg(data="x", shard_by_rank=True, shard_rank=3, shard_world_size=64, max_unique_motions=7)
    changed = evaluation_config(attrs.evolve(cfg, command=command, motion=motion))
    assert changed.command.start_from_first_frame
    assert not changed.command.sample_before_contact
    assert (changed.motion.shard_by_rank, changed.motion.shard_rank, changed.motion.shard_world_size) == (False, None, None)
    assert changed.motion.max_unique_motions == 7
