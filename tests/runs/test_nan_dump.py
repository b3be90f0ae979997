"""From a run on the CPU engine to `grail replay-nan`."""

import json

import attrs
import pytest
import torch
from click.testing import CliRunner

from grail_framework.cli.main import build_cli
from grail_framework.config.compose import RunOptions, compose
from grail_framework.errors import CheckpointError
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.assembly import build_env, load_parts
from grail_framework.runs.nan_dump import MAX_FILES, read_dump, write_dumps
from grail_framework.testing.bases import without_base
from grail_framework.testing.fakes import write_box_library


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture(scope="module")
def dumped(manager, tmp_path_factory):
    """Two environments of a standing robot and a box; one gets an action of NaN in its fifth step."""
    folder = tmp_path_factory.mktemp("nan")
    data = write_box_library(folder / "library")
    options = RunOptions(data=str(data), engine="mujoco", num_envs=2)
    cfg = without_base(compose(manager.registry, task="pnp_ground", options=options).cfg, manager)
    env = build_env(load_parts(cfg, manager))
    env.begin_evaluation()  # from frame 0
    env.reset()
    states = []
    for step in range(5):
        action = torch.full((2, env.num_actions), 0.01 * step)
        if step == 4:
            action[1, 3] = float("nan")
        states.append(env.state.joint_pos[1].clone())
        env.step(action)
    records = env.drain_invalid()
    env.close()
    paths = write_dumps(records, cfg, folder / "run" / "nan_dumps", iteration=12, rank=0)
    return cfg, records, paths, states, data


def test_the_file_comes_back_whole(dumped):
    cfg, (record,), (path,), states, _ = dumped
    assert path.name == "iteration_000012_rank_0_env_00001.pt"
    dump = read_dump(path)
    assert (dump.cfg, dump.iteration, dump.rank) == (cfg, 12, 0)
    for field in attrs.fields(type(record)):
        mine, theirs = getattr(dump.record, field.name), getattr(record, field.name)
        same = mine == theirs if not isinstance(mine, torch.Tensor) else torch.equal(mine.nan_to_num(), theirs.nan_to_num())
        assert same, field.name
    assert dump.record.motion == "stand__001"
    joints = dump.record.states.split(list(dump.record.layout.values()), dim=1)[4]
    torch.testing.assert_close(joints, torch.stack(states))


def grail(manager, *arguments):
    return CliRunner().invoke(build_cli(manager), ["replay-nan", *map(str, arguments)], prog_name="grail")


def test_the_replay_finds_it_again(manager, dumped):
    *_, (path,), _, data = dumped
    answer = grail(manager, path)
    assert answer.exit_code == 0, answer.output
    assert "motion stand__001, episode from frame 0" in answer.stdout
    assert "first invalid: step 4 (frame 4): action[3]" in answer.stdout
    document = json.loads(grail(manager, path, "--json", "--data", data).stdout)
    assert document["findings"] == [{"step": 4, "what": "action", "entries": [3]}]
    assert document["recorded"][0]["what"].startswith("state.")


def test_a_replay_without_the_bad_action_stays_on_the_recorded_states(manager, dumped):
    """The recorded states, put back one by one, lead to one another: the replay is of the same physics."""
    from grail_framework.envs.guard import split_state, state_row
    from grail_framework.envs.replay import _restore

    cfg, (record,), *_ = dumped
    settings = attrs.evolve(cfg, num_envs=1, motion=attrs.evolve(cfg.motion, filter_motion_keys=(record.motion,)))
    env = build_env(load_parts(settings, manager))
    env.reset()
    for step in range(4):
        _restore(env, record, step)
        torch.testing.assert_close(state_row(env.state)[0], record.states[step], atol=1e-4, rtol=1e-4)
        env.engine.step(env.action_term.apply(record.actions[step : step + 1]))
        ours = split_state(state_row(env.state)[0], record.layout)
        theirs = split_state(record.states[step + 1], record.layout)
        for name in ("root_pos_w", "joint_pos", "object_pos_w", "object_quat_w"):
            torch.testing.assert_close(ours[name], theirs[name], atol=1e-5, rtol=1e-4)
    env.close()


def test_other_files_are_refused(manager, tmp_path):
    with pytest.raises(CheckpointError, match="no file"):
        read_dump(tmp_path / "gone.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_dump(tmp_path / "text.pt")
    torch.save({"model": {}}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="no record of an invalid environment"):
        read_dump(tmp_path / "model.pt")
    assert grail(manager, tmp_path / "gone.pt").exit_code == 2


def test_a_run_keeps_a_bounded_number_of_files(dumped, tmp_path, caplog):
    cfg, (record,), *_ = dumped
    many = [attrs.evolve(record, env=index) for index in range(MAX_FILES + 10)]
    assert len(write_dumps(many, cfg, tmp_path, iteration=1, rank=0)) == MAX_FILES
    assert write_dumps(many, cfg, tmp_path, iteration=2, rank=0) == []
    assert "74 environments became invalid" in caplog.text


def test_a_disk_that_takes_nothing_stops_no_training(dumped, tmp_path, caplog):
    cfg, (record,), *_ = dumped
    (tmp_path / "file").write_text("")
    assert write_dumps([record], cfg, tmp_path / "file" / "folder", iteration=1, rank=0) == []
    assert "could not be written" in caplog.text
