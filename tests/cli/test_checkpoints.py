"""`grail checkpoints inspect` and `convert`; `list` and `download` are tested beside their back ends in tests/runs."""

import json
import sys
import types

import pytest
import torch
from click.testing import CliRunner

from grail_framework.cli.main import build_cli
from grail_framework.runs.formats import read_checkpoint, serialize

WEIGHTS = {"actor_module.module.0.weight": torch.arange(12.0).reshape(4, 3), "std": torch.full((4,), 0.05)}
CRITIC = {"critic_module.module.0.weight": torch.ones(1, 3)}


@pytest.fixture(scope="module")
def cli():
    return build_cli()


@pytest.fixture
def grail(cli):
    """Run `grail checkpoints ...`; return its exit code, stdout and stderr."""

    def run(*arguments):
        done = CliRunner().invoke(cli, ["checkpoints", *(str(argument) for argument in arguments)])
        return done.exit_code, done.stdout, done.stderr

    return run


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A bundle as the release's trainer saves it: an object of its own class inside, which is gone when the file is read."""
    module = types.ModuleType("gear_sonic.trainer")
    state = type("TrainerState", (), {"__module__": module.__name__})
    module.TrainerState = state
    saved = state()
    saved.global_step = 500
    folder = tmp_path / "pnp_table_release"
    folder.mkdir()
    content = {"policy_state_dict": WEIGHTS, "value_state_dict": CRITIC, "state": saved}
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "gear_sonic", types.ModuleType("gear_sonic"))
        patch.setitem(sys.modules, module.__name__, module)
        torch.save(content, folder / "last.pt")
    (folder / "config.yaml").write_text("num_envs: 4096\n")
    return folder


@pytest.fixture
def ours(tmp_path):
    path = tmp_path / "run" / "model_step_000007.pt"
    path.parent.mkdir()
    identity = {"task": "hoi:pnp_table", "robot": "g1_43dof", "observation_layout": {"policy": {"base_ang_vel": 3}}}
    plugins = [{"name": "hoi", "version": "1.2", "target": "grail_hoi.plugin"}]
    path.write_bytes(serialize({"model": WEIGHTS | CRITIC, "iteration": 7, "plugins": plugins, **identity}))
    return path


def test_the_group_lists_its_commands(grail):
    code, text, _ = grail("--help")
    assert code == 0
    for name in ("list", "download", "inspect", "convert"):
        assert f"  {name} " in text


def test_a_file_of_the_release_is_shown_and_its_classes_are_named(grail, theirs):
    code, text, _ = grail("inspect", theirs / "last.pt")
    assert code == 0
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "format grail_release" in lines
    assert "iteration 500" in lines
    assert "actor_module.module.0.weight 4x3 float32" in lines
    assert "parameters of the actor 16" in lines
    assert "gear_sonic.trainer.TrainerState 1" in lines
    assert "gear_sonic.trainer" not in sys.modules


def test_a_file_of_ours_has_task_robot_and_plugins(grail, ours):
    code, text, _ = grail("inspect", ours)
    assert code == 0
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in ("format grail_framework", "task hoi:pnp_table", "robot g1_43dof", "plugin hoi 1.2 grail_hoi.plugin"):
        assert line in lines
    assert "observations policy base_ang_vel 3" in lines


def test_json_has_shapes_and_foreign_classes(grail, theirs):
    code, text, _ = grail("inspect", theirs, "--json")
    assert code == 0
    found = json.loads(text)
    assert {item["name"]: item["shape"] for item in found["parameters"]} == {
        name: list(tensor.shape) for name, tensor in (WEIGHTS | CRITIC).items()
    }
    assert found["foreign"] == [{"name": "gear_sonic.trainer.TrainerState", "objects": 1}]


def test_a_file_of_another_trainer_is_shown_too(grail, tmp_path):
    torch.save({"weights": torch.zeros(2, 5, dtype=torch.float64)}, tmp_path / "x.pt")
    code, text, _ = grail("inspect", tmp_path / "x.pt")
    assert code == 0
    assert "weights    2x5    float64" in text
    assert "unknown" in text


def test_what_is_missing_or_damaged_is_an_error(grail, tmp_path):
    code, _, error = grail("inspect", tmp_path / "none.pt")
    assert code == 2
    assert "none.pt" in error
    (tmp_path / "half.pt").write_bytes(b"PK\x03\x04 and nothing more")
    code, _, error = grail("inspect", tmp_path / "half.pt")
    assert code == 2
    assert "half.pt" in error


def test_theirs_becomes_ours_and_ours_theirs(grail, theirs, tmp_path):
    native = tmp_path / "weights.pt"
    code, text, _ = grail("convert", theirs, native, "--to", "native", "--json")
    assert code == 0
    assert json.loads(text)["source_format"] == "grail_release"
    state = read_checkpoint(native)
    assert state["iteration"] == 500
    assert torch.equal(state["model"]["std"], WEIGHTS["std"])
    code, text, _ = grail("convert", native, tmp_path / "back", "--to", "release")
    assert code == 0
    assert "3 tensors" in text
    again = torch.load(tmp_path / "back" / "last.pt", weights_only=False)
    assert again["policy_state_dict"].keys() == WEIGHTS.keys()
    assert torch.equal(again["value_state_dict"]["critic_module.module.0.weight"], CRITIC["critic_module.module.0.weight"])
    assert again["state"].global_step == 500


def test_a_destination_in_use_needs_force(grail, ours, tmp_path):
    line = ("convert", ours, tmp_path / "mine", "--to", "release")
    assert grail(*line)[0] == 0
    code, _, error = grail(*line)
    assert code == 2
    assert "--force" in error
    assert grail(*line, "--force")[0] == 0


def test_the_direction_is_asked_for(grail, ours, tmp_path):
    code, _, error = grail("convert", ours, tmp_path / "mine")
    assert code == 2
    assert "--to" in error
