"""Converting checkpoints there and back, and looking into them: nothing is lost on the way, and nothing is executed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import torch
from point_run import assert_same, run

from grail_framework.errors import CheckpointError, ConfigError
from grail_framework.learning.bundles import read_bundle
from grail_framework.learning.universal_token.network import universal_token
from grail_framework.plugins.results import CheckpointFormat
from grail_framework.runs.convert import convert_checkpoint
from grail_framework.runs.formats import check_plain, read_checkpoint, serialize
from grail_framework.runs.inspect import inspect_checkpoint
from grail_framework.testing.release_bundles import ARGS_CLASS, STATE_CLASS, STRATEGY_CLASS, write_release_bundle

if TYPE_CHECKING:
    from pathlib import Path


WIDTHS = {"policy": 6, "critic": 5, "tokenizer": 640}


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of the framework, three iterations done."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run(folder, 3)
    return folder


def test_ours_for_the_release_and_back_is_bitwise_the_same(native: Path, tmp_path: Path):
    there = convert_checkpoint(native, tmp_path / "bundle", to="release")
    assert there.destination == tmp_path / "bundle" / "last.pt"
    assert (there.source_format, there.iteration, there.parameters, there.moments) == ("grail_framework", 3, 15, 9)
    assert any("environments" in note for note in there.notes)
    assert any("config.yaml" in note for note in there.notes)
    back = convert_checkpoint(tmp_path / "bundle", tmp_path / "back.pt", to="native")
    assert (back.source_format, back.iteration, back.moments, back.notes) == ("grail_release", 3, 9, ())
    first, second = read_checkpoint(native / "last.pt"), read_checkpoint(tmp_path / "back.pt")
    assert_same(first["model"], second["model"])
    assert float(first["learning_rate"]) == second["learning_rate"]
    assert first["plugins"] == second["plugins"]
    assert second["converted_from"] == {"file": str(tmp_path / "bundle" / "last.pt"), "format": "grail_release"}
    torch.load(tmp_path / "back.pt", weights_only=True)
    check_plain(second)
    run(tmp_path / "direct", 2, checkpoint=str(native), resume=True)
    run(tmp_path / "around", 2, checkpoint=str(tmp_path / "back.pt"), resume=True)
    ends = [read_checkpoint(tmp_path / name / "last.pt") for name in ("direct", "around")]
    for key in ("model", "optimizer", "learning_rate"):
        assert_same(ends[0][key], ends[1][key])


def test_theirs_with_all_its_objects_becomes_a_file_of_weights(tmp_path: Path):
    policy = {"std": torch.ones(2), "actor_module.encoders.g1.module.0.weight": torch.ones(3, 2)}
    write_release_bundle(tmp_path / "base", policy, None, model_config={"algo_config": {"num_tokens": 2}})
    done = convert_checkpoint(tmp_path / "base", tmp_path / "deep" / "base.pt", to="native")
    assert (done.parameters, done.moments) == (2, 0)
    assert done.notes == (
        "the source has no weights of critic_module; a run keeps its own",
        "the optimiser state is left out: it holds none",
    )
    state = read_checkpoint(tmp_path / "deep" / "base.pt")
    assert_same(state["model"], policy)
    assert state["absent"] == ["critic_module."]
    # A bundle's configuration goes with it.
    convert_checkpoint(tmp_path / "base", tmp_path / "copy", to="release")
    assert read_bundle(tmp_path / "copy").model_config == {"algo_config": {"num_tokens": 2}}


def test_destinations_are_named_for_what_they_are_and_not_replaced_unasked(native: Path, tmp_path: Path):
    for destination, to, message in (
        (tmp_path / "x.pt", "release", "name a folder"),
        (tmp_path / "x", "native", r"name a file that ends in \.pt"),
        (tmp_path / "x.pt", "theirs", "allowed: release, native"),
    ):
        with pytest.raises(ConfigError, match=message):
            convert_checkpoint(native, destination, to=to)  # pyright: ignore[reportArgumentType]
    target = tmp_path / "x.pt"
    convert_checkpoint(native, target, to="native")
    before = target.read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        convert_checkpoint(native, target, to="native")
    with pytest.raises(ConfigError, match="exists already"):
        convert_checkpoint(target, target, to="native", overwrite=True)
    assert target.read_bytes() == before
    convert_checkpoint(native, target, to="native", overwrite=True)
    with pytest.raises(CheckpointError, match="cannot be written"):
        convert_checkpoint(native, target / "y.pt", to="native")


def test_inspecting_a_run(native: Path):
    found = inspect_checkpoint(native)
    assert json.loads(json.dumps(found)) == found
    assert (found["format"], found["iteration"], found["num_envs"], found["format_version"]) == ("grail_framework", 3, 8, 1)
    assert found["plugins"] == [{"name": "hoi", "version": "0.1.0", "target": "t"}]
    assert {"name": "critic_module.module.0.weight", "part": "critic", "shape": [8, 3], "dtype": "float32"} in found[
        "parameters"
    ]
    # actor: std 1, normaliser 2 x 2 + 1, layers 2 x 8 + 8 and 8 + 1; critic: normaliser 2 x 3 + 1, layers 3 x 8 + 8 and 8 + 1
    assert found["num_parameters"] == {"actor": 1 + 5 + 24 + 9, "critic": 7 + 32 + 9}
    assert found["optimizer"] == {"moments": 9, "problem": None}
    assert (found["foreign"], found["problems"], found["model_config"]) == ([], [], None)
    assert {"key": "rng", "what": "list of 1 item"} in found["holds"]


def test_inspecting_a_file_of_the_release(tmp_path: Path):
    policy = {"std": torch.ones(2)}
    write_release_bundle(tmp_path, policy, None, global_step=12, model_config={"env_config": {"a": 1}})
    found = inspect_checkpoint(tmp_path)
    assert json.loads(json.dumps(found)) == found
    assert (found["format"], found["iteration"], found["learning_rate"]) == ("grail_release", 12, 2e-5)
    assert found["foreign"] == [
        {"name": ARGS_CLASS, "objects": 1},
        {"name": "pathlib.PurePosixPath", "objects": 1},
        {"name": STRATEGY_CLASS, "objects": 1},
        {"name": STATE_CLASS, "objects": 1},
    ]
    assert {"key": "state", "what": f"an object of {STATE_CLASS}"} in found["holds"]
    assert found["optimizer"] == {"moments": 0, "problem": "it holds none"}
    assert found["model_config"] == {"path": str(tmp_path / "model_config.yaml"), "keys": {"env_config": "dict of 1 item"}}


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_malicious_file_is_told_and_not_run(tmp_path: Path):
    canary = tmp_path / "ran"
    torch.save({"policy_state_dict": {"std": torch.ones(2)}, "args": Evil(canary)}, tmp_path / "x.pt")
    found = inspect_checkpoint(tmp_path / "x.pt")
    assert found["foreign"] == [{"name": "posix.mkdir", "objects": 1}]
    # One that passes itself off as the framework's own is refused by a run, and said to be.
    torch.save({"format": "grail_framework_checkpoint", "format_version": 1, "x": Evil(canary)}, tmp_path / "x.pt")
    found = inspect_checkpoint(tmp_path / "x.pt")
    assert found["format"] == "grail_framework"
    assert found["foreign"] == [{"name": "posix.mkdir", "objects": 1}]
    assert "damaged" in found["problems"][0]
    convert_error = pytest.raises(CheckpointError, match="damaged")
    with convert_error:
        convert_checkpoint(tmp_path / "x.pt", tmp_path / "y", to="release")
    assert not canary.exists()


def test_any_file_of_torch_is_listed(tmp_path: Path):
    path = tmp_path / "x.pt"
    endless: list[Any] = []
    for _ in range(40):
        endless = [endless, endless]
    torch.save({"net": {"a": [torch.zeros(2), torch.zeros(3)]}, "plugins": endless, 2**90: 1, "task": 2**900}, path)
    found = inspect_checkpoint(path)
    assert found["format"] is None
    assert [(entry["name"], entry["shape"]) for entry in found["parameters"]] == [("net.a.0", [2]), ("net.a.1", [3])]
    assert "no run can start from it" in found["problems"][0]
    assert found["task"] == "an integer of 901 bits"
    json.dumps(found)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        inspect_checkpoint(tmp_path / "none.pt")
    path.write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"no file that torch\.save wrote"):
        inspect_checkpoint(path)


def test_formats_of_plugins_are_inspected_and_converted_by_their_readers(tmp_path: Path):
    path = tmp_path / "x.foreign"
    path.write_text("4")
    form = CheckpointFormat(
        name="foreign",
        detect=lambda file: file.suffix == ".foreign",
        read=lambda file: {"model": {"std": torch.zeros(int(file.read_text()))}},
    )
    found = inspect_checkpoint(path, [form])
    assert (found["format"], found["num_parameters"]) == ("foreign", {"actor": 4, "critic": 0})
    assert found["holds"] == [{"key": "model", "what": "dict of 1 item"}]
    done = convert_checkpoint(path, tmp_path / "y.pt", to="native", formats=[form])
    assert done.source_format == "foreign"
    assert read_checkpoint(tmp_path / "y.pt")["model"]["std"].shape == (4,)


def test_moments_that_cannot_be_named_are_said_to_be_left_out(tmp_path: Path):
    state = {"model": {"std": torch.zeros(2)}, "optimizer": {"state": {}, "param_groups": [{"params": [0, 1]}]}}
    (tmp_path / "x.pt").write_bytes(serialize(state | {"learning_rate": torch.tensor(1e-3), "iteration": 1}))
    done = convert_checkpoint(tmp_path / "x.pt", tmp_path / "b", to="release")
    assert "the optimiser state is left out: it has 2 parameters, the networks 1" in done.notes
    assert "optimizer_state_dict" not in torch.load(tmp_path / "b" / "last.pt", weights_only=False)


def test_normalised_inputs_become_weights_for_the_release_and_lose_their_moments(tmp_path: Path):
    torch.manual_seed(0)
    layout = {"tokenizer": {"command_multi_future_nonflat": 580, "motion_anchor_ori_heading_mf_nonflat": 60}}
    hidden: dict[str, Any] = dict.fromkeys(
        ("encoder_hidden_dims", "dyn_hidden_dims", "kin_hidden_dims", "critic_hidden_dims"), (4,)
    )
    network = universal_token(6, 5, 2, observation_layout=layout, normalize_actor=True, **hidden)
    network.update_normalization({name: torch.randn(3, 4, width) + 2.0 for name, width in WIDTHS.items()})
    moments = {
        name: {"step": torch.tensor(1.0), "exp_avg": torch.randn_like(value), "exp_avg_sq": torch.rand_like(value)}
        for name, value in network.named_parameters()
    }
    state = {"iteration": 4, "model": dict(network.state_dict()), "optimizer_moments": moments, "learning_rate": 1e-3}
    (tmp_path / "ours.pt").write_bytes(serialize(state))
    there = convert_checkpoint(tmp_path / "ours.pt", tmp_path / "bundle", to="release")
    (note,) = [note for note in there.notes if "normalised" in note]
    changed = ("actor_module.encoders.g1.module.0.weight", "actor_module.decoders.g1_dyn.module.0.weight")
    assert all(name in note for name in changed)
    assert there.moments == len(moments) - 2
    back = read_checkpoint(tmp_path / "bundle" / "last.pt")
    assert back["model"].keys() == {name for name in network.state_dict() if "_normalizer." not in name}
    assert_same(back["optimizer_moments"], {name: moment for name, moment in moments.items() if name not in changed})
    plain = universal_token(6, 5, 2, observation_layout=layout, **hidden)
    plain.load_state_dict(back["model"])
    observations = {name: torch.randn(8, width) + 2.0 for name, width in WIDTHS.items()}
    torch.testing.assert_close(plain.action_mean(observations), network.action_mean(observations), rtol=0.0, atol=1e-5)
